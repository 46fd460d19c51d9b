"""GenEval's rules as pure functions over detections: no model, no file.

Source: Ghosh, Hajishirzi and Schmidt 2023, "GenEval" (arXiv:2310.11513), and the behaviour of its official evaluation
script, which settles what the paper leaves open. A detector and a colour classifier stand outside and are handed in.

A prompt is a mapping in GenEval's metadata format::

    {"tag", "prompt", "include": [{"class", "count", "color"?, "position"?: [relation, index]}],
     "exclude"?: [{"class", "count"}]}

``index`` points back at an earlier ``include`` entry. Boxes are in pixels, y downwards. None is as good as absent, so
that prompts may come out of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, TypedDict

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RELATIONS = ("left of", "right of", "above", "below")

MIN_SCORE = 0.3  # a detection must be above it
MIN_SCORE_COUNTING = 0.9  # the same for the tag "counting", where one doubtful extra object spoils the answer
MAX_PER_CLASS = 16

SLACK = 0.1  # share of the summed box sizes by which an offset shrinks before it is judged
NO_OFFSET = 1e-3  # pixels; a reduced offset below it in both axes means no relation
MIN_DIRECTION = 0.5  # a component of the direction must be above it

Box = tuple[float, float, float, float]
Prompt = Mapping[str, Any]
Condition = Mapping[str, Any]  # an entry of a prompt's "include" or "exclude"


class Detection(NamedTuple):
    """One detected object: class name, confidence in 0..1, box (x0, y0, x1, y1) in pixels, colour name if known."""

    label: str
    score: float
    box: Box
    color: str | None = None


class Verdict(NamedTuple):
    """Whether a picture meets its prompt; ``reason`` names every failed condition and is empty when it does."""

    correct: bool
    reason: str


class Summary(TypedDict):
    """GenEval's result over images. A tag without images has accuracy ``None`` and makes ``overall`` ``None``."""

    tags: dict[str, float | None]  # accuracy over the tag's images, 0..1
    counts: dict[str, int]  # images a tag
    overall: float | None  # unweighted mean of the six accuracies; None as long as a tag is missing
    image_accuracy: float | None  # over all images, so weighted by the tags' sizes; not GenEval's headline number
    missing: list[str]  # tags without any image


def keep(detections: Iterable[Detection], tag: str) -> dict[str, list[Detection]]:
    """The detections that count for a prompt of this tag: class name -> at least 1 and at most 16, best first.

    The threshold is strict; of equal scores the later detection comes first, as in the official script. Overlapping
    boxes all stay: its default does no non-maximum suppression. Raises ``ValueError`` for an unknown tag, and for what
    is no :class:`Detection` or has a score that is no number. NaN exceeds nothing.
    """
    _check_tag(tag)
    threshold = MIN_SCORE_COUNTING if tag == "counting" else MIN_SCORE
    above = [detection for detection in map(_check_detection, detections) if detection.score > threshold]
    above.sort(key=lambda d: d.score)
    kept: dict[str, list[Detection]] = {}
    for detection in reversed(above):
        group = kept.setdefault(detection.label, [])
        if len(group) < MAX_PER_CLASS:
            group.append(detection)
    return kept


def relations(a_box: Box, b_box: Box) -> set[str]:
    """Every relation of ``a`` to ``b``: none when they sit on each other, two along a diagonal.

    The offset between the centres shrinks towards zero by a tenth of the summed sizes, axis by axis, and is then
    divided by the length of the offset *before* it shrank; a component beyond 0.5 is a relation.
    Raises ``ValueError`` for a box that has not four sides.
    """
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = _sides(a_box), _sides(b_box)
    dx, reduced_x = _offset(ax0, ax1, bx0, bx1)
    dy, reduced_y = _offset(ay0, ay1, by0, by1)
    if abs(reduced_x) < NO_OFFSET and abs(reduced_y) < NO_OFFSET:
        return set()
    length = math.hypot(dx, dy)
    x, y = reduced_x / length, reduced_y / length
    holds = (x < -MIN_DIRECTION, x > MIN_DIRECTION, y < -MIN_DIRECTION, y > MIN_DIRECTION)
    return {name for name, held in zip(RELATIONS, holds, strict=True) if held}


def score_image(
    detections: Sequence[Detection], prompt: Prompt, color_of: Callable[[Detection], str | None] | None = None
) -> Verdict:
    """Judge one picture from everything detected in it.

    ``color_of`` names an object's colour; it is asked only about the objects that a coloured ``include`` judges,
    because it is a CLIP call in the real benchmark. By default it reads ``Detection.color``.
    Raises ``ValueError`` for a prompt that breaks the format in the module's docstring, and for what is no
    :class:`Detection` (``eval.geneval.result.from_record`` makes them from JSON).
    """
    check_prompt(prompt)
    name_color = color_of if color_of is not None else (lambda detection: detection.color)
    kept = keep(detections, prompt["tag"])
    failures: list[str] = []
    matched: list[list[Detection] | None] = []  # one for each include: the judged objects, None where it failed
    for wanted in prompt["include"]:
        objects = kept.get(wanted["class"], [])[: wanted["count"]]
        failure = _failure(wanted, objects, matched, name_color)
        if failure:
            failures.append(failure)
        matched.append(None if failure else objects)
    for unwanted in prompt.get("exclude") or ():
        found = len(kept.get(unwanted["class"], []))
        if found >= unwanted["count"]:
            failures.append(f"expected fewer than {unwanted['count']} {unwanted['class']}, found {found}")
    return Verdict(not failures, "; ".join(failures))


