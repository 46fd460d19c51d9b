"""GenEval's scores from what was detected, as stored: everything here can be computed again from a result's JSON.

A record is the judge's word on one picture::

    {"detections": [{"label", "score", "box": [x0, y0, x1, y1], "color": name or None}, …]}

It holds all detections above the lower threshold, best first; a colour only where the prompt asks for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eval.geneval.layout import index_of
from eval.geneval.score import TAGS, Detection, Prompt, score_image, summarize
from eval.task import Problems, Record, Scored


def to_record(detections: Iterable[Detection]) -> Record:
    """A record of detections."""
    return {"detections": [{**one._asdict(), "box": list(one.box)} for one in detections]}


def from_record(record: Record) -> list[Detection]:
    """The detections of a record. Raises ``ValueError`` where it is none."""
    try:
        return [
            Detection(str(one["label"]), float(one["score"]), _box(one["box"]), one.get("color"))
            for one in record["detections"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no record of detections: {record!r}") from error


def score_samples(
    prompts: Mapping[str, Prompt], records: Mapping[str, Record], prompt_set: str | None = None
) -> Scored:
    """The result over the pictures whose ids ``prompts`` has (see ``layout.sample_id``), each with its prompt.

    "overall" is GenEval's score: the unweighted mean of the six tags' accuracies, None as long as a tag has no picture.
    Besides, as the official summary: the share of pictures that are right, and of prompts of which any picture is (or
    all are). A picture without a record is wrong and named as "missing". ``prompt_set`` names a rewriting of the
    prompts, whose scores are other columns. All scores in 0..1.
    """
    items: dict[str, Record] = {}
    problems: Problems = {}
    for name, prompt in prompts.items():
        if name in records:
            correct, reason = score_image(from_record(records[name]), prompt)
        else:
            correct, reason = False, "no picture was judged"
            problems.setdefault("missing", []).append(name)
        items[name] = {"tag": prompt["tag"], "prompt": prompt["prompt"], "correct": correct, "reason": reason}
    summary = summarize((item["tag"], item["correct"]) for item in items.values())
    if summary["missing"]:
        problems["tags without pictures"] = summary["missing"]
    by_prompt: dict[int, list[bool]] = {}
    for name, item in items.items():
        by_prompt.setdefault(index_of(name), []).append(item["correct"])
    scores = {
        "overall": summary["overall"],
        **{tag: summary["tags"][tag] for tag in TAGS},
        "image accuracy": summary["image_accuracy"],
        "prompt accuracy, any picture": _share([any(correct) for correct in by_prompt.values()]),
        "prompt accuracy, all pictures": _share([all(correct) for correct in by_prompt.values()]),
    }
    suffix = f" ({prompt_set} prompts)" if prompt_set else ""
    scores = {name + suffix: score for name, score in scores.items()}
    return Scored("overall" + suffix, scores, items, problems, {"images": summary["counts"]})


def _box(sides: Iterable[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(side) for side in sides)
    return x0, y0, x1, y1


def _share(values: list[bool]) -> float | None:
    return sum(values) / len(values) if values else None
