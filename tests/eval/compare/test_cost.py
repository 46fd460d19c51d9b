"""The measured cost of draws against what the tiny models must cost."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from eval.compare import cost
from eval.compare.cost import LiveMemory, TimedCandidate, count_work, measure_cost
from eval.task import Drawing
from janusflow.models.ar_head import CodeSampling
from janusflow.models.flow_head import FlowSampling

PROMPTS = ["a red circle", "two green stars"]
CODES = 9
KIB = 256  # fp32 numbers in it


def test_passes_of_the_llm_are_counted_with_the_prompts_and_guidance(bundles):
    flow = count_work(bundles["flow"], PROMPTS, FlowSampling(3, 4.0))
    assert flow["llm_rows"] == 2 + 2 * 3, "the prompt and its dropped form, then both in each step"
    assert count_work(bundles["flow"], PROMPTS, FlowSampling(3, 1.0))["llm_rows"] == 1 + 3
    assert count_work(bundles["flow"], PROMPTS, FlowSampling(3, 1.0, "heun"))["llm_rows"] == 1 + 6
    codes = count_work(bundles["ar"], PROMPTS, CodeSampling(4.0))
    assert codes["llm_rows"] == 2 + 2 * CODES
    assert flow["llm_positions"] - 6 * (1 + 36) == codes["llm_positions"] - 2 * CODES > 0, "the prompts'"


def test_operations_are_those_of_the_layers(bundles):
    """Every matrix product of a code-by-code draw, by hand, but for the rotary angles."""
    bundle = bundles["ar"]
    llm, head = bundle.model.config.llm, bundle.model.config.head
    prefix = len(bundle.template.generation_prompt(PROMPTS[0])) - 1
    width, deep = llm.hidden_size, llm.intermediate_size
    spans = [(prefix, prefix), *((1, prefix + number + 1) for number in range(CODES))]  # queries and keys of each pass
    layers = sum(queries for queries, _ in spans) * (4 * width**2 + 3 * width * deep)
    attention = sum(2 * width * queries * keys for queries, keys in spans)
    aligner = (CODES - 1) * (head.code_channels * width + width**2)
    classifier = CODES * (width * head.head_width + head.head_width * head.codebook_size)
    expected = 2 * (llm.num_layers * (layers + attention) + aligner + classifier)
    work = count_work(bundle, PROMPTS[:1], CodeSampling(1.0))
    assert work["flops"] - work["flops_codec"] == pytest.approx(expected, rel=1e-3)


def test_codec_is_told_apart(bundles):
    bundle = bundles["flow"]
    with FlopCounterMode(display=False) as counter:
        bundle.codec.decode(torch.zeros(1, 4, 12, 12))
    one, two, three = (count_work(bundle, PROMPTS, FlowSampling(steps, 2.0)) for steps in (1, 2, 3))
    assert one["flops_codec"] == three["flops_codec"] == counter.get_total_flops() > 0
    assert three["flops"] - two["flops"] == pytest.approx(two["flops"] - one["flops"]) and three["flops"] > two["flops"]


@pytest.mark.parametrize(("head", "options"), [("flow", FlowSampling(2, 4.0)), ("ar", CodeSampling(4.0))])
def test_whole_cost_of_both_heads(bundles, head, options):
    bundle = bundles[head]
    small, large = (measure_cost(bundle, PROMPTS, options, batch, repeats=1) for batch in (1, 6))
    weights = sum(p.nbytes for module in (bundle.model, bundle.codec.module) for p in module.parameters())
    assert weights < small["memory"] < large["memory"] < weights + 50e6
    assert small["parameters"] == sum(p.numel() for p in bundle.model.parameters())
    assert small["seconds_alone"] > 0 and large["seconds"] > 0
    assert not bundle.model.llm._forward_hooks


def test_seconds_are_of_whole_batches_after_one_picture_to_warm_up(bundles, monkeypatch):
    """The first draw is slow, whatever its size; a smaller last batch is not timed either."""
    clock, sizes = [0.0], []

    def slow_at_first(self, drawings, size=None):
        clock[0] += len(drawings) if sizes else 100
        sizes.append(len(drawings))
        return [None] * len(drawings)

    monkeypatch.setattr(cost.Candidate, "draw", slow_at_first)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[0])
    drawings = [Drawing(str(number), "a red circle", (0,), f"{number}.png") for number in range(5)]
    candidate = TimedCandidate(bundles["flow"], FlowSampling(1, 1.0), 4)
    candidate.draw(drawings[:4])
    candidate.draw(drawings[4:])
    assert candidate.timing(drawings) == {"seconds": 1.0, "timed_batch": 4} and sizes == [1, 4, 1]
    drawn_before = TimedCandidate(bundles["flow"], FlowSampling(1, 1.0), 32)
    assert drawn_before.timing(drawings)["timed_batch"] == 5 and sizes[3:] == [1, 5]


def test_live_memory_is_of_storages_made_inside():
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

    weight = torch.ones(64 * KIB)
    with torch.inference_mode(), LiveMemory() as memory:
        rows = weight.view(KIB, 64)
        rows.mul_(2)
        half = rows[:2].t()
        assert memory.peak == 0, "views and older tensors count nothing"
        copy = half.contiguous()  # 128 numbers
        other = copy.view(-1)
        del copy
        assert memory.now == 512, "a view keeps its storage alive"
        del other
    assert memory.now == 0 and memory.peak == 512 and weight[0] == 2

    with LiveMemory() as memory:  # several outputs
        kept = list(torch.ones(KIB).split(64))
        values, places = torch.ones(KIB).topk(16)
    assert len(kept) == 4 and values.nbytes + places.nbytes == 16 * 12
    assert memory.now == 1024 + 16 * 12 and memory.peak >= 2048
