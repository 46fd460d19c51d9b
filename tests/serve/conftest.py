"""A tiny model, as the server takes it."""

import pytest

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.weights import ASSETS


@pytest.fixture
def bundle(tiny_model, tokenizer):
    return Bundle(tiny_model, LatentCodec.from_pretrained(ASSETS / "shapes" / "vae"), tokenizer, ChatConfig())
