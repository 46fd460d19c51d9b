"""Intervals of scores: as wide as theory says, with what belongs together kept together."""

from __future__ import annotations

import numpy as np
import pytest

from eval.compare.bootstrap import NORMAL
from eval.pages.intervals import FEWEST, reaches
from eval.task import Drawing, Judged, Question, Scored, Task, Work


class Mean(Task):
    """The mean of what the judge saw, or the share of answers "yes"."""

    name = "mean"

    def prepare(self, limit=None):
        return Work()

    def departures(self, judge):
        return []

    def score(self, work, judged, answers):
        values = [judged[one.id].record["value"] for one in work.drawings]
        values += [answers[one.id] == "yes" for one in work.questions]
        return Scored("mean", {"mean": float(np.mean(values)), "none": None}, {})


def drawn(values, each):
    """Every value is that of ``each`` pictures of one prompt."""
    items = [(f"{prompt}/{number}", prompt) for prompt in range(len(values)) for number in range(each)]
    drawings = [Drawing(name, f"prompt {prompt}", (0,), f"{name}.png") for name, prompt in items]
    return Work(drawings=drawings), {name: Judged({"value": values[prompt]}) for name, prompt in items}


@pytest.mark.parametrize("each", [1, 4])
def test_a_mean_has_the_interval_of_its_prompts_not_of_its_pictures(each):
    values = np.random.default_rng(0).binomial(1, 0.7, 3000).astype(float)
    work, judged = drawn(values, each)
    found = reaches(Mean(None), work, judged, {})
    assert found == {"mean": pytest.approx(NORMAL * values.std() / np.sqrt(3000), rel=0.3)}


def test_questions_about_one_picture_belong_together():
    right = np.random.default_rng(1).binomial(1, 0.5, 600)
    answers = {f"{picture}-{number}": ("no", "yes")[right[picture]] for picture in range(600) for number in range(6)}
    found = []
    for shared in (True, False):
        pictures = [(name.partition("-")[0] if shared else name).encode() for name in answers]
        questions = [Question(name, (picture,), "?", "yes") for name, picture in zip(answers, pictures, strict=True)]
        found.append(reaches(Mean(None), Work(questions=questions), {}, answers)["mean"])
    assert found[0] / found[1] == pytest.approx(6**0.5, rel=0.4)


def test_few_prompts_and_a_score_that_never_changes_have_none():
    assert reaches(Mean(None), *drawn(np.arange(FEWEST - 1.0), 3), {}) == {}
    assert reaches(Mean(None), *drawn(np.ones(50), 2), {}) == {}
