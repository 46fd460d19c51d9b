"""Configuration files, overrides and their errors."""

from dataclasses import asdict

import pytest
from omegaconf import OmegaConf

from janusflow.config import load_config, save_config
from janusflow.training.config import PartsConfig, RunConfig
from janusflow.training.optim import OptimConfig
from tests.conftest import ROOT


def test_overrides_replace_values():
    config = load_config(
        RunConfig, ROOT / "configs/shapes.yaml", ["seed=7", "stages.stage2.lr=0.5", "preview.prompts=[a, b]"]
    )
    assert (config.seed, config.stages["stage2"].lr, config.preview.prompts) == (7, 0.5, ["a", "b"])


def test_saved_configuration_is_the_same(tmp_path):
    config = load_config(RunConfig, ROOT / "configs/shapes.yaml")
    save_config(config, tmp_path / "config.yaml")
    assert asdict(load_config(RunConfig, tmp_path / "config.yaml")) == asdict(config)


def test_file_states_differences_over_its_base(tmp_path):
    (tmp_path / "base.yaml").write_text("seed: 1\nname: parent\nstages: {stage1: {steps: 5}}\n")
    (tmp_path / "child.yaml").write_text("base: base.yaml\nname: child\n")
    config = load_config(RunConfig, tmp_path / "child.yaml")
    assert (config.seed, config.name, config.stages["stage1"].steps) == (1, "child", 5)


def sources(*overrides, path=ROOT / "configs/finetune.yaml"):
    return load_config(RunConfig, path, overrides).data.sources


def test_keys_are_removed_and_replaced():
    mine = "{mine: {kind: text, path: a.txt}}"
    assert set(sources("~data.sources.conversations")) == {"photos"}
    assert set(sources("data.sources.mine={kind: text, path: a.txt}")) == {"photos", "conversations", "mine"}
    assert set(sources(f"data.sources={mine}")) == {"mine"}
    replaced = sources(
        "data.sources.photos.weight=5", "~data.sources.photos", "data.sources.photos={kind: text, path: a}"
    )
    assert (replaced["photos"].kind, replaced["photos"].weight) == ("text", 1)
    config = load_config(RunConfig, ROOT / "configs/finetune.yaml", ["~optim.ema_decay", "model.llm={num_layers: 9}"])
    assert config.optim == OptimConfig(**{**asdict(config.optim), "ema_decay": OptimConfig().ema_decay})
    assert (config.model.llm.num_layers, config.model.llm.hidden_size) == (9, 2048)  # other mappings are merged


def test_a_file_removes_and_replaces_keys_of_its_base(tmp_path):
    base = f"base: {ROOT / 'configs/finetune.yaml'}\n"
    path = tmp_path / "child.yaml"
    path.write_text(base + "data: {sources: {~conversations: }}\n~parts:\nparts: {llm: null}\n")
    config = load_config(RunConfig, path)
    assert set(config.data.sources) == {"photos"}
    assert config.parts == PartsConfig(llm=None)  # nothing of the base's parts stays
    for text in ("data: {sources: {~talks: }}", "~data: {image_size: 1}"):
        path.write_text(base + text)
        with pytest.raises(
            ValueError, match=r"talks, which is not set; there are|~data removes a key and has no value"
        ):
            load_config(RunConfig, path)


@pytest.mark.parametrize(
    ("overrides", "value"),
    [
        (["model.llm.depth=3"], "depth"),
        (["trainer.device=2"], "Did you mean: 'devices'"),
        (["num_layers=2"], r"there is model\.llm\.num_layers"),
        (["stages.stage1.ratios=[{und: 1}]"], "it has understanding, generation, text, reconstruction, editing, until"),
        (["seed=["], r"cannot read the override 'seed=\['"),
        (["~stages.stage9"], "remove stages.stage9, which is not set; there are stage1, stage2, stage3"),
        (["~seed=3"], "write '~seed' to remove, behind it 'seed=3' to replace"),
        (["seed=many"], "many"),
        (["nonsense"], "nonsense"),
        (["model.llm.num_heads=7"], "160 is not a multiple of num_heads 7"),
        (["model.head.latent_size=13"], "13"),
        (["model.losses.repa.block=7"], "7"),
        (["data.prompt_drop=1.5"], "1.5"),
        (["stages.stage2.train=[vae]"], "vae"),
        (["model.head.time.distribution=normal"], "normal"),
    ],
)
def test_bad_values_are_named_in_one_line(overrides, value):
    with pytest.raises(ValueError, match=value) as caught:
        load_config(RunConfig, ROOT / "configs/shapes.yaml", overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- list\n", "base: itself.yaml\n", None])
def test_broken_and_missing_files_are_named(tmp_path, text):
    if text is not None:
        (tmp_path / "itself.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"itself\.yaml"):
        load_config(RunConfig, tmp_path / "itself.yaml")


EARLIER = {  # spellings of earlier versions, on the command line and in files -> today's
    "model.head=ar": "model.head.kind=ar",
    "model.flow_head.width=64": "model.head.width=64",
    "model.flow_head.time.mean=0.5": "model.head.time.mean=0.5",
    "model.repa.enabled=false": "model.losses.repa.weight=0",
    "model.repa.block=3": "model.losses.repa.block=3",
    "model.z_loss=0.1": "model.losses.ar.z_loss=0.1",
    "preview.guidance=3": "sampling.guidance=3.0",
    "report.steps=7": "report.sampling.steps=7",
    "data.turns=6": "data.sources.world.turns=6",
    "preview.temperature=0.5": None,  # of the other head: it was there for both, and meant nothing
}


@pytest.mark.parametrize("old", EARLIER)
def test_earlier_spellings_are_read(tmp_path, old):
    shapes, more = ROOT / "configs/shapes.yaml", []
    if "head=ar" in old:
        more = ["model.losses.repa.weight=0", "model.head.grid=6"]
    new = [item for item in (EARLIER[old],) if item is not None]
    expected = load_config(RunConfig, shapes, [*new, *more])
    assert load_config(RunConfig, shapes, [old, *more]) == expected
    file = OmegaConf.from_dotlist([old])
    OmegaConf.save(OmegaConf.merge({"base": str(shapes)}, file), tmp_path / "old.yaml")
    assert load_config(RunConfig, tmp_path / "old.yaml", more) == expected
    assert new == [] or expected != load_config(RunConfig, shapes)
