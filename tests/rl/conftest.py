"""Small models of both heads, and rollouts of theirs that take no time."""

import dataclasses

import pytest

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.rows import RowBuilder
from janusflow.losses import LOSSES, AnswerLossConfig
from janusflow.models.unified import UnifiedModel
from janusflow.rl.config import RolloutConfig
from janusflow.rl.prompts import FilePromptsConfig
from janusflow.rl.rollouts import Rollouts
from tests.conftest import build_vq, flow_sizes, janus_sizes, spread
from tests.inference.test_pairs import codec_of_flow

BRIGHTNESS = "tests.rl.conftest:brightness"


def brightness(images, prompts):
    """A reward: how white pictures are."""
    assert len(images) == len(prompts)
    return [sum(image.convert("L").getdata()) / 255 / image.width / image.height for image in images]


def bundle_of(kind, tokenizer, **loss):
    """A tiny model with the loss ``kind`` in the place of its head's own."""
    sizes = janus_sizes() if kind == "grpo" else flow_sizes()
    config = LOSSES.load(kind).Config(kind=kind, **loss)
    model = spread(UnifiedModel(dataclasses.replace(sizes, losses={"ar": AnswerLossConfig(), kind: config})))
    return Bundle(model.eval(), build_vq() if kind == "grpo" else codec_of_flow(), tokenizer)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a red circle\ntwo green rings\na star\n")
    return path


def rollouts_of(bundle, folder, prompts, sampling, **settings):
    """Rounds of two prompts with three pictures each, two at a time."""
    chosen = {"prompts_per_round": 2, "group": 3, "batch_size": 2, "updates": 2, **settings}
    config = RolloutConfig({BRIGHTNESS: 2.0}, FilePromptsConfig(path=str(prompts)), **chosen)
    policy = next(loss for name, loss in bundle.model.losses.items() if name != "ar")
    builder = RowBuilder(bundle.template, 16, bundle.model.config.llm.max_positions)
    options = bundle.model.config.head.sampling(sampling)
    return Rollouts(config, options, policy, bundle, builder, folder, (0, 1))
