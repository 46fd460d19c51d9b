"""A drawing as it is watched: predictions on the way, the picture at the end."""

import numpy as np
import pytest
import torch

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.inference.frames import COVER, watch
from janusflow.inference.images import generate_images
from janusflow.options import CodeSampling, FlowSampling
from janusflow.weights import ASSETS


@pytest.fixture
def bundle(tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    return Bundle(tiny_model, codec, tokenizer, ChatConfig())


def pixels(image):
    return np.asarray(image, int)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_a_flow_ends_at_its_picture_and_says_the_times(bundle, sampler):
    options = FlowSampling(6, 3.0, sampler, shift=2.0)
    frames = watch(bundle, "a red circle", 5, options, most=3)
    (expected,) = generate_images(bundle, ["a red circle"], [5], options)
    assert np.abs(pixels(frames[-1].image) - pixels(expected)).max() <= 1
    assert [frame.text for frame in frames] == ["t = 0.09", "t = 0.33", "t = 0.71"], (
        "t / (t + 2 (1 - t)) of 1, 3, 5 / 6"
    )
    assert not np.array_equal(pixels(frames[0].image), pixels(frames[-1].image))


def test_the_prediction_of_a_flow_is_z_and_the_rest_of_the_way_along_its_velocity(tiny_model):
    options = FlowSampling(4, 1.0)
    before = tiny_model.head.start([0], torch.device("cpu"))
    velocity = torch.randn(before.shape)
    glimpse = tiny_model.head.glimpse(before, before + 0.25 * velocity, 2, options)  # from t = 1/4 to 1/2
    torch.testing.assert_close(glimpse.latents, before + 0.75 * velocity)


def test_codes_fill_in_from_the_top(janus_bundle):
    options = CodeSampling(1.0)
    frames = watch(janus_bundle, "a red circle", 5, options, most=4)
    (expected,) = generate_images(janus_bundle, ["a red circle"], [5], options)
    assert [frame.text for frame in frames] == [f"{n} of 16 codes" for n in (4, 8, 12, 16)]
    assert np.array_equal(pixels(frames[-1].image), pixels(expected))
    for drawn, frame in enumerate(frames, 1):
        covered = (pixels(frame.image) == COVER).all(-1)
        rows = 4 * drawn  # of pixels: a row of codes each
        assert covered[rows:].all() and not covered[:rows].all()
