"""Which sample comes when: exact shares, whole epochs, no state."""

import numpy as np
import pytest

from janusflow.data.mixture import BLOCK, Shuffle, Weighted, share


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 4097])
def test_every_epoch_is_a_permutation_and_each_another(size):
    order = Shuffle(size, (3, 1))
    epochs = [[order[epoch * size + place] for place in range(size)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 7:
        assert epochs[0] != epochs[1] != epochs[2]
        assert epochs[0] != [Shuffle(size, (3, 2))[place] for place in range(size)]


def test_a_shuffle_looks_like_chance():
    """Neighbours in the order are no neighbours in the data, and every item may come anywhere."""
    size = 1000
    order = np.array([Shuffle(size, (0,))[place] for place in range(size)])
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.02
    first = [Shuffle(size, (seed,))[0] for seed in range(200)]
    assert len(set(first)) > 150


def test_sources_get_their_exact_shares_and_each_of_their_samples_once():
    order = Weighted([1, 2, 5], (7,))
    drawn = [order[index] for index in range(3 * BLOCK)]
    counts = np.bincount([source for source, _ in drawn])
    assert counts.tolist() == [375, 750, 1875]
    for source in range(3):
        assert [place for number, place in drawn if number == source] == list(range(counts[source]))


def test_weights_of_nothing_are_refused():
    for weights in ([], [0, 0], [1, -1]):
        with pytest.raises(ValueError, match="weights"):
            Weighted(weights, (0,))


@pytest.mark.parametrize(("count", "parts"), [(0, 3), (2, 3), (10, 3), (12, 4)])
def test_parts_of_a_step_hold_each_sample_once(count, parts):
    shares = [list(share(count, part, parts)) for part in range(parts)]
    assert sorted(number for part in shares for number in part) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
