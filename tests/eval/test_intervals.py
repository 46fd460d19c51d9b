"""Intervals of scores: as wide as theory says, with what belongs together kept together."""

import numpy as np
import pytest

from eval.intervals import FEWEST, NORMAL, group_means, jackknife, percentiles, reaches, resampled_means
from eval.task import Drawing, Judged, Question, Scored, Task, Work

GROUPS = ["a"] * 150 + ["b"] * 50


def test_width_is_the_analytic_one():
    """The mean of two group means has the variance (s_a² / n_a + s_b² / n_b) / 4."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 150), rng.normal(5, 3, 50)])[None]
    samples = resampled_means(values, GROUPS, 4000)[:, 0]
    parts = values[0, :150], values[0, 150:]
    errors = [part.std() / len(part) ** 0.5 for part in parts]
    for column, error in enumerate([*errors, (errors[0] ** 2 + errors[1] ** 2) ** 0.5 / 2]):
        value, low, high = percentiles(group_means(values, GROUPS)[0, column], samples[:, column])
        assert value == pytest.approx([*(p.mean() for p in parts), sum(p.mean() for p in parts) / 2][column])
        assert (high - low) / (2 * NORMAL * error) == pytest.approx(1, abs=0.07)


def test_groups_are_resampled_apart_and_models_together():
    """Groups without spread have none after resampling; models that differ by a constant always differ by it."""
    flat = np.array([[1.0] * 150 + [3.0] * 50])
    assert np.ptp(resampled_means(flat, GROUPS, 50)) == 2, "1, 3, and 2 for their mean"
    rng = np.random.default_rng(2)
    first = rng.normal(size=200)
    samples = resampled_means(np.stack([first, first + 0.5]), GROUPS, 50)
    np.testing.assert_allclose(samples[:, 1] - samples[:, 0], 0.5)
    assert samples[:, 0, -1].std() > 0.01
    found = [resampled_means(first[None], GROUPS, 20, seed=seed) for seed in (5, 5, 6)]
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2]), "the seed alone decides"


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(4).normal(size=80)
    without = (values.sum() - values) / 79
    value, low, high = jackknife(values.mean(), without, ["a"] * 80)
    assert (high - value) == pytest.approx(NORMAL * values.std(ddof=1) / 80**0.5) == value - low


def test_one_prompt_of_a_group_gives_no_interval():
    values, groups = np.random.default_rng(5).normal(size=(2, 5)), ["a", "a", "b", "a", "a"]
    samples = resampled_means(values, groups, 20)
    assert np.isfinite(samples[..., 0]).all() and np.isnan(samples[..., 1:]).all(), "of b, and so of the mean"
    assert percentiles(0.5, samples[:, 0, 1])[0] == 0.5 and np.isnan(percentiles(0.5, samples[:, 0, 1])[1:]).all()
    assert np.isnan(jackknife(0.5, values[0], groups)[1:]).all()


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
    # few prompts and a score that never changes have none
    assert reaches(Mean(None), *drawn(np.arange(FEWEST - 1.0), 3), {}) == {}
    assert reaches(Mean(None), *drawn(np.ones(50), 2), {}) == {}
