"""Configuration files, overrides and their errors."""

from dataclasses import asdict

import pytest

from janusflow.config import load_config, save_config
from janusflow.training.config import PartsConfig, RunConfig
from janusflow.training.optim import OptimConfig
from tests.conftest import ROOT

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.name.startswith("base"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_configuration_is_read(path):
    assert load_config(RunConfig, path).stages


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
        (["stages.stage1.ratios=[{und: 1}]"], "it has understanding, generation, text, until"),
        (["seed=["], r"cannot read the override 'seed=\['"),
        (["~stages.stage9"], "remove stages.stage9, which is not set; there are stage1, stage2, stage3"),
        (["~seed=3"], "write '~seed' to remove, behind it 'seed=3' to replace"),
        (["seed=many"], "many"),
        (["nonsense"], "nonsense"),
        (["model.llm.num_heads=5"], "192 is not a multiple of num_heads 5"),
        (["model.flow_head.latent_size=13"], "13"),
        (["model.repa.block=7"], "7"),
        (["data.prompt_drop=1.5"], "1.5"),
        (["stages.stage2.train=[vae]"], "vae"),
        (["model.flow_head.time.distribution=normal"], "normal"),
    ],
)
def test_bad_values_are_named_in_one_line(overrides, value):
    with pytest.raises(ValueError, match=value) as caught:
        load_config(RunConfig, ROOT / "configs/shapes.yaml", overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- list\n", "base: itself.yaml\n"])
def test_broken_files_are_named(tmp_path, text):
    (tmp_path / "itself.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"itself\.yaml"):
        load_config(RunConfig, tmp_path / "itself.yaml")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.yaml"):
        load_config(RunConfig, tmp_path / "nowhere.yaml")
