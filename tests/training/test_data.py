"""A step's data: the same samples however many processes share it, and replacements for what cannot be read."""

import pytest
import torch

from janusflow.data.config import DataConfig
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import Unwanted
from janusflow.data.sources import MixedSource
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.training.data import TRIES, Part, StepDataset
from janusflow.training.stages import RatioConfig, StageConfig
from janusflow.worlds.source import WorldReader

STAGE = StageConfig(steps=20, batch_size=13, ratios=[RatioConfig(4, 7, 2)])
CONFIG = DataConfig(prompt_drop=0.3)
ALONE = Part()


@pytest.fixture
def builder(tokenizer):
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 36), image_size=48, max_length=256)


def dataset(builder, part=ALONE, reader=WorldReader, stage=STAGE):
    source = MixedSource(CONFIG, 3, {"world": reader(CONFIG.used_sources["world"])})
    return StepDataset(source, builder, stage, CONFIG, [0, 1], part)


def contents(batch):
    """Every sample of a batch as what the model sees of it: tokens, labels, positions."""
    rows = batch.rows
    found = []
    for number in range(int(rows.segments.max()) + 1):
        here = rows.segments == number
        found.append((rows.ids[here].tolist(), batch.labels[here].tolist(), rows.positions[here].tolist()))
    return found


@pytest.mark.parametrize(("ranks", "micro_batches"), [(2, 1), (1, 3), (2, 2), (5, 1)])
def test_any_number_of_processes_shares_the_same_samples(builder, ranks, micro_batches):
    whole = dataset(builder)
    for step in (0, 7):
        (expected,) = whole[step].micro_batches
        shared = [
            batch
            for rank in range(ranks)
            for batch in dataset(builder, Part(rank, ranks, micro_batches))[step].micro_batches
        ]
        assert len(shared) == ranks * micro_batches
        assert sorted(sample for batch in shared for sample in contents(batch)) == sorted(contents(expected))
        for name in ("und_pixels", "gen_pixels"):
            together = torch.cat([getattr(batch, name) for batch in shared]).flatten(1).sum(1)
            torch.testing.assert_close(together.sort()[0], getattr(expected, name).flatten(1).sum(1).sort()[0])
        assert sorted(torch.cat([b.seeds for b in shared]).tolist()) == sorted(expected.seeds.tolist())


def test_no_index_is_used_twice_or_left_out(builder):
    class Recorder(WorldReader):
        seen = {"understanding": [], "generation": [], "text": []}

        def understanding(self, item, rng):
            self.seen["understanding"].append(item)
            return super().understanding(item, rng)

        def generation(self, item, rng):
            self.seen["generation"].append(item)
            return super().generation(item, rng)

        def text(self, item, rng):
            self.seen["text"].append(item)
            return super().text(item, rng)

    stage = StageConfig(steps=9, batch_size=13, ratios=[RatioConfig(1, 1, 0, until=4), RatioConfig(4, 7, 2)])
    data = dataset(builder, reader=Recorder, stage=stage)
    for step in range(9):
        data[step]
    for task, indices in Recorder.seen.items():
        assert indices == list(range(len(indices))) and indices, task


class Damaged(WorldReader):
    """Every third picture cannot be read, and texts never."""

    def generation(self, item, rng):
        if item % 3 == 0:
            raise ValueError(f"picture {item} is damaged")
        return super().generation(item, rng)

    def text(self, item, rng):
        raise ValueError(f"text {item} is damaged")


def test_what_cannot_be_read_is_replaced_and_listed(builder):
    stage = StageConfig(steps=5, batch_size=9, ratios=[RatioConfig(0, 1, 0)])
    first = dataset(builder, reader=Damaged, stage=stage)[0]
    again = dataset(builder, reader=Damaged, stage=stage)[0]
    assert len(first.micro_batches[0].gen_pixels) == 9
    assert {f"picture {index} is damaged" for index in (0, 3, 6)} <= set(first.faults)
    assert torch.equal(first.micro_batches[0].gen_pixels, again.micro_batches[0].gen_pixels)


class Small(WorldReader):
    """One picture in 50 is large enough."""

    def generation(self, item, rng):
        if item % 50:
            raise Unwanted(f"picture {item} is too small")
        return super().generation(item, rng)


def test_what_the_settings_leave_out_is_no_fault(builder):
    stage = StageConfig(steps=5, batch_size=9, ratios=[RatioConfig(0, 1, 0)])
    step = dataset(builder, reader=Small, stage=stage)[0]
    assert len(step.micro_batches[0].gen_pixels) == 9
    assert step.faults == [] and step.left_out > 9 * TRIES


def test_a_source_that_never_gives_anything_ends_the_run_with_its_reason(builder):
    stage = StageConfig(steps=5, batch_size=9, ratios=[RatioConfig(0, 0, 1)])
    with pytest.raises(ValueError, match=f"{TRIES} samples in a row cannot be used.*text .* is damaged"):
        dataset(builder, reader=Damaged, stage=stage)[0]


def test_samples_too_long_for_a_row_are_replaced_and_texts_are_cut(builder):
    builder.max_length = 48
    und = dataset(builder, stage=StageConfig(steps=2, batch_size=4, ratios=[RatioConfig(0, 1, 1)]))[0]
    assert und.faults == [] and und.left_out > 0
    assert und.micro_batches[0].rows.ids.shape[1] <= 48
