"""Models as each layout has them, written once for all tests."""

import shutil

import pytest

from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.weights import ASSETS

SAVED = {}


@pytest.fixture
def flow_bundle(tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    chat = ChatConfig(user="<|User|>", assistant="<|Assistant|>", system="Be brief.")
    return Bundle(tiny_model, codec, tokenizer, chat, Preprocessing(min_side=3, normalize=False, mean=[0.1, 0.2, 0.3]))


@pytest.fixture
def saved(request, tmp_path, tmp_path_factory):
    """A function that copies the model ``flow`` or ``janus`` in a layout to a folder of the test's own."""

    def copy(model, layout):
        if (model, layout) not in SAVED:
            SAVED[model, layout] = tmp_path_factory.mktemp(f"{model}-{layout}")
            save_pretrained(request.getfixturevalue(f"{model}_bundle"), SAVED[model, layout], layout)
        return shutil.copytree(SAVED[model, layout], tmp_path / "model")

    return copy
