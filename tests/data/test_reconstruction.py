"""Images behind themselves (RecA): the sequence, what is dropped, the mixture, sources without captions."""

import numpy as np
import pytest
import torch
from PIL import Image

from janusflow.data.check import check_source
from janusflow.data.config import DataConfig, source_config
from janusflow.data.reconstruction import REQUESTS, ReconstructionConfig
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.sources import MixedSource, open_reader
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.transforms import generation_pixels, understanding_pixels
from janusflow.training.data import HeldOutDataset, Part, StepDataset
from janusflow.training.stages import Quota, RatioConfig, StageConfig, quota

N = 36
STAGE = StageConfig(steps=20, batch_size=16, ratios=[RatioConfig(4, 3, 2, reconstruction=7)])
CONFIG = DataConfig(prompt_drop=0.4, held_out=3)
PICTURE = Image.new("RGB", (48, 48), "red")
SHOWN = GenerationSample(PICTURE, "draw this picture again.", images=[PICTURE])


@pytest.fixture
def builder(tokenizer):
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), N), image_size=48, max_length=256)


@pytest.mark.parametrize("instruction", [True, False])
def test_an_image_stands_where_understanding_has_it_and_is_drawn_behind_the_request(builder, tokenizer, instruction):
    encode, image = tokenizer.encode, [tokenizer.boi, *[tokenizer.image] * N, tokenizer.eoi]
    around = ("User: ", "\n\nAssistant:") if instruction else ("", "")
    front = [tokenizer.bos, *encode(around[0])]
    request = encode(f"\n{SHOWN.prompt}{around[1]}")
    sequence = builder.generation(SHOWN, instruction, drop=False)
    assert sequence.ids == [*front, *image, *request, *image[:-1]]
    assert sequence.positions == list(range(len(sequence.ids))) and not any(sequence.supervised)
    assert sequence.und == [len(front)] and sequence.gen == [len(front) + len(image) + len(request)]
    if instruction:
        asked = builder.template.question(SHOWN.prompt)
        assert sequence.ids[: len(asked)] == asked, "as a question about the image"


@pytest.mark.parametrize("form", ["gap", "pad"])
def test_where_the_prompt_is_dropped_nothing_is_seen_and_the_span_stays(builder, tokenizer, form):
    builder.template.dropped = form
    kept, dropped = (builder.generation(SHOWN, True, drop) for drop in (False, True))
    assert dropped.und == [] and dropped.positions[-1 - N :] == kept.positions[-1 - N :]
    begin = dropped.gen[0]
    assert dropped.ids[:begin] == [tokenizer.bos, *[tokenizer.pad] * (0 if form == "gap" else kept.gen[0] - 1)]


def dataset(builder, part=None, stage=STAGE, config=CONFIG):
    return StepDataset(MixedSource(config, 3), builder, stage, config, [0, 1], part or Part())


def test_rows_hold_images_that_are_seen_and_drawn_and_slots_point_at_both(builder):
    """Of seven, what is shown is what is drawn; those whose prompts are dropped show nothing."""
    batches = [dataset(builder)[step].micro_batches[0] for step in range(3)]
    dropped = 0
    for batch in batches:
        rows = batch.rows
        seen, drawn = (rows.segments.flatten()[slots[:, 0]].tolist() for slots in (rows.und_slots, rows.gen_slots))
        assert len(seen) == len(batch.und_pixels) and len(drawn) == len(batch.gen_pixels) == len(batch.seeds) == 10
        both = [number for number in drawn if number in seen]
        assert set(both) <= set(drawn[3:]), "those of the three captions show nothing"
        for number in both:
            und, gen = seen.index(number), drawn.index(number)
            assert torch.equal(batch.und_pixels[und], batch.gen_pixels[gen])
            assert rows.und_slots[und, -1] < rows.gen_slots[gen, 0]
        dropped += 7 - len(both)
    assert 3 <= dropped <= 16, "of 21 about 0.4"


