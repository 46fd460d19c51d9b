"""Runs that train an adapter: exact resumption, what they leave, and how that is used, merged and read by peft."""

import copy
import json
import shutil

import pytest
import torch
import torch.distributed.checkpoint as dcp
from PIL import Image
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

import train
from janusflow.adapters import AdapterConfig, add_adapter, is_adapter
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.config import load_config, save_config
from janusflow.training import checkpoints
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.training.metrics import Validation
from janusflow.training.module import UnifiedModule
from janusflow.training.preflight import check_adapter
from janusflow.training.run import Run
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
        assert train.main(arguments(folder, base, "trainer.keep_best=[validation/world/ar]")) == 0
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
    draw = ["generate", "a ring", "--model", str(base), "--adapter", str(run), "--steps", "1", "--num-images", "1"]
    assert main([*draw, "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "a-ring-0.png") as image:
        assert image.info["model"] == load_pretrained(run).digest
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


def test_a_sixteen_bit_base_computes_the_same_where_it_is_no_longer(tiny_model):
    """Weights that are bf16 anyway, as those of releases: the same numbers, in half the memory."""
    rounded = {name: value.bfloat16().float() for name, value in tiny_model.llm.state_dict().items()}
    found = {}
    for bits in (32, 16):
        llm = copy.deepcopy(tiny_model.llm)
        llm.load_state_dict(rounded)
        torch.manual_seed(0)
        add_adapter(llm.causal_lm, AdapterConfig(rank=2, base_bits=bits))
        ids = torch.arange(10).view(1, -1)
        llm(llm.embed(ids), ids).hidden.square().mean().backward()
        found[bits] = {name: value.grad for name, value in llm.named_parameters() if is_adapter(name)}
        assert all(value.dtype == torch.float32 for name, value in llm.named_parameters() if is_adapter(name))
        assert llm.blocks[0].mlp.up_proj.base_layer.weight.element_size() == bits // 8
    torch.testing.assert_close(found[16], found[32], rtol=0, atol=0)
    assert any(gradient.any() for gradient in found[16].values())


def copy_of(run, folder, **changes):
    """The adapter of a run, its configuration changed."""
    copy = shutil.copytree(run / "model", folder)
    path = copy / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return copy


def test_an_adapter_that_does_not_fit_is_one_line(adapted, base, tmp_path, capsys):
    run, _ = adapted
    cut = copy_of(run, tmp_path / "cut")
    (cut / "adapter_model.safetensors").write_bytes(b"cut")
    (copy_of(run, tmp_path / "bare") / "adapter_model.safetensors").unlink()
    faults = {
        run / "nowhere": "no adapter at",
        cut: "cannot read the weights",
        tmp_path / "bare": "there is no adapter_model.safetensors",
        copy_of(run, tmp_path / "wide", r=4): "has shape (2,",
        copy_of(run, tmp_path / "other", target_modules=["query"]): "does not fit the model",
        copy_of(run, tmp_path / "kind", peft_type="NONE"): "adapter_config.json",
    }
    for adapter, words in faults.items():
        assert main(["merge", str(base), str(adapter), "--out", str(tmp_path / "out")]) == 2, adapter
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line, line
    orphan = copy_of(run, tmp_path / "orphan", base_model_name_or_path=str(tmp_path / "orphan"))
    assert main(["export", str(orphan), str(tmp_path / "out")]) == 2
    assert "does not say which model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_best_by_held_out_losses_is_kept_and_a_rise_is_warned_of_once(adapted, base, tmp_path, capsys):
    run, _ = adapted
    best = json.loads((run / "best" / "best.json").read_text())
    found = {key[:2]: float(value) for key, value in losses(run).items() if key[2] == "validation/world/ar"}
    assert best["value"] == pytest.approx(min(found.values()), rel=1e-4)
    assert found[best["stage"], best["step"]] == min(found.values())
    last = best["step"] == 6 and best["stage"] == "stage2"
    assert equal(weights(run / "best"), weights(run)) == last
    callback = Validation(1, "stage2")
    for step, value in enumerate((2.0, 1.0, 1.04, 1.06, 3.0)):
        callback.warn({"validation/world/ar": value}, step)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: stage2, step 3: validation/world/ar is 1.06 and was 1 at step 1")
    assert train.main(arguments(tmp_path, base, "trainer.keep_best=[validation/world/nothing]")) == 2
    assert "no held-out loss 'validation/world/nothing'; there are valid" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["trainer.devices=2", "trainer.accumulate=2", "trainer.compile=true"])
def test_what_dropout_depends_on_stays(adapted, change, tmp_path, capsys):
    run = adapted[0]
    assert train.main(["--resume", str(run), change]) == 2
    assert f"a resumed run keeps its configuration, and {change!r} would change it" in capsys.readouterr().err
    without = load_config(RunConfig, run / "config.yaml", ["adapter.dropout=0"])
    save_config(without, tmp_path / "config.yaml")
    assert Run.resume(tmp_path, [change]).config != without


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("adapter.rank=-1", "adapter.rank"),
        ("adapter.targets=[query]", "'query'"),
        ("adapter.dropout=1", "adapter.dropout must lie in [0, 1)"),
        ("adapter.base_bits=7", "32, 16, 8, 4, got 7"),
        ("adapter.base_bits=4", "needs a CUDA GPU"),
        ("parts.checkpoint=null", "set parts.checkpoint"),
        ("stages={stage1: {train: [generation]}}", "no stage trains llm"),
    ],
)
def test_an_adapter_that_cannot_train_is_one_line(base, tmp_path, capsys, monkeypatch, change, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train.main(arguments(tmp_path, base, change)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="does not train sharded"):
        check_adapter(
            load_config(RunConfig, write_config(tmp_path), [*arguments(tmp_path, base)[2:], "trainer.strategy=fsdp"])
        )
