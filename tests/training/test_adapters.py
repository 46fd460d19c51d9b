"""Runs that train an adapter: exact resumption, what they leave, and how that is used, merged and read by peft."""

import json
import math

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

import train
from janusflow.adapters import is_adapter
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.config import load_config
from janusflow.training import checkpoints
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.training.module import UnifiedModule
from tests.training.conftest import QUIET, Killed, equal, losses, weights, write_config

peft = pytest.importorskip("peft")
ADAPTER = (
    "adapter.rank=2",
    "adapter.dropout=0.1",
    "stages.stage1.train=[llm]",
    "stages.stage2.train=[llm, understanding]",
    "stages.stage2.lr=0.01",
)
LAST = "model/adapter_model.safetensors"
CODEC = "parts.vae=shapes/vae"


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The model that the adapters lie over."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    save_pretrained(build_bundle(load_config(RunConfig, write_config(folder), [CODEC])), folder / "model")
    return folder / "model"


def arguments(folder, base, *more):
    return [str(write_config(folder)), QUIET, CODEC, f"parts.checkpoint={base}", *ADAPTER, *more]


@pytest.fixture(scope="session")
def adapted(base, tmp_path_factory):
    """A finished run of an adapter, with the trained model as it was in memory."""
    folder, held = tmp_path_factory.mktemp("adapter"), []
    with pytest.MonkeyPatch.context() as patch:
        whole = checkpoints.whole_model
        patch.setattr(checkpoints, "whole_model", lambda module: held.append(whole(module)) or held[-1])
        assert train.main(arguments(folder, base)) == 0
    return folder / "runs" / "small", held[-1]


def test_a_killed_run_goes_on_bit_for_bit_from_states_of_the_adapter_alone(
    adapted, base, tmp_path, at_step, monkeypatch
):
    def break_down():
        raise Killed

    at_step(7, 4, break_down)
    with pytest.raises(Killed):
        train.main(arguments(tmp_path, base))
    monkeypatch.undo()
    whole, killed = adapted[0], tmp_path / "runs" / "small"
    assert train.main(["--resume", str(killed)]) == 0
    assert losses(killed) == losses(whole)
    for name in (LAST, "model/modules.safetensors"):
        assert equal(load_file(killed / name), load_file(whole / name))
    stored = dcp.FileSystemReader(killed / "checkpoints/stage2-000007").read_metadata().state_dict_metadata
    held = {name.partition(".")[2] for name in stored if name.startswith("model.")}
    assert held and all(is_adapter(name) or name.startswith("vision.") for name in held)
    assert {f"ema.model.{name}" for name in held} | {"ema.updates"} == {n for n in stored if n.startswith("ema.")}


def test_merged_is_unmerged_whichever_way_it_is_loaded(adapted, base, tmp_path, capsys):
    run, held = adapted
    ids = torch.arange(40).view(1, -1) + 20
    positions = torch.arange(40).view(1, -1)

    def logits(model):
        with torch.no_grad():
            return model.llm.logits(model.llm(model.llm.embed(ids), positions).hidden)

    expected = logits(held.eval())
    assert (expected - logits(load_pretrained(base).model)).abs().max() > 0.05, "it learnt something"
    assert main(["merge", str(base), str(run), "--out", str(tmp_path / "merged")]) == 0
    assert main(["export", str(base), str(tmp_path / "deepseek"), "--adapter", str(run)]) == 0
    for found in (
        load_pretrained(run),
        load_pretrained(base, adapter=run),
        load_pretrained(tmp_path / "merged"),
        load_pretrained(tmp_path / "deepseek"),
    ):
        torch.testing.assert_close(logits(found.model), expected, atol=1e-5, rtol=0)
        assert not any(is_adapter(name) for name, _ in found.model.named_parameters())
        torch.testing.assert_close(found.model.vision.aligner.state_dict(), held.vision.aligner.state_dict())
    assert load_pretrained(run).digest not in (
        load_pretrained(base).digest,
        load_pretrained(tmp_path / "merged").digest,
    )


def test_peft_reads_the_adapter_over_transformers_llama(adapted, base):
    run, _ = adapted
    ours, sizes = load_pretrained(base).model, load_pretrained(base).model.config.llm
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=sizes.vocab_size,
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_hidden_layers=sizes.num_layers,
            num_attention_heads=sizes.num_heads,
            max_position_embeddings=sizes.max_positions,
            tie_word_embeddings=False,
        )
    )
    llama.load_state_dict(ours.llm.causal_lm.state_dict())
    theirs = peft.PeftModel.from_pretrained(llama, str(run / "model")).eval()
    ids = torch.arange(30).view(1, -1) + 50
    merged = load_pretrained(run).model.llm
    with torch.no_grad():
        expected = merged.logits(merged(merged.embed(ids), torch.arange(30).view(1, -1)).hidden)
        torch.testing.assert_close(theirs(ids).logits, expected, atol=1e-4, rtol=0)


def test_the_average_shares_what_does_not_train(base, tmp_path, at_step, monkeypatch):
    seen = []
    monkeypatch.setattr(UnifiedModule, "validation_step", lambda self, *given: seen.append(self) or {})
    assert train.main(arguments(tmp_path, base)) == 0
    module = seen[-1]
    pairs = zip(module.model.named_parameters(), module.ema.model.parameters(), strict=True)
    apart = {name for (name, value), average in pairs if value is not average}
    assert apart == module.kept and any(map(is_adapter, apart)) and len(apart) < len([*module.model.parameters()]) / 2
