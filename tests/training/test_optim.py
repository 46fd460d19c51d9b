"""The optimizers: what each takes, and that two of them behave as one."""

import copy

import lightning as L
import pytest
import torch
from torch import nn

from janusflow.training import muon
from janusflow.training.module import UnifiedModule
from janusflow.training.muon import Muon, orthogonalized
from janusflow.training.optim import OptimConfig, OptimizerUnion, build_optimizer, set_rate
from janusflow.training.stages import StageConfig, rate_factor


def test_muon_takes_linear_layers_but_not_the_vocabulary(tiny_model):
    optimizer = build_optimizer(tiny_model, 1e-3, OptimConfig(algorithm="muon"))
    assert isinstance(optimizer, OptimizerUnion)
    taken = {id(p) for group in optimizer.parts[0].param_groups for p in group["params"]}
    names = {name for name, p in tiny_model.named_parameters() if id(p) in taken}
    assert "llm.causal_lm.model.layers.0.self_attn.q_proj.weight" in names
    assert "head.encoder_aligner.weight" in names
    assert not any("lm_head" in name or "embed_tokens" in name or name.endswith("bias") for name in names)


def random_matrices(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def test_orthogonalized_matrices_keep_their_singular_vectors():
    for shape in ((5, 24, 64), (5, 64, 24)):
        matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        found = orthogonalized(matrices, torch.float32)
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        inner = left.mT @ found @ right.mT
        stretched = inner.diagonal(dim1=-2, dim2=-1)
        assert stretched.min() > 0.6 and stretched.max() < 1.3
        assert (inner - torch.diag_embed(stretched)).abs().max() < 1e-4
        torch.testing.assert_close(found[2], orthogonalized(matrices[2:3], torch.float32)[0])


def test_muon_does_what_torchs_does_to_the_precision_of_bf16():
    shapes = ((24, 64), (64, 24), (24, 64), (7, 7))
    ours, theirs = random_matrices(*shapes), random_matrices(*shapes)
    first = [matrix.detach().clone() for matrix in ours]
    optimizers = (
        Muon(ours, 0.01, weight_decay=0.1),
        torch.optim.Muon(theirs, 0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(4):
        for matrices, optimizer in zip((ours, theirs), optimizers, strict=True):
            for number, matrix in enumerate(matrices):
                generator = torch.Generator().manual_seed(10 * step + number)
                matrix.grad = torch.randn(matrix.shape, generator=generator)
            optimizer.step()
    for begun, one, other in zip(first, ours, theirs, strict=True):
        moved = (other - begun).norm()
        assert (one - other).norm() < 0.03 * moved and moved > 0.01


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_muon_orthogonalises_in_the_runs_precision(precision, dtype, tiny_model, monkeypatch):
    module = UnifiedModule(tiny_model, codec=None, optim=OptimConfig(algorithm="muon"))
    module.trainer = L.Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)
    module.enter(STAGE, 0)
    optimizer = module.configure_optimizers()
    for parameter in tiny_model.parameters():
        parameter.grad = torch.ones_like(parameter)
    seen = set()
    monkeypatch.setattr(muon, "orthogonalized", lambda x, dtype: seen.add(dtype) or orthogonalized(x, dtype))
    optimizer.step()
    assert seen == {dtype}


STAGE = StageConfig(lr=1e-2, steps=10, warmup_steps=4, decay_fraction=0.5)


def train(model, optimizer, first, count):
    for step in range(first, first + count):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        set_rate(optimizer, STAGE.lr * rate_factor(STAGE, step))
        optimizer.step()


def test_union_takes_rates_and_restores_its_state():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    optimizer = build_optimizer(model, STAGE.lr, OptimConfig(algorithm="muon"))
    train(model, optimizer, 0, 2)
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [pytest.approx(0.5e-2)] * 2
    twin, saved = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    train(model, optimizer, 2, 4)

    again = build_optimizer(twin, STAGE.lr, OptimConfig(algorithm="muon"))
    again.load_state_dict(saved)
    train(twin, again, 2, 4)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_unknown_algorithm_is_named():
    with pytest.raises(ValueError, match=r"optim\.algorithm 'lion'"):
        OptimConfig(algorithm="lion")
