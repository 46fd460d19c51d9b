"""Draws of tokens: greedy, cut to the likeliest, and in the proportions that the logits say."""

import pytest
import torch

from janusflow.decoding import choose

PROBABILITIES = torch.tensor([0.1, 0.4, 0.2, 0.3])
GRID = (torch.arange(1000) + 0.5) / 1000  # evenly spread uniform numbers
LOGITS = PROBABILITIES.log().expand(len(GRID), -1)


def shares(**options):
    return choose(LOGITS, GRID, **options).bincount(minlength=4) / len(GRID)


def test_draws_have_the_softmaxs_proportions():
    torch.testing.assert_close(shares(), PROBABILITIES, atol=2e-3, rtol=0)


def test_temperature():
    sharp = PROBABILITIES.square()
    torch.testing.assert_close(shares(temperature=0.5), sharp / sharp.sum(), atol=2e-3, rtol=0)
    assert shares(temperature=0.0).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, [1]), (2, [1, 3]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_top_k(top_k, kept):
    wanted = torch.zeros(4)
    wanted[kept] = PROBABILITIES[kept]
    torch.testing.assert_close(shares(top_k=top_k), wanted / wanted.sum(), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, [1]), (0.39, [1]), (0.41, [1, 3]), (0.71, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_tokens_of_that_probability(top_p, kept):
    wanted = torch.zeros(4)
    wanted[kept] = PROBABILITIES[kept]
    torch.testing.assert_close(shares(top_p=top_p), wanted / wanted.sum(), atol=2e-3, rtol=0)


def test_top_p_counts_what_top_k_leaves():
    assert shares(top_k=2, top_p=0.5).tolist() == [0, 1, 0, 0]  # 0.4 of the 0.7 that is left


def test_a_row_depends_on_its_own_number_alone():
    logits, uniforms = torch.randn(5, 50), torch.rand(5)
    together = choose(logits, uniforms, top_p=0.9)
    alone = [int(choose(logits[i : i + 1], uniforms[i : i + 1], top_p=0.9)) for i in range(5)]
    assert together.tolist() == alone


def test_extreme_numbers_and_logits_stay_in_the_vocabulary():
    logits = torch.tensor([[0.0, float("-inf"), 1e4, float("-inf")]]).repeat(2, 1)
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    assert choose(logits, torch.tensor([0.0, largest])).tolist() == [2, 2]


@pytest.mark.parametrize("cut", [{}, {"top_k": 2}, {"top_p": 0.9}])
@pytest.mark.parametrize("temperature", [1e-6, 1e-39, 5e-324])
def test_the_lowest_temperatures_are_greedy(temperature, cut):
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.5], [100.0, 300.0, 20.0, -1e4]])
    assert choose(logits, torch.tensor([0.0, 0.999]), temperature, **cut).tolist() == [1, 1]