def summarize(verdicts: Iterable[tuple[str, bool | Verdict]]) -> Summary:
    """Accuracies from every image's tag and verdict, or whether it is correct; see :class:`Summary`.

    Raises ``ValueError`` for an unknown tag, and for what is no verdict.
    """
    results: dict[str, list[bool]] = {tag: [] for tag in TAGS}
    for tag, correct in verdicts:
        _check_tag(tag)
        results[tag].append(_is_correct(correct))
    accuracies = {tag: _mean(of_tag) for tag, of_tag in results.items()}
    present = [accuracy for accuracy in accuracies.values() if accuracy is not None]
    return Summary(
        tags=accuracies,
        counts={tag: len(of_tag) for tag, of_tag in results.items()},
        overall=_mean(present) if len(present) == len(TAGS) else None,
        image_accuracy=_mean([correct for of_tag in results.values() for correct in of_tag]),
        missing=[tag for tag, accuracy in accuracies.items() if accuracy is None],
    )


def check_prompt(prompt: Prompt) -> None:
    """Raise ``ValueError``, with the value, where ``prompt`` breaks the format in the module's docstring."""
    _check_tag(prompt.get("tag"))
    if not prompt.get("include") or isinstance(prompt["include"], str | Mapping):
        raise ValueError(f"a prompt must include a list of at least one object: {dict(prompt)!r}")
    for index, wanted in enumerate(prompt["include"]):
        _check_condition(wanted)
        if wanted.get("color") is not None and wanted["color"] not in COLORS:
            raise ValueError(f"unknown color {wanted['color']!r}; choose from {', '.join(COLORS)}")
        if wanted.get("position") is not None:
            _check_position(wanted["position"], index)
    for unwanted in prompt.get("exclude") or ():
        _check_condition(unwanted)


def _failure(
    wanted: Condition,
    objects: list[Detection],
    matched: list[list[Detection] | None],
    name_color: Callable[[Detection], str | None],
) -> str | None:
    """Why ``objects``, the best of their class, do not meet an include; ``None`` when they do."""
    label, count = wanted["class"], wanted["count"]
    if len(objects) < count:
        return f"expected {count} {label}, found {len(objects)}"
    if wanted.get("color") is not None:
        colors = [name_color(found) for found in objects]
        if colors.count(wanted["color"]) < count:
            return f"expected {count} {wanted['color']} {label}, found {', '.join(map(str, colors))}"
    if wanted.get("position") is not None:
        relation, index = wanted["position"]
        targets = matched[index]
        if targets is None:
            return f"no target for {label} {relation}: include {index} did not match"
        for found in objects:
            for target in targets:
                seen = relations(found.box, target.box)
                if relation not in seen:
                    return (
                        f"expected {label} {relation} {target.label}, found {', '.join(sorted(seen)) or 'no relation'}"
                    )
    return None


def _offset(a0: float, a1: float, b0: float, b1: float) -> tuple[float, float]:
    """Along one axis: the offset from b's centre to a's, and the same reduced towards zero by the slack."""
    offset = (a0 + a1) / 2 - (b0 + b1) / 2
    size = abs(a1 - a0) + abs(b1 - b0)
    return offset, math.copysign(max(abs(offset) - SLACK * size, 0.0), offset)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _check_tag(tag: object) -> None:
    if tag not in TAGS:
        raise ValueError(f"unknown GenEval tag {tag!r}; choose from {', '.join(TAGS)}")


def _check_detection(detection: Detection) -> Detection:
    if not isinstance(detection, Detection):
        raise ValueError(f"a detection is a Detection(label, score, box, color), not {detection!r}")
    try:
        float("no number" if isinstance(detection.score, str | bytes) else detection.score)  # NumPy's, or a tensor's
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"a detection's score is a number, not {detection.score!r}") from error
    return detection


def _is_correct(verdict: bool | Verdict) -> bool:
    if isinstance(verdict, Verdict):
        return verdict.correct
    if verdict not in (True, False):  # NumPy's too
        raise ValueError(f"a verdict is True, False or a Verdict, not {verdict!r}")
    return bool(verdict)


def _sides(box: Box) -> list[float]:
    sides = [float(side) for side in box]  # integers of NumPy would overflow
    if len(sides) != 4:
        raise ValueError(f"a box is (x0, y0, x1, y1), not {box!r}")
    return sides


def _check_condition(condition: Condition) -> None:
    if not isinstance(condition, Mapping) or not condition.get("class"):
        raise ValueError(f"a condition needs a class: {condition!r}")
    count = condition.get("count")
    if not isinstance(count, Integral) or count < 1:
        raise ValueError(f"a condition needs a count of at least 1, not {count!r}: {dict(condition)!r}")


def _check_position(position: Sequence[Any], index: int) -> None:
    if len(position) != 2:
        raise ValueError(f"a position is [relation, index of an earlier include], not {position!r}")
    relation, target = position
    if relation not in RELATIONS:
        raise ValueError(f"unknown relation {relation!r}; choose from {', '.join(RELATIONS)}")
    if not isinstance(target, Integral) or not 0 <= int(target) < index:
        raise ValueError(f"the position of include {index} must point at an earlier include, not {target!r}")
