"""Attention over packed rows: what the samples' boundaries say, and that the kernel and the mask agree."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from janusflow.models.attention import Visible, attend, sample_boundaries, sample_mask
from janusflow.models.llm import LanguageModel, LLMConfig

SEGMENTS = torch.tensor([[0, 0, 0, 2, 2, -1, -1], [1, 1, 1, 1, 1, 1, 1], [3, -1, -1, -1, -1, -1, -1]])


def heads(count, seed=0):
    return torch.randn(*SEGMENTS.shape, count, 8, generator=torch.Generator().manual_seed(seed)).transpose(1, 2)


def test_boundaries_start_at_every_sample_and_every_row():
    assert sample_boundaries(SEGMENTS).tolist() == [0, 3, 5, 7, 14, 15, 21]
    assert sample_boundaries(SEGMENTS).dtype == torch.int32
    assert sample_boundaries(torch.full((2, 3), -1)).tolist() == [0, 3, 6]


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_mask_equals_attention_within_the_boundaries(kv_heads):
    query, key, value = heads(4), heads(kv_heads, 1), heads(kv_heads, 2)
    masked = attend(query, key, value, Visible(sample_mask(SEGMENTS)))
    flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    apart = []
    edges = sample_boundaries(SEGMENTS).tolist()
    for start, end in pairwise(edges):
        one = [states[start:end].transpose(0, 1) for states in flat]
        apart.append(F.scaled_dot_product_attention(*one, is_causal=True, enable_gqa=True).transpose(0, 1))
    torch.testing.assert_close(masked.flatten(0, 1), torch.cat(apart), atol=1e-6, rtol=1e-5)


def test_segments_reach_attention_as_a_mask_on_the_cpu():
    torch.manual_seed(0)
    llm = LanguageModel(LLMConfig(16, 32, 64, 2, 4, 2, 64)).eval()
    embeds = torch.randn(*SEGMENTS.shape, 32)
    positions = torch.arange(7).expand(3, -1)
    whole = llm(embeds, positions, segments=SEGMENTS).hidden
    alone = llm(embeds[:1, 3:5], positions[:1, 3:5]).hidden
    torch.testing.assert_close(whole[:1, 3:5], alone, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(whole[:1, 3:5], llm(embeds, positions).hidden[:1, 3:5], atol=1e-3)


def loop_over_samples(query, key, value, begins, _, longest, __, *, scale, window_size, enable_gqa=False):
    """What the kernel computes, after its documentation: (T, H, d) states of samples one behind the other."""
    assert window_size == (-1, 0) and begins.dtype == torch.int32 and longest >= begins.diff().max()
    parts = [
        F.scaled_dot_product_attention(
            *(states[start:end].transpose(0, 1) for states in (query, key, value)),
            is_causal=True,
            scale=scale,
            enable_gqa=enable_gqa,
        ).transpose(0, 1)
        for start, end in pairwise(begins.tolist())
    ]
    return torch.cat(parts)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_kernel_is_called_with_what_the_mask_says(kv_heads, monkeypatch):
    monkeypatch.setattr("janusflow.models.attention.varlen_attn", loop_over_samples)
    query, key, value = heads(4), heads(kv_heads, 1), heads(kv_heads, 2)
    kernel = attend(query, key, value, Visible(boundaries=sample_boundaries(SEGMENTS)))
    masked = attend(query, key, value, Visible(sample_mask(SEGMENTS)))
    torch.testing.assert_close(kernel, masked, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the variable-length kernel runs on CUDA only")
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_kernel_equals_mask_with_its_gradient(kv_heads):
    torch.manual_seed(0)
    llm = LanguageModel(LLMConfig(16, 256, 512, 2, 4, kv_heads, 64)).to("cuda", torch.bfloat16)
    embeds = torch.randn(*SEGMENTS.shape, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    positions, segments = torch.arange(7, device="cuda").expand(3, -1), SEGMENTS.cuda()
    real = segments >= 0
    kernel = llm(embeds, positions, segments=segments).hidden[real]
    (gradient,) = torch.autograd.grad(kernel.float().square().sum(), embeds)
    masked = llm(embeds, positions, mask=sample_mask(segments)).hidden[real]
    (expected,) = torch.autograd.grad(masked.float().square().sum(), embeds)
    torch.testing.assert_close(kernel, masked, atol=3e-2, rtol=3e-2)
    torch.testing.assert_close(gradient, expected, atol=3e-2 * expected.abs().max().item(), rtol=3e-2)


@pytest.mark.parametrize("added", [False, True], ids=["boolean mask", "added mask"])
def test_training_in_bf16_on_a_cpu_agrees_with_sdpa_in_fp32(added):
    mask = sample_mask(SEGMENTS)
    if added:
        mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    states = [heads(4, seed).requires_grad_() for seed in range(3)]

    def outcome(dtype):
        out = attend(*(x.to(dtype) for x in states), Visible(mask)).float()
        return out, *torch.autograd.grad(out.square().sum(), states)

    for got, expected in zip(outcome(torch.bfloat16), outcome(torch.float32), strict=True):
        torch.testing.assert_close(got, expected, atol=2e-2 * expected.abs().max().item(), rtol=2e-2)
