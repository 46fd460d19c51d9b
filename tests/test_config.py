"""Configuration files, overrides and their errors."""

from dataclasses import asdict

import pytest

from janusflow.config import load_config, save_config
from janusflow.training.config import RunConfig
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


@pytest.mark.parametrize(
    ("overrides", "value"),
    [
        (["model.llm.depth=3"], "depth"),
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
