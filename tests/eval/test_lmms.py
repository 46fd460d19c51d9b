"""The adapter for lmms-eval, on a stand-in for the parts of its interface (0.7.3) that the adapter uses."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from PIL import Image

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import understanding_pixels
from janusflow.inference.answers import Conversation, DecodingOptions, answer
from janusflow.weights import ASSETS


class Hook:
    def __init__(self):
        self.seen = []

    def add_partial(self, kind, request, response):
        self.seen.append((kind, request, response))


class StandIn:
    """lmms_eval.api.model.lmms: what it holds after construction."""

    is_simple = True

    def __init__(self):
        self._rank, self._world_size, self.task_dict, self.cache_hook = 0, 1, {}, Hook()


@pytest.fixture
def adapter(monkeypatch):
    for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["lmms_eval.api.model"].lmms = StandIn
    monkeypatch.delitem(sys.modules, "eval.lmms", raising=False)
    yield importlib.import_module("eval.lmms")
    sys.modules.pop("eval.lmms", None)


@pytest.fixture
def bundle(tiny_model, tokenizer):
    return Bundle(tiny_model, LatentCodec.from_pretrained(ASSETS / "shapes" / "vae"), tokenizer, ChatConfig())


@pytest.fixture
def model(adapter, bundle, monkeypatch):
    monkeypatch.setattr(adapter, "load_pretrained", lambda path, **options: bundle)
    model = adapter.JanusFlow("somewhere", batch_size="2")
    rows = [{"image": Image.new("RGB", (16, 16), color)} for color in ("red", "blue", "white")] + [{"image": "a.mp4"}]
    model.task_dict = {"colors": {"test": rows}}
    return model


def images(row):
    return [row["image"]]


def request(context, number, given=None):
    return SimpleNamespace(args=(context, {} if given is None else given, images, number, "colors", "test"))


def test_without_lmms_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lmms_eval.api.model", None)
    monkeypatch.delitem(sys.modules, "eval.lmms", raising=False)
    with pytest.raises(ImportError, match=r"janusflow\[lmms\]"):
        importlib.import_module("eval.lmms")


def test_answers_are_the_models_own_in_the_order_of_the_requests(model, bundle):
    lengths = [6, 3, 6]
    requests = [request(f"<image>\nwhat is {n}?", n, {"max_new_tokens": k}) for n, k in enumerate(lengths)]
    found = model.generate_until(requests)
    for number, (length, text) in enumerate(zip(lengths, found, strict=True)):
        picture = model.task_dict["colors"]["test"][number]["image"]
        [alone] = answer(bundle, [Conversation([picture], [(f"what is {number}?", None)])], DecodingOptions(length))
        assert text == alone
    assert len(set(found)) > 1, "answers that are all the same would prove nothing"
    assert sorted(kind for kind, _, _ in model.cache_hook.seen) == ["generate_until"] * 3


def test_generation_arguments(model, recwarn):
    for given, options in (
        ({}, DecodingOptions(128)),
        ({"until": "\n", "max_new_tokens": 5}, DecodingOptions(5, stop=("\n",))),
        ({"until": ["", "\n\n"]}, DecodingOptions(128, stop=("\n\n",))),
        ({"temperature": 0.5, "top_p": 0.9, "do_sample": False}, DecodingOptions(128)),
    ):
        assert model.decoding(given) == options
    assert model.decoding({"temperature": 0.5, "top_p": None}).temperature == 0.5
    assert model.decoding({"temperature": None, "num_beams": 1}).temperature == 0
    with pytest.raises(ValueError, match="3 beams"):
        model.decoding({"num_beams": 3})
    with pytest.raises(ValueError, match="colors, document 3: janusflow sees images only, not str"):
        model.generate_until([request("what?", 3)])
    for _ in range(2):  # an unknown one is named once
        model.decoding({"image_aspect_ratio": "original"})
    assert ["image_aspect_ratio" in str(one.message) for one in recwarn] == [True]


def test_loss_is_the_mean_cross_entropy_of_the_continuation_and_its_end(adapter, bundle):
    """Against the model run on the template's ids, one position at a time."""
    llm, special = bundle.model.llm, bundle.tokenizer
    picture = Image.new("RGB", (16, 16), "red")
    loss, greedy = adapter.continuation_loss(bundle, Conversation([picture], [("what?", None)]), " a ring")
    ids = [*bundle.template.question("what?"), *special.encode(" a ring"), special.eos]
    with torch.inference_mode():
        embeds = llm.embed(torch.tensor([ids])).clone()
        pixels = understanding_pixels(picture, bundle.model.config.vision.image_size).unsqueeze(0)
        slots = [place for place, token in enumerate(ids) if token in (special.boi, special.image)]
        embeds[0, slots] = bundle.model.embed_understanding(pixels)[0]
        losses = []
        for end in range(len(bundle.template.question("what?")), len(ids)):
            hidden = llm(embeds[:, :end], torch.arange(end).unsqueeze(0)).hidden[0, -1]
            losses.append(-llm.logits(hidden).log_softmax(-1)[ids[end]])
    assert loss == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)
    assert not greedy


def test_loglikelihood_takes_texts_and_functions_of_the_document(model):
    asked = [request("what?", 0), request("what?", 0)]
    asked[0].args = ("what?", " a ring", *asked[0].args[2:])
    asked[1].args = ("what?", lambda row: " a ring", *asked[1].args[2:])
    first, second = model.loglikelihood(asked)
    assert first == second and isinstance(first[0], float) and isinstance(first[1], bool)
    with pytest.raises(NotImplementedError, match="multi-round"):
        model.generate_until_multi_round([])


def test_options_of_the_adapter(model, adapter):
    assert model.bundle.chat.system == ""
    assert adapter.JanusFlow("somewhere", system_prompt="Be brief.").bundle.chat.system == "Be brief."
    for given, message in (({"batch_size": "auto"}, "'auto'"), ({"dtype": "int8"}, "'int8'")):
        with pytest.raises(ValueError, match=message):
            adapter.JanusFlow("somewhere", **given)
