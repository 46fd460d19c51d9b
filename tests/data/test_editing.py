"""Edits as data: the sequence, what is dropped of it, the mixture, and real pairs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from janusflow.cli import main
from janusflow.data.check import check_source
from janusflow.data.config import DataConfig, source_config
from janusflow.data.editing import EditingConfig
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.sources import MixedSource, open_reader
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.training.data import HeldOutDataset, Part, StepDataset
from janusflow.training.stages import RatioConfig, StageConfig

N = 36
STAGE = StageConfig(
    steps=20, batch_size=16, ratios=[RatioConfig(4, 3, 2, editing=7)], editing=EditingConfig(words_drop=0.3)
)
CONFIG = DataConfig(prompt_drop=0.2, held_out=3)
EDIT = GenerationSample(Image.new("RGB", (48, 48), "red"), "make it red.", images=[Image.new("RGB", (48, 48), "blue")])


@pytest.fixture(params=[False, True], ids=["seen", "with latents"])
def builder(request, tokenizer):
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), N, source_latents=request.param), 48, max_length=256)


@pytest.mark.parametrize("instruction", [True, False])
def test_source_then_the_instruction_then_its_latents_then_the_drawn_span(builder, tokenizer, instruction):
    encode, image = tokenizer.encode, [tokenizer.boi, *[tokenizer.image] * N, tokenizer.eoi]
    around = ("User: ", "\n\nAssistant:") if instruction else ("", "")
    front = [tokenizer.bos, *encode(around[0])]
    latents = image[:-1] if builder.template.source_latents else []
    request = encode(f"\n{EDIT.prompt}{around[1]}")
    sequence = builder.generation(EDIT, instruction, drop=False)
    assert sequence.ids == [*front, *image, *request, *latents, *image[:-1]]
    assert sequence.positions == list(range(len(sequence.ids))) and not any(sequence.supervised)
    assert sequence.und == [len(front)]
    assert list(sequence.source) == ([len(front) + len(image) + len(request)] if latents else [])
    assert sequence.gen == [len(front) + len(image) + len(latents) + len(request)]


@pytest.mark.parametrize("form", ["gap", "pad"])
def test_where_both_are_dropped_nothing_is_shown_and_the_span_stays(builder, tokenizer, form):
    builder.template.dropped = form
    kept, both = (builder.generation(EDIT, True, drop) for drop in (False, True))
    assert both.und == list(both.source) == []
    assert both.positions[-1 - N :] == kept.positions[-1 - N :]
    pads = [tokenizer.pad] * (0 if form == "gap" else kept.gen[0] - 1)
    assert both.ids[: both.gen[0]] == [tokenizer.bos, *pads]


def dataset(builder, part=None, stage=STAGE):
    return StepDataset(MixedSource(CONFIG, 3), builder, stage, CONFIG, [0, 1], part or Part())


def test_rows_hold_sources_and_targets_and_slots_point_at_all_of_them(builder):
    shown = dropped = 0
    for step in range(4):
        (batch,) = dataset(builder)[step].micro_batches
        rows, segments = batch.rows, batch.rows.segments.flatten()
        seen, drawn, sources = (
            segments[slots[:, 0]].tolist() for slots in (rows.und_slots, rows.gen_slots, rows.source_slots)
        )
        assert len(seen) == len(batch.und_pixels) and len(sources) == len(batch.source_pixels)
        assert len(drawn) == len(batch.gen_pixels) == len(batch.seeds) == 10
        edits = [number for number in drawn[3:] if number in seen]
        assert sources == (edits if builder.template.source_latents else [])
        for place, number in enumerate(sources):
            und, gen = seen.index(number), drawn.index(number)
            assert torch.equal(batch.und_pixels[und], batch.source_pixels[place])
            assert not torch.equal(batch.source_pixels[place], batch.gen_pixels[gen])
            assert rows.und_slots[und, -1] + 1 < rows.source_slots[place, 0] < rows.gen_slots[gen, 0]
        shown, dropped = shown + len(edits), dropped + 7 - len(edits)
    assert 1 <= dropped <= 12, "of 28 about 0.2"


def test_a_share_of_instructions_is_dropped_alone(builder):
    """A wordless edit is what an empty instruction would be."""
    lengths = torch.cat([dataset(builder)[step].micro_batches[0].rows.lengths() for step in range(6)])
    wordless = len(builder.generation(EDIT._replace(prompt=""), True, False).ids)
    assert 4 <= int((lengths == wordless).sum()) <= 22, "of 42 about 0.3"


def test_any_number_of_processes_shares_the_same_edits_and_no_other_draw_moves(builder):
    (whole,) = dataset(builder)[5].micro_batches
    shared = [b for rank in range(2) for b in dataset(builder, Part(rank, 2, 2))[5].micro_batches]
    assert sorted(torch.cat([b.seeds for b in shared]).tolist()) == sorted(whole.seeds.tolist())
    assert sum(len(b.source_pixels) for b in shared) == len(whole.source_pixels)
    without = StageConfig(steps=20, batch_size=9, ratios=[RatioConfig(4, 3, 2)])
    (before,) = dataset(builder, stage=without)[5].micro_batches
    assert torch.equal(whole.seeds[:3], before.seeds) and torch.equal(whole.gen_pixels[:3], before.gen_pixels)


def test_held_out_edits_are_always_the_same_and_drop_nothing(builder):
    stage = StageConfig(steps=2, batch_size=2, ratios=[RatioConfig(editing=1)])
    first, again = (HeldOutDataset(MixedSource(CONFIG, 3), builder, stage, Part())[0] for _ in range(2))
    (batch,), (same,) = first.micro_batches, again.micro_batches
    assert len(batch.und_pixels) == len(batch.gen_pixels) == 3 and torch.equal(batch.rows.ids, same.rows.ids)
    assert torch.equal(batch.und_pixels, same.und_pixels) and batch.seeds.tolist() == [0, 1, 2]


@pytest.fixture
def pairs(tmp_path):
    """A folder of two edits."""
    for name, colour in (("a", "red"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (64, 40), colour).save(tmp_path / f"{name}.png")
    write(tmp_path, {"source": "a.png", "target": "b.png", "instruction": "make it green"}, MANY)
    return tmp_path


MANY = {"source": "b.png", "target": "c.png", "instruction": ["make it blue", " paint it blue "]}


def write(folder, *entries):
    (folder / "edits.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_real_pairs_are_read_checked_and_squared(pairs):
    reader = open_reader(config := source_config("edits", path=str(pairs)))
    config.check_files()
    sample = reader.editing(0, np.random.default_rng(0))
    assert (sample.prompt, sample.image.getpixel((0, 0))) == ("make it green", (0, 128, 0))
    assert [image.getpixel((0, 0)) for image in sample.images] == [(255, 0, 0)]
    said = {reader.editing(1, np.random.default_rng(seed)).prompt for seed in range(20)}
    assert said == {"make it blue", "paint it blue"}
    found = check_source("edits", reader)
    assert found.looked == 2 and not found.faults and len(found.widths) == 4
    source = MixedSource(DataConfig({"edits": config}, held_out=0), 0)
    assert [image.size for image in source.editing(0).images] == [(40, 40)]
    elsewhere = source_config("edits", path=str(pairs / "edits.jsonl"), images=str(pairs))
    assert open_reader(elsewhere).editing(0, np.random.default_rng(0)).prompt == "make it green"


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"source": "a.png", "instruction": "x"}, "entry 1 is not of the form {"),
        ({"source": "a.png", "target": "b.png", "instruction": 3}, "entry 1 is not of the form {"),
        ({"source": "a.png", "target": "b.png", "instruction": [" "]}, "entry 1 has no instruction"),
        ({"source": "no.png", "target": "b.png", "instruction": "x"}, "no.png"),
        ({"source": "d.png", "target": "b.png", "instruction": "x"}, "d.png has 40 x 40 pixels and b.png 64 x 40"),
        ([1], "is not a JSON object"),
    ],
)
def test_bad_pairs_are_named(pairs, entry, value):
    Image.new("RGB", (40, 40)).save(pairs / "d.png")
    write(pairs, entry)
    with pytest.raises(ValueError, match=r"edits\.jsonl|no\.png") as error:
        open_reader(source_config("edits", path=str(pairs))).editing(0, np.random.default_rng(0))
    assert value in str(error.value) and "\n" not in str(error.value)


def test_the_command_looks_through_pairs(pairs, tmp_path, capsys):
    assert main(["data", "check", f"edits={pairs}", "--out", str(tmp_path / "found"), "--workers", "0"]) == 0
    assert "edits: 2 samples, 2 looked at" in capsys.readouterr().out
    assert (tmp_path / "found" / "edits.png").exists()
    (tmp_path / "empty").mkdir()
    for path, value in (("empty", "there is no edits.jsonl in"), ("nowhere", "no file matches")):
        assert main(["data", "check", f"edits={tmp_path / path}", "--out", str(tmp_path / "found")]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert value in line
    assert main(["data", "check", f"edits={pairs},min_side=-1", "--out", str(tmp_path / "found")]) == 2
