"""What a model card says of results: main scores, protocols, problems, hardware and versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from huggingface_hub import EvalResult

from eval.pages.page import markdown_table
from eval.pages.report import Found, find_results, protocol_text, provenance_table
from eval.result import Result, problem_lines, score_lines
from janusflow.checkpoints.card import Scores

TASK = "any-to-any"  # as the hub calls what the models do


def card_scores(folders: Sequence[str | Path], checkpoint: str) -> Scores:
    """The results in ``folders`` and below them, all of the model ``checkpoint``.

    Raises ``ValueError`` for a folder without results, and for results of another model or of no known one.
    """
    found = [one for folder in folders for results in find_results([str(folder)]).values() for one in results]
    for one in found:
        check_model(one, checkpoint)
    lines = [line for one in found for line in result_lines(one.result)]
    lines += ["### Where the numbers come from", "", *markdown_table(provenance_table({checkpoint: found}))]
    return Scores("\n".join(lines), [metric for one in found for metric in metrics(one.result)])


def check_model(found: Found, checkpoint: str) -> None:
    """Raise ``ValueError`` where a result is not of the model ``checkpoint``."""
    origin = found.result["provenance"]
    theirs = (origin["model"] or origin["drawn_by"] or {}).get("checkpoint")
    if theirs != checkpoint:
        told = "does not say of which model it is" if theirs is None else f"is of the model {theirs}"
        raise ValueError(f"the result in {found.folder} {told}, and the card is of {checkpoint}")


def result_lines(result: Result) -> list[str]:
    """A result's main scores with their intervals, its protocol, and what is wrong with it."""
    main = {name: result["scores"].get(name) for name in result["overview"]}
    title, *table = score_lines({**result, "scores": main})
    return [f"### {title}", *table, "", protocol_text(result), "", *(f"- {one}" for one in problem_lines(result)), ""]


def metrics(result: Result) -> Iterable[EvalResult]:
    """The main scores of a complete result, for the card's metadata, which has no word for a part."""
    for name in result["overview"] if result["complete"] else ():
        value = result["scores"].get(name)
        if value is not None:
            yield EvalResult(TASK, result["task"], result["title"], name, value, metric_name=name)
