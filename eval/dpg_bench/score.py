"""DPG-Bench's score from a judge's answers, as pure functions; all scores are percentages.

Source: Hu et al. 2024, "ELLA" (arXiv:2403.05135), and the behaviour of its script ``compute_dpg_bench.py``, which every
published number comes from. Its protocol is "official"; "corrected" mends what is plainly a fault in it:

- it drops the file's first data row. A question that depends on the one in that row then fails, and with it the whole
  item (in the real file, so that 1,064 of 1,065 items count);
- its categories know the answers about the last crop alone; corrected: about all crops;
- items that fail or have no picture are left out of its means; corrected: what is missing is wrong.

A category, of level 1 or 2, is a mean over questions, and there are two readings of a question whose parent failed.
The official script copies the scores before it zeroes such questions and makes its categories of the copy: "raw", the
share of the category's questions that were answered with yes. With "zeroed" they count 0 there too, as they do in the
overall score of every protocol; no published number is made so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eval.dpg_bench.questions import Item, Row, group_rows
from eval.task import Problems, Record, Scored

CROPS = 4  # pictures in a grid
CATEGORIES = ("raw", "zeroed")  # what the scores of categories are made of
BROAD = ("global", "entity", "attribute", "relation", "other")  # categories of level 1, in the papers' order

Answers = Mapping[int, str] | Mapping[str, str]  # of one crop, by question id; JSON has strings for ids


def is_yes(answer: str) -> bool:
    """Whether an answer counts: it is exactly "yes", as the official judge spells it."""
    return answer == "yes"


def zero_children(raw: Mapping[int, float], parents: Mapping[int, Sequence[int]]) -> dict[int, float]:
    """The scores of one crop, with 0 where a parent's *current* score is 0.

    In the order of ``parents``, so zeroing chains to grandchildren that come later, and a parent that comes after its
    child acts with what was answered. 0 is the files' word for no parent. Raises ``KeyError`` for a parent without a
    score, unless one before it is 0.
    """
    scores = dict(raw)
    for question, ids in parents.items():
        if any(scores[parent] == 0 for parent in ids if parent != 0):
            scores[question] = 0.0
    return scores


def score_items(
    rows: Sequence[Row],
    answers: Mapping[str, Sequence[Answers]],
    items: Iterable[str],
    protocol: str,
    crops: int = CROPS,
    categories: str = "raw",
) -> Scored:
    """The result over ``items`` (ids) from the answers of every item's ``crops`` (1 for a picture that is no grid).

    "overall" is the mean over items of the mean over crops of the mean over questions; the categories pool questions,
    "raw" or "zeroed". ``Scored.details`` holds the categories of level 2, the number of items that count, and of crops.
    Problems: "missing" (items without answers), "incomplete" (that lack crops or answers), "left out" (the item that
    the official script loses with its first row), "failed" (others on which it fails).
    Raises ``ValueError`` for an unknown protocol, reading of categories or item, an item twice, more crops, and what is
    no answer; the official protocol's categories are raw.
    """
    if categories not in CATEGORIES or (protocol == "official" and categories != "raw"):
        raise ValueError(f"the {protocol} protocol has no {categories!r} categories")
    official = protocol == "official"
    groups, complete = group_rows(rows, protocol), group_rows(rows, "corrected")
    problems: Problems = {}
    found: dict[str, Record] = {}
    pooled: dict[str, list[float]] = {}  # category of level 2 -> scores of questions
    for name in items:
        if name not in complete:
            raise ValueError(f"no question is about the item {name!r}")
        if name in found:
            raise ValueError(f"the item {name!r} is there twice")
        given = _read_crops(name, answers.get(name, ()), crops)
        lacks = any(question not in crop for crop in given for question in complete[name])
        if not any(given):
            problems.setdefault("missing", []).append(name)
        elif lacks:
            problems.setdefault("incomplete", []).append(name)
        scored = _official(groups.get(name, {}), given) if official else _corrected(groups[name], given, categories)
        if scored is None:
            dropped = not lacks and rows[0].number == 0 and name == rows[0].item
            problems.setdefault("left out" if dropped else "failed", []).append(name)
            found[name] = {"score": None, "crops": []}
            continue
        means, by_question = scored
        found[name] = {"score": 100 * sum(means) / len(means), "crops": [100 * mean for mean in means]}
        for question, values in by_question.items():
            pooled.setdefault(groups[name][question].category, []).extend(values)
    counted = [one["score"] for one in found.values() if one["score"] is not None]
    scores = {"overall": _mean(counted), **_broad_means(pooled)}
    details = {
        "items that count": len(counted),
        "pictures in a file": crops,
        "level 2": {category: _percent(pooled[category]) for category in sorted(pooled)},
    }
    return Scored("overall", scores, found, problems, details)


Scores = tuple[list[float], dict[int, list[float]]]  # of the crops, and for its category of every question, 0..1


def _read_crops(name: str, given: Sequence[Answers], crops: int) -> list[dict[int, str]]:
    """The answers of an item's crops; those that are not there have none."""
    if isinstance(given, Mapping) or len(given) > crops:
        raise ValueError(f"the item {name!r} has not the answers of {crops} crops: {given!r}")
    return [_read_answers(name, crop) for crop in given] + [{} for _ in range(crops - len(given))]


def _read_answers(name: str, crop: Answers) -> dict[int, str]:
    read = {}
    for question, answer in crop.items():
        if not isinstance(answer, str) or not str(question).isdecimal():
            raise ValueError(
                f"the item {name!r} has an answer that is no text, or to no question: {question!r}: {answer!r}"
            )
        read[int(question)] = answer
    return read


def _official(item: Item, crops: Sequence[Mapping[int, str]]) -> Scores | None:
    """None where the official script fails."""
    if not item:
        return None
    parents = {question: row.parents for question, row in item.items()}
    try:
        raw = [{question: float(is_yes(crop[question])) for question in item} for crop in crops]
        means = [sum(zero_children(scores, parents).values()) / len(item) for scores in raw]
    except KeyError:  # an answer is missing, or a parent is: that of the dropped row
        return None
    return means, {question: [score] for question, score in raw[-1].items()}


def _corrected(item: Item, crops: Sequence[Mapping[int, str]], categories: str) -> Scores:
    parents = {question: [one for one in row.parents if one in item] for question, row in item.items()}
    raw = [{question: float(is_yes(crop.get(question, ""))) for question in item} for crop in crops]
    zeroed = [zero_children(scores, parents) for scores in raw]
    means = [sum(scores.values()) / len(item) for scores in zeroed]
    pooled = raw if categories == "raw" else zeroed
    return means, {question: [scores[question] for scores in pooled] for question in item}


def _broad_means(pooled: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """By category of level 1: the papers' five, None without questions, and any other."""
    broad: dict[str, list[float]] = {name: [] for name in BROAD}
    for category in sorted(pooled):
        broad.setdefault(category.split("-")[0].strip(), []).extend(pooled[category])
    return {name: _percent(values) for name, values in broad.items()}


def _percent(values: Sequence[float]) -> float | None:
    mean = _mean(values)
    return None if mean is None else 100 * mean


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
