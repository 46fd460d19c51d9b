"""Sources by name, of this package and of your own, and what they give together."""

import dataclasses
import json
import multiprocessing
import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from janusflow.config import from_dict, load_config, save_config
from janusflow.data.config import COMMON_KEYS, DataConfig, source_config
from janusflow.data.rows import RowBuilder
from janusflow.data.sources import MixedSource
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.training.config import RunConfig
from janusflow.training.data import StageData
from janusflow.training.stages import RatioConfig, StageConfig
from janusflow.worlds.scenes import World
from tests.conftest import ROOT
from tests.data.conftest import picture, write_shard


def mixed(seed=0, **sources):
    return MixedSource(DataConfig(sources=sources), seed)


def test_samples_are_a_function_of_seed_task_and_index(folder):
    first, second, other = (mixed(seed, photos=source_config("folder", path=str(folder))) for seed in (1, 1, 2))
    for index in (7, 0, 3):
        a, b = first.generation(index, 0.5), second.generation(index, 0.5)
        assert a.prompt == b.prompt and a.image.tobytes() == b.image.tobytes()
        assert first.text(index) == second.text(index)
    assert [first.generation(i, 0).prompt for i in range(12)] != [other.generation(i, 0).prompt for i in range(12)]
    for turn in range(4):
        shown = {first.understanding(3 * turn + i).images[0].getpixel((0, 0))[0] for i in range(3)}
        assert shown == {0, 80, 160}, "each pass shows every image once"


def test_sources_are_mixed_by_weight_for_the_tasks_they_serve(tmp_path, shard):
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    sources = {
        "shard": source_config("webdataset", path=str(shard), tasks=["generation", "text"], weight=1),
        "text": source_config("text", path=str(tmp_path / "t.txt"), weight=3),
        "closed": source_config("text", path="nowhere", weight=0),
    }
    source = mixed(**sources)
    drawn = [source.orders["text"][index][0] for index in range(1000)]
    assert np.bincount(drawn).tolist() == [250, 750]
    served = [index for index in range(20) if drawn[index] == 1]
    assert {source.text(index).text for index in served} == {"one", "two", "three"}
    assert [source.text(i) for i in served] == [mixed(**sources).text(i) for i in served]
    with pytest.raises(ValueError, match="understanding"):
        source.understanding(0)
    with pytest.raises(ValueError, match="'text' \\(text\\) gives no generation"):
        mixed(text=source_config("text", path=str(tmp_path / "t.txt"), tasks=["generation"]))


def test_a_world_is_the_default_and_can_be_mixed(folder):
    alone, named = MixedSource(DataConfig(), 5), mixed(5, world=source_config("world"))
    assert alone.generation(3, 0.5).image.tobytes() == named.generation(3, 0.5).image.tobytes()
    both = mixed(photos=source_config("folder", path=str(folder)), world=source_config("world", image_size=64))
    drawn = [both.generation(index, 0) for index in range(20)]
    assert {sample.image.size == (64, 64) for sample in drawn} == {True, False}


@pytest.mark.parametrize(("count", "held"), [(21, 2), (9, 0)])
def test_what_is_held_out_never_trains(folder, count, held):
    """A tenth at most, the same for every seed and task; all else comes once in an epoch."""
    lines = [json.dumps({"file": f"{number % 3}.png", "captions": [f"number {number}"]}) for number in range(count)]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    kept = set()
    for seed in range(3):
        source = MixedSource(DataConfig(sources={"p": source_config("folder", path=str(folder))}, held_out=32), seed)
        assert source.held == {"p": held}
        numbers = [number for number, _ in source.held_samples("p", "text", range(held))]
        texts = {sample.text for _, sample in source.held_samples("p", "text", range(held))}
        assert texts == {sample.prompt for _, sample in source.held_samples("p", "generation", range(held))}
        assert numbers == list(range(held)) and len(texts) == held
        kept.add(frozenset(texts))
        for epoch in range(2):
            epochs = range(epoch * (count - held), (epoch + 1) * (count - held))
            assert {source.text(index).text for index in epochs} == {f"number {n}" for n in range(count)} - texts
            assert {source.generation(index, 0.0).prompt for index in epochs} & texts == set()
    assert len(kept) == 1


def test_first_sentences(tmp_path):
    shard = write_shard(tmp_path / "s.tar", {"0.png": picture("red"), "0.txt": b"One. Two. Three."})
    source = mixed(s=source_config("webdataset", path=str(shard)))
    prompts = [source.generation(index, 0.25).prompt for index in range(400)]
    assert set(prompts) == {"One", "One. Two. Three."}
    assert 0.18 < np.mean([prompt == "One" for prompt in prompts]) < 0.32


