"""Scores that see collapse: how much the pictures of a prompt differ in what it leaves open, and how much of the world
they cover.

A sampler that draws one picture for every seed is right as often as that picture is; here it scores 0. Everything is
relative to rendered scenes that fit the prompt, as many as there are pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from janusflow.worlds.casts import SQUARE, Frame
from janusflow.worlds.scenes import Group, Scene, World, compose, some_color

ASPECTS = ("place", "size", "color", "background", "features")
FEWEST = 2  # pictures of a prompt that differ
Seen = Mapping[str, Any]  # a picture's record: its detections and the colour of its frame


def scene_for(prompt: Mapping[str, Any], rng: np.random.Generator, world: World, frame: Frame = SQUARE) -> Scene:
    """A scene that a prompt in GenEval's format describes; what it does not say is drawn."""
    cast, entries = world.things, list(prompt["include"])
    relation = next((entry["position"][0] for entry in entries if entry.get("position")), None)
    if relation:
        entries.reverse()  # the reference stands first
    groups = tuple(
        Group(entry["class"], entry.get("color") or some_color(rng, cast), entry["count"]) for entry in entries
    )
    return compose(rng, world, "position" if relation else prompt["tag"], groups, relation, frame)


def spread(pictures: Sequence[Seen], features: np.ndarray, prompt: Mapping[str, Any]) -> dict[str, float]:
    """How much the pictures of a prompt differ, by aspect; one that cannot be measured is absent.

    place, size: root mean square distance from the mean, of the boxes' centres and of their log sides, over the
    picture's side; color: of what the prompt gives none, the chance that two pictures' differ; background: root mean
    square distance of the frames' colours, in levels; features (P, C): mean distance of two pictures' unit vectors.
    """
    found: dict[str, float] = {}
    centers, sizes, colors = [], [], []
    first = prompt["include"][0]
    for picture in pictures:
        boxes = [one for one in picture["detections"] if one["label"] == first["class"]]
        if boxes:
            best = max(boxes, key=lambda one: one["score"])
            x0, y0, x1, y1 = (edge / picture["side"] for edge in best["box"])
            centers.append(((x0 + x1) / 2, (y0 + y1) / 2))
            sizes.append(np.log(max(x1 - x0, y1 - y0, 1e-3)))
            colors.append(best["color"])
    if len(centers) >= FEWEST:
        found["place"] = _deviation(np.array(centers))
        found["size"] = _deviation(np.array(sizes)[:, None])
        if not first.get("color"):
            found["color"] = _chance_of_two(colors)
    found["background"] = _deviation(np.array([picture["frame"] for picture in pictures]))
    found["features"] = _mean_distance(features)
    return found


def _deviation(rows: np.ndarray) -> float:
    """Root mean square distance of rows (n, d) from their mean, unbiased."""
    return float(np.sqrt(rows.var(axis=0, ddof=1).sum()))


def _chance_of_two(values: Sequence[str]) -> float:
    _, counts = np.unique(values, return_counts=True)
    total = len(values)
    return float(1 - (counts * (counts - 1)).sum() / (total * (total - 1)))


def _mean_distance(rows: np.ndarray) -> float:
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    return float(distances.sum() / (len(rows) * (len(rows) - 1)))


def diversity(drawn: Sequence[Mapping[str, float]], rendered: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each aspect, the mean spread over prompts, over the rendered scenes', at most 1; ``overall`` is their mean.

    A prompt counts for an aspect where it could be measured on its rendered scenes; unmeasured pictures have spread 0.
    """
    found = {}
    for aspect in ASPECTS:
        both = [(one, other) for one, other in zip(drawn, rendered, strict=True) if aspect in other]
        ours, theirs = sum(one.get(aspect, 0.0) for one, _ in both), sum(other[aspect] for _, other in both)
        if theirs > 0:
            found[aspect] = min(float(ours / theirs), 1.0)
    return {**found, "overall": sum(found.values()) / len(found)}


def nearest(features: np.ndarray, others: np.ndarray) -> float:
    """The median distance of unit vectors (N, C) to the nearest of others (M, C)."""
    cosines = np.concatenate([(part @ others.T).max(1) for part in np.array_split(features, -(-len(features) // 512))])
    return float(np.median(np.sqrt(np.clip(2 - 2 * cosines, 0, None))))
