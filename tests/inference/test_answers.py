"""Answers: the same alone and in any batch, cached or not, streamed or whole."""

import pytest
import torch
from PIL import Image
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import understanding_pixels
from janusflow.inference.answers import Conversation, DecodingOptions, answer, answer_questions, stream
from janusflow.weights import ASSETS


@pytest.fixture
def bundle(tiny_model, tokenizer):
    with torch.no_grad():
        for block in tiny_model.llm.blocks:
            block.self_attn.o_proj.weight.mul_(3)  # what was said before counts
    return Bundle(tiny_model, LatentCodec.from_pretrained(ASSETS / "shapes" / "vae"), tokenizer, ChatConfig())


def picture(color: str, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, color)


TALKS = [
    Conversation([picture("red")], [("what color is it?", None)]),
    Conversation([picture("blue"), picture("white", (8, 16))], [("how many?", "two"), ("which is round?", None)]),
    Conversation([], [("what is a ring?", None)]),
]


def naive_answer(bundle: Bundle, image: Image.Image, question: str, tokens: int) -> list[int]:
    """Greedy decoding that recomputes everything for every token, one row at a time."""
    ids = bundle.template.question(question)
    model, special = bundle.model, bundle.tokenizer
    embeds: Tensor = model.llm.embed(torch.tensor([ids])).clone()
    slots = [i for i, token in enumerate(ids) if token in (special.boi, special.image)]
    pixels = understanding_pixels(image, model.config.vision.image_size).unsqueeze(0)
    embeds[0, slots] = model.embed_understanding(pixels)[0]
    answer: list[int] = []
    for _ in range(tokens):
        hidden = model.llm(embeds, torch.arange(embeds.shape[1]).unsqueeze(0)).hidden[:, -1]
        token = int(model.llm.logits(hidden).argmax())
        if token == special.eos:
            break
        answer.append(token)
        embeds = torch.cat([embeds, model.llm.embed(torch.tensor([[token]]))], dim=1)
    return answer


def test_batched_cached_answers_equal_naive_ones(bundle):
    images = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "white")]
    questions = ["what color is it?", "how many red circles are there in the picture?", "where?"]
    batched = answer_questions(bundle, images, questions, batch_size=3, options=DecodingOptions(6))
    with torch.inference_mode():
        naive = [naive_answer(bundle, i, q, 6) for i, q in zip(images, questions, strict=True)]
    assert batched == [bundle.tokenizer.decode(ids) for ids in naive]
    assert len(set(batched)) > 1, "answers that are all the same would prove nothing"


@pytest.mark.parametrize("options", [DecodingOptions(8), DecodingOptions(8, temperature=1.5, top_p=0.9)])
def test_an_answer_is_the_same_alone_in_any_batch_and_streamed(bundle, options):
    """Conversations of several images, turns and lengths, so that padding is real."""
    seeds = [3, 4, 5]
    together = answer(bundle, TALKS, options, batch_size=3, seeds=seeds)
    assert together == answer(bundle, TALKS, options, batch_size=2, seeds=seeds)
    assert together == [answer(bundle, [talk], options, seeds=[s])[0] for talk, s in zip(TALKS, seeds, strict=True)]
    assert together == ["".join(stream(bundle, talk, options, s)) for talk, s in zip(TALKS, seeds, strict=True)]
    assert len(set(together)) == 3


def test_seed_decides_sampled_answers(bundle):
    options = DecodingOptions(8, temperature=2.0)
    assert answer(bundle, TALKS[:1], options, seeds=[1]) == answer(bundle, TALKS[:1], options, seeds=[1])
    assert len({answer(bundle, TALKS[:1], options, seeds=[seed])[0] for seed in range(5)}) > 1


def test_earlier_turns_and_images_count(bundle):
    options = DecodingOptions(8)
    whole = answer(bundle, TALKS[1:2], options)
    changed = TALKS[1]._replace(images=[picture("green"), *TALKS[1].images[1:]])
    shorter = TALKS[1]._replace(turns=TALKS[1].turns[1:])
    assert answer(bundle, [changed], options) != whole
    assert answer(bundle, [shorter], options) != whole


def test_stop_text_ends_an_answer(bundle):
    full = answer(bundle, TALKS[:1], DecodingOptions(12))[0]
    assert len(full) > 4
    stop = full[3:5]
    options = DecodingOptions(12, stop=(stop,))
    assert answer(bundle, TALKS[:1], options)[0] == full[: full.index(stop)].rstrip()
    assert "".join(stream(bundle, TALKS[0], options)) == full[: full.index(stop)].rstrip()


def test_bad_input_is_refused(bundle):
    with pytest.raises(ValueError, match="questions"):
        answer_questions(bundle, [], ["where?"])
    with pytest.raises(ValueError, match="without an answer"):
        answer(bundle, [Conversation([], [("a?", "b")])])
    with pytest.raises(ValueError, match="image_placeholder"):
        answer_questions(bundle, [picture("red")], ["what is <image_placeholder>?"])
    for options in (
        DecodingOptions(0),
        DecodingOptions(1, -1.0),
        DecodingOptions(1, 1.0, 0.0),
        DecodingOptions(stop=("",)),
    ):
        with pytest.raises(ValueError):
            answer(bundle, TALKS[:1], options)