REFUSED = {  # a source, and what the error says
    "{kind: foldr, path: a}": "unknown source 'foldr'; did you mean folder",
    "{path: a}": "unknown source 'mine'; choose from webdataset",
    "{kind: 'nowhere:Reader'}": "the source 'nowhere:Reader' cannot be imported",
    "{kind: folder}": "path",
    "{kind: folder, path: a, image_column: b}": "it has kind, tasks, weight, path, min_side, cached_latents",
    "{kind: folder, path: a, weight: -1}": "weight is 0 or more",
    "{kind: folder, path: a, min_side: -1}": "min_side is 0 or more",
    "{kind: world, turns: 0}": "turns of a world must be at least 1",
    "{kind: shapes, caption_share: 2}": "caption_share of a world is a share",
    "{kind: world, cast: animals}": "unknown cast 'animals'",
    "{kind: world, level: loose}": "level",
}


@pytest.mark.parametrize("given", REFUSED)
def test_configurations_of_sources_that_are_refused(given):
    with pytest.raises(ValueError, match=REFUSED[given]):
        load_config(RunConfig, ROOT / "configs/shapes.yaml", [f"data.sources={{mine: {given}}}"])


def test_configurations_are_saved_and_those_of_earlier_versions_read(tmp_path):
    sources = {"a": source_config("folder", path="a", min_side=5), "b": source_config("text", path="b", weight=2.0)}
    save_config(DataConfig(sources=sources), tmp_path / "new.yaml")
    assert load_config(DataConfig, tmp_path / "new.yaml").sources == sources
    earlier = {name: {**COMMON_KEYS, **dataclasses.asdict(config)} for name, config in sources.items()}
    assert from_dict(DataConfig, {"sources": earlier}, "x").sources == sources


@pytest.mark.parametrize(
    "earlier",
    [
        {"turns": 3, "long_captions": 0.5},
        {"sources": {"shapes": {"kind": "shapes", "turns": 3, "long_captions": 0.5}}},
        {"sources": {"shapes": {"turns": 3, "long_captions": 0.5}}},
        {"turns": 3, "long_captions": 0.5, "sources": {}},
    ],
)
def test_the_shapes_of_earlier_versions_are_a_world_on_a_grid(earlier):
    config = from_dict(DataConfig, earlier, "x")
    expected = source_config("world", cast="shapes", level="fixed", turns=3, long_captions=0.5)
    assert config.sources == {"shapes": expected}
    assert MixedSource(config, 0).readers["shapes"].world == World("shapes", "fixed")


def test_keys_that_stood_beside_the_sources_are_those_of_the_world_below(tmp_path):
    (tmp_path / "base.yaml").write_text("sources: {photos: {kind: folder, path: a}, own: {kind: world, cast: objects}}")
    (tmp_path / "file.yaml").write_text("base: base.yaml\nturns: 5")
    in_file, in_command = (
        load_config(DataConfig, tmp_path / name, overrides)
        for name, overrides in (("file.yaml", []), ("base.yaml", ["turns=5"]))
    )
    assert in_file.sources == in_command.sources
    assert in_file.sources["own"] == source_config("world", cast="objects", turns=5)
    assert in_file.sources["photos"] == source_config("folder", path="a")
    (tmp_path / "photos.yaml").write_text("sources: {photos: {kind: folder, path: a}}")
    assert set(load_config(DataConfig, tmp_path / "photos.yaml", ["turns=5"]).sources) == {"photos"}, "means nothing"


def test_a_source_of_your_own_is_a_file_in_the_working_folder(examples, tokenizer, monkeypatch):
    """Named in YAML and on the command line, it is read by worker processes that inherit nothing."""
    monkeypatch.setattr(multiprocessing.process, "ORIGINAL_DIR", str(examples))
    path = examples / "own.yaml"
    path.write_text(f"base: {ROOT}/configs/shapes.yaml\ndata: {{sources: {{own: {{kind: 'my_data:Squares'}}}}}}\n")
    with pytest.raises(ValueError, match="missing mandatory value: grey"):
        load_config(RunConfig, path)
    with pytest.raises(ValueError, match=r"grey must lie in .* got 256"):
        load_config(RunConfig, path, ["data.sources.own.grey=256"])
    data = load_config(RunConfig, path, ["data.sources.own.grey=255"]).data
    assert data.offered_tasks == {"generation", "understanding"} and data.sources["own"].most == 60
    builder = RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 36), image_size=48, max_length=256)
    stage = StageConfig(steps=2, batch_size=2, ratios=[RatioConfig(0, 1, 0)])
    dataset = StageData(builder, stage, data, (0, 0)).train_dataloader().dataset
    loader = DataLoader(pickle.loads(pickle.dumps(dataset)), None, num_workers=1, multiprocessing_context="spawn")
    ((batch,), faults, _) = next(iter(loader))
    assert (batch.gen_pixels == 1).all() and batch.gen_pixels.shape == (2, 3, 48, 48) and not faults
