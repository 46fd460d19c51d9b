"""The torchmetric: equal to the plain function, on one process and on two."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.metrics import FrechetDistance

DIM = 6


def features(seed: int, rows: int) -> torch.Tensor:
    """Features far from 0, where sums of squares lose digits."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(rows, DIM)) @ rng.normal(size=(DIM, DIM)) + 1e3).float()


REAL, OURS = features(0, 41), features(1, 30)
WANTED = pytest.approx(frechet_distance(GaussianStats.of(OURS), GaussianStats.of(REAL)), rel=1e-7)


def fed(rows: slice) -> FrechetDistance:
    """A metric that saw some rows of either side, in batches of 7."""
    metric = FrechetDistance(DIM)
    for side, real in ((REAL, True), (OURS, False)):
        for batch in side[rows].split(7):
            metric.update(batch, real=real)
    return metric


def test_one_process_equals_the_plain_function_and_states_merge():
    assert fed(slice(None)).compute().item() == WANTED
    first = fed(slice(20))
    first.merge_state(fed(slice(20, None)))
    first.merge_state(fed(slice(99, None)))  # one that saw nothing
    assert first.compute().item() == WANTED


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_reset_and_refusals():
    metric = fed(slice(9))
    metric.reset()
    with pytest.raises(ValueError, match="not 0"):
        metric.compute()
    for bad in (torch.zeros(2, 3), torch.full((2, DIM), torch.nan)):
        with pytest.raises(ValueError, match=r"finite features \(B, 6\), got"):
            metric.update(bad, real=True)


def take_part(rank: int, meeting: str) -> None:
    """One of two processes."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    for cut in (12, 29, 30):  # uneven parts; at last none of ours for the second
        found = fed(slice(0, cut) if rank == 0 else slice(cut, None)).compute().item()
        assert found == WANTED, (cut, found)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    fork = multiprocessing.get_context("fork")
    several = [fork.Process(target=take_part, args=(rank, str(tmp_path / "meet"))) for rank in range(2)]
    for one in several:
        one.start()
    for one in several:
        one.join(100)
    assert [one.exitcode for one in several] == [0, 0]
