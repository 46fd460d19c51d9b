"""The torchmetrics: equal to the plain functions, on one process and on two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid
from eval.features.metrics import FeatureMoments, FrechetDistance, KernelDistance, MeanCLIPScore

ROOT = Path(__file__).parents[3]  # not from conftest, which the processes of a test would have to import

DIM = 6


def features(seed: int, rows: int) -> torch.Tensor:
    """Features far from 0, where sums of squares lose digits."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(rows, DIM)) @ rng.normal(size=(DIM, DIM)) + 1e3).float()


def stats(rows: torch.Tensor) -> GaussianStats:
    found = GaussianStats(DIM)
    found.update(rows.numpy())
    return found


def all_metrics() -> dict:
    real, ours = features(0, 41), features(1, 30)
    images, texts = features(2, 30) - 1e3, features(3, 30) - 1e3
    return {"real": real, "ours": ours, "images": images, "texts": texts}


def fed(data: dict, rows: slice) -> dict[str, torch.Tensor]:
    """The values of metrics that saw some rows of the data, in batches of 7."""
    metrics = {"frechet": FrechetDistance(DIM), "kernel": KernelDistance(DIM), "clip": MeanCLIPScore()}
    moments = FeatureMoments(DIM)
    for name, is_real in (("real", True), ("ours", False)):
        for batch in data[name][rows].split(7):
            metrics["frechet"].update(batch, real=is_real)
            metrics["kernel"].update(batch, real=is_real)
            if is_real:
                moments.update(batch)
    for images, texts in zip(data["images"][rows].split(7), data["texts"][rows].split(7), strict=True):
        metrics["clip"].update(images, texts)
    mean, cov = moments.compute()
    return {name: metric.compute() for name, metric in metrics.items()} | {"mean": mean, "cov": cov}


def expected(data: dict) -> dict:
    real, ours = stats(data["real"]), stats(data["ours"])
    cosines = torch.nn.functional.cosine_similarity(data["images"].double(), data["texts"].double())
    return {
        "frechet": frechet_distance(ours, real),
        "kernel": kid(data["ours"].numpy(), data["real"].numpy()),
        "clip": 100 * cosines.mean().item(),
        "mean": real.mean,
        "cov": np.cov(data["real"].double().numpy(), rowvar=False),
    }


def assert_close(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(np.asarray(found[name]), value, rtol=1e-7, atol=1e-9, err_msg=name)


def test_one_process_equals_the_plain_functions():
    data = all_metrics()
    assert_close(fed(data, slice(None)), expected(data))


def test_forward_is_of_the_batch_and_compute_of_all():
    data = all_metrics()
    metric, moments = MeanCLIPScore(), FeatureMoments(DIM)
    for rows in (slice(0, 10), slice(10, 30)):
        cosines = torch.nn.functional.cosine_similarity(data["images"][rows].double(), data["texts"][rows].double())
        assert metric(data["images"][rows], data["texts"][rows]).item() == pytest.approx(100 * cosines.mean().item())
        np.testing.assert_allclose(moments(data["ours"][rows])[0], stats(data["ours"][rows]).mean)
    np.testing.assert_allclose(moments.compute()[1], stats(data["ours"]).cov, rtol=1e-7)
    assert metric.compute().item() == pytest.approx(expected(data)["clip"])


def test_states_merge_by_chan_and_not_by_sums_of_squares():
    halves = [FeatureMoments(DIM), FeatureMoments(DIM), FeatureMoments(DIM)]
    rows = features(5, 50) + 1e6
    halves[0].update(rows[:20])
    halves[1].update(rows[20:])
    halves[0].merge_state(halves[1])
    halves[0].merge_state(halves[2])  # one that saw nothing
    np.testing.assert_allclose(halves[0].compute()[1], np.cov(rows.double().numpy(), rowvar=False), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_reset_and_refusals():
    metric = FrechetDistance(DIM)
    metric.update(features(0, 9), real=True)
    metric.reset()
    with pytest.raises(ValueError, match="not 0"):
        metric.compute()
    with pytest.raises(ValueError, match=r"\(B, 6\), got \(2, 3\)"):
        metric.update(torch.zeros(2, 3), real=True)
    with pytest.raises(ValueError, match="finite"):
        FeatureMoments(DIM).update(torch.full((2, DIM), torch.nan))
    with pytest.raises(ValueError, match="no pictures"):
        MeanCLIPScore().compute()
    with pytest.raises(ValueError, match=r"got \(0, 6\)"):
        KernelDistance(DIM).compute()


TWO = """
import os, sys, json, torch
import torch.distributed as dist
sys.path.insert(0, {root!r})
from tests.eval.test_metrics import all_metrics, assert_close, expected, fed
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
data = all_metrics()
for cut in (12, 29, 30):  # uneven parts; at last none of ours for the second
    assert_close(fed(data, slice(0, cut) if rank == 0 else slice(cut, None)), expected(data))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO.format(root=str(ROOT)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(script)]
    several = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "meet")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]
    for process in several:
        output = process.communicate(timeout=200)[0].decode()
        assert process.returncode == 0, output[-4000:]
