"""Accuracies against ten annotators, and means of them in percent.

Source: Antol et al. 2015, "VQA: Visual Question Answering" (arXiv:1505.00468), and visualqa.org/evaluation.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

AGREEMENT = 3  # annotators who must agree with an answer that is wholly right


def listed_answers(answers: Sequence[str]) -> list[str]:
    """The annotators' answers. Raises ``ValueError`` without any, and for a text where a list of them belongs."""
    if isinstance(answers, str):
        raise ValueError(f"annotators' answers are a list of texts, not the text {answers!r}")
    found = list(answers)
    if not found:
        raise ValueError("there is no annotator to agree with")
    return found


def soft_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Mean over the annotators of min(1, others who gave ``prediction`` / 3), in 0..1; texts are compared as they are.

    Raises ``ValueError`` as :func:`listed_answers`.
    """
    answers = listed_answers(answers)
    agreeing = sum(answer == prediction for answer in answers)
    credits = [min(1.0, (agreeing - (answer == prediction)) / AGREEMENT) for answer in answers]
    return sum(credits) / len(credits)


def percent(values: Sequence[float]) -> float | None:
    """The mean of values in 0..1 as a percentage; None of nothing."""
    return 100 * sum(values) / len(values) if len(values) else None


def percent_by_group(values: Iterable[tuple[str, float]]) -> dict[str, float | None]:
    """The percentage of each group of (group, value), by the groups' names in order."""
    groups: dict[str, list[float]] = {}
    for group, value in values:
        groups.setdefault(group, []).append(value)
    return {group: percent(groups[group]) for group in sorted(groups)}