def test_any_number_of_processes_shares_the_same_images_and_no_other_draw_moves(builder):
    (whole,) = dataset(builder)[5].micro_batches
    shared = [b for rank in range(2) for b in dataset(builder, Part(rank, 2, 2))[5].micro_batches]
    assert len(shared) == 4
    for name in ("seeds", "und_pixels", "gen_pixels"):
        sums = [t.flatten(1).double().sum(1) if t.ndim > 1 else t for t in (getattr(b, name) for b in shared)]
        expected = getattr(whole, name)
        expected = expected.flatten(1).double().sum(1) if expected.ndim > 1 else expected
        torch.testing.assert_close(torch.cat(sums).sort()[0], expected.sort()[0])
    without = StageConfig(steps=20, batch_size=9, ratios=[RatioConfig(4, 3, 2)])
    (before,) = dataset(builder, stage=without)[5].micro_batches
    assert torch.equal(whole.seeds[:3], before.seeds) and torch.equal(whole.gen_pixels[:3], before.gen_pixels)


def test_quotas_of_four_types(builder):
    stage = StageConfig(steps=100, batch_size=13, ratios=[RatioConfig(understanding=4, text=1, reconstruction=5)])
    quotas = [quota(stage, step) for step in range(100)]
    assert all(sum(q) == 13 and min(q) >= 0 for q in quotas)
    assert [sum(column) for column in zip(*quotas, strict=True)] == [520, 0, 130, 650, 0]
    assert quota(StageConfig(batch_size=8, ratios=[RatioConfig(reconstruction=1)]), 3) == Quota(0, 0, 0, 8)


def test_held_out_images_are_drawn_again_always_in_the_same_way(builder):
    stage = StageConfig(steps=2, batch_size=2, ratios=[RatioConfig(reconstruction=1)])
    first, again = (HeldOutDataset(MixedSource(CONFIG, 3), builder, stage, Part())[0] for _ in range(2))
    (batch,), (same,) = first.micro_batches, again.micro_batches
    assert len(batch.und_pixels) == len(batch.gen_pixels) == 3 and torch.equal(batch.rows.ids, same.rows.ids)
    assert torch.equal(batch.und_pixels, batch.gen_pixels) and batch.seeds.tolist() == [0, 1, 2]


def test_what_is_shown_is_the_square_that_is_drawn_and_may_be_reduced():
    levels = torch.randint(0, 256, (40, 61, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    sample, rng = GenerationSample(Image.fromarray(levels.numpy()), "a caption"), np.random.default_rng(0)
    (plain,), (reduced,) = (ReconstructionConfig(side=side).prompted(sample, rng).images for side in (None, 8))
    assert plain.size == (40, 40) and reduced.size == (8, 8)
    seen, drawn = understanding_pixels(plain, 24), generation_pixels(sample.image, 24)
    assert (seen - drawn).abs().mean() < 0.05 < (understanding_pixels(reduced, 24) - drawn).abs().mean()
    said = {ReconstructionConfig().prompted(sample, rng).prompt for _ in range(60)}
    assert said == set(REQUESTS), "each of the requests, and never a caption"


def test_images_need_no_captions(tmp_path):
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / f"{number}.png")
    bare = source_config("folder", path=str(tmp_path), tasks=["reconstruction"])
    reader = open_reader(bare)
    assert reader.reconstruction(1, np.random.default_rng(0)).image.getpixel((0, 0)) == (0, 128, 0)
    found = check_source("bare", reader)
    assert found.looked == 3 and not found.faults
    with pytest.raises(ValueError, match=r"no captions.*tasks: \[reconstruction\]"):
        open_reader(source_config("folder", path=str(tmp_path)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image"):
        open_reader(source_config("folder", path=str(tmp_path / "empty"), tasks=["reconstruction"]))
    pairs = source_config("text", path=str(tmp_path / "0.png"), tasks=["reconstruction"])
    with pytest.raises(ValueError, match=r"the source 'lines' \(text\) gives no reconstruction samples"):
        MixedSource(DataConfig({"lines": pairs}), 0, {"lines": TextOnly()})


class TextOnly:
    """What MixedSource asks of a reader of texts."""

    tasks = ("text",)

    def held_out(self, wanted):
        return 0


@pytest.mark.parametrize(
    ("settings", "value"), [({"requests": []}, "requests is empty"), ({"side": 0}, "at least 1 pixel, got 0")]
)
def test_impossible_settings_are_named(settings, value):
    with pytest.raises(ValueError, match=value):
        ReconstructionConfig(**settings)
