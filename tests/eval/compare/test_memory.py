"""Live tensor memory of small programs whose peak is known."""

import torch

from eval.compare.memory import LiveMemory

KIB = 256  # fp32 numbers in it


def test_peak_counts_what_lives_at_once():
    with LiveMemory() as memory:
        first = torch.ones(4 * KIB)
        second = first + 1  # 8 KiB live
        del first
        third = second * 2  # again 8
        del second
        fourth = third[:KIB].clone()  # 5
    assert memory.peak == 8 * 1024
    assert memory.now == 5 * 1024
    del third, fourth
    assert memory.now == 0


def test_views_and_older_tensors_count_nothing():
    weight = torch.ones(64 * KIB)
    with torch.inference_mode(), LiveMemory() as memory:
        rows = weight.view(KIB, 64)
        rows.mul_(2)
        half = rows[:2].t()
        assert memory.peak == 0
        copy = half.contiguous()  # 128 numbers
        other = copy.view(-1)
        del copy
        assert memory.now == 512, "a view keeps its storage alive"
        del other
    assert memory.now == 0 and memory.peak == 512
    assert weight[0] == 2


def test_several_outputs_and_lists():
    with LiveMemory() as memory:
        kept = list(torch.ones(KIB).split(64))
        values, places = torch.ones(KIB).topk(16)
    assert len(kept) == 4 and values.nbytes + places.nbytes == 16 * 12
    assert memory.now == 1024 + 16 * 12
    assert memory.peak >= 2048
