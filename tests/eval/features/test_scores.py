"""Scores of features against their definitions and clean-fid's, whatever holds the features; and what is refused."""

import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist
from cleanfid.fid import kernel_distance

from eval.features import kid as kid_module
from eval.features import precision_recall as pr_module
from eval.features.arrays import real_array
from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid, kid_of_subsets
from eval.features.metrics import FrechetDistance
from eval.features.precision_recall import precision_recall, radii


def sets(n: int = 37, m: int = 53, dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dim)), 0.3 + rng.normal(size=(m, dim)) @ rng.normal(size=(dim, dim))


def distance(a, b) -> float:
    return frechet_distance(GaussianStats.of(a), GaussianStats.of(b))


SCORES = (distance, kid, lambda a, b: kid_of_subsets(a, b, subsets=4), precision_recall)
A, B = (
    torch.randint(-8, 9, (n, 3), generator=torch.Generator().manual_seed(n)).float() / 4 for n in (20, 24)
)  # which bfloat16 holds exactly


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_score_as_arrays_do(dtype):
    for score in SCORES:
        wanted = pytest.approx(score(A.numpy(), B.numpy()), rel=1e-6)
        assert score(A.to(dtype).clone().requires_grad_(), B.to(dtype)) == wanted
    array = np.ones((4, 2), np.float32)
    assert real_array(array) is array and np.shares_memory(real_array(torch.from_numpy(array)), array)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (A.to(torch.complex64), "real numbers, not complex64"),
        (A.numpy().astype(object), "real numbers, not object"),
        ([["a", "b", "c"]] * 20, "real numbers, not <U1"),
        ([[1.0, 2.0], [3.0]], "table of numbers: "),
        (torch.eye(3).to_sparse(), "table of numbers: "),
        ([torch.zeros(3, requires_grad=True)] * 4, "table of numbers: "),
        (A * np.nan, "finite"),
        (A[:, 0], r"got \(20,\)"),
        (A[:, :2], "different widths: 2 and 3"),
        (A[:1], r"not 1$|got \(1, 3\)"),
    ],
)
def test_what_is_no_table_of_real_numbers_is_refused_in_one_line(features, message):
    for score in SCORES:
        with pytest.raises(ValueError, match=message) as caught:
            score(features, B)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("block", [1, 7, 40])
def test_blocks_do_not_matter(block, monkeypatch):
    a, b = sets()
    whole = kid(a, b), precision_recall(a, b)
    for module in (kid_module, pr_module):
        monkeypatch.setattr(module, "BLOCK", block)
    assert (kid(a, b), precision_recall(a, b)) == (pytest.approx(whole[0], rel=1e-8), whole[1])


# --- the kernel distance ---


def naive(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 4, term by term."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_kid_equals_the_definition_and_is_unbiased():
    a, b = sets()
    assert kid(a, b) == pytest.approx(naive(a, b), rel=1e-8) == kid(b, a)
    rng = np.random.default_rng(2)  # two samples of one distribution: the mean is 0, and single draws are negative
    draws = [kid(rng.normal(size=(20, 3)), rng.normal(size=(20, 3))) for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 20 and min(draws) < 0


@pytest.mark.parametrize(("subsets", "size"), [(5, 20), (3, 1000)])
def test_subsets_are_clean_fids(subsets, size):
    a, b = sets()
    np.random.seed(7)
    theirs = kernel_distance(a, b, num_subsets=subsets, max_subset_size=size)
    before = np.random.get_state()[1].copy()
    found = kid_of_subsets(a, b, subsets, size, seed=7)
    assert found.value == pytest.approx(theirs, rel=1e-8) and found == kid_of_subsets(a, b, subsets, size, seed=7)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert found != kid_of_subsets(a, b, subsets, size, seed=8)


def test_default_protocol_is_clean_fids():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1010, 4)).astype(np.float32), rng.normal(size=(1020, 4)).astype(np.float32)
    np.random.seed(0)
    theirs = kernel_distance(a.astype(np.float64), b.astype(np.float64), num_subsets=2)
    assert kid_of_subsets(a, b, subsets=2).value == pytest.approx(theirs, rel=1e-8)
    assert (kid_module.SUBSETS, kid_module.SUBSET_SIZE) == (100, 1000)


# --- precision and recall ---


def pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def radius(points: np.ndarray, k: int) -> np.ndarray:
    return np.sort(pairs(points, points), axis=1)[:, k]  # the first is the point itself


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_equal_their_definition(k):
    ours, real = sets()
    across = pairs(ours, real)
    precision = (across <= radius(real, k)).any(1).mean()
    recall = (across <= radius(ours, k)[:, None]).any(0).mean()
    assert precision_recall(ours, real, k) == (pytest.approx(precision), pytest.approx(recall))
    assert (precision_recall(ours, real) == precision_recall(ours, real, k)) == (k == 3), "the default"


def test_one_mode_of_two_has_precision_and_no_recall_and_neighbours_are_exact_far_from_zero():
    rng = np.random.default_rng(1)
    real = np.concatenate([rng.normal(size=(30, 3)), 100 + rng.normal(size=(30, 3))])
    found = precision_recall(rng.normal(size=(40, 3)) * 0.5, real)
    assert found.precision > 0.9 and found.recall <= 0.5
    assert precision_recall(real + 1000, real) == (0, 0)
    points = np.repeat(np.random.default_rng(2).normal(size=(300, 50)), 4, axis=0) + 1000  # copies on each other
    assert not radii(points, 3).any() and precision_recall(points[::7], points, 3).precision == 1
    ours, real = (np.round(one * 256) / 256 for one in sets())  # which stays exact far away
    for shift in (1e4, 1e6, 1e8):
        assert precision_recall(ours + shift, real + shift) == precision_recall(ours, real)


# --- the torchmetric ---


REAL, OURS = (torch.from_numpy(one + 1e3).float() for one in sets())  # far from 0, where sums of squares lose digits
DIM = REAL.shape[1]
WANTED = pytest.approx(distance(OURS, REAL), rel=1e-7)


def fed(rows: slice) -> FrechetDistance:
    """A metric that saw some rows of either side, in batches of 7."""
    metric = FrechetDistance(DIM)
    for side, real in ((REAL, True), (OURS, False)):
        for batch in side[rows].split(7):
            metric.update(batch, real=real)
    return metric


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_the_torchmetric_equals_the_plain_function_and_states_merge():
    assert fed(slice(None)).compute().item() == WANTED
    metric = fed(slice(20))
    metric.merge_state(fed(slice(20, None)))
    metric.merge_state(fed(slice(99, None)))  # one that saw nothing
    assert metric.compute().item() == WANTED
    metric.reset()
    with pytest.raises(ValueError, match="not 0"):
        metric.compute()
    for bad in (torch.zeros(2, 3), torch.full((2, DIM), torch.nan)):
        with pytest.raises(ValueError, match=r"finite features \(B, 6\), got"):
            metric.update(bad, real=True)


def take_part(rank: int, meeting: str) -> None:
    """One of two processes."""
    torch.set_num_threads(1)  # a fork has none of the parent's threads
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    for cut in (12, 36, 53):  # uneven parts; at last none of ours for the second
        found = fed(slice(0, cut) if rank == 0 else slice(cut, None)).compute().item()
        assert found == WANTED, (cut, found)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    fork, meeting = multiprocessing.get_context("fork"), str(tmp_path / "meet")
    several = [fork.Process(target=take_part, args=(rank, meeting), daemon=True) for rank in range(2)]
    for one in several:
        one.start()
    for one in several:
        one.join(100)
    assert [one.exitcode for one in several] == [0, 0]
