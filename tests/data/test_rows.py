"""Packing, the chat template, labels and image slots."""

import pytest
import torch
from PIL import Image

from janusflow.data.rows import RowBuilder, pack
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.models.attention import sample_mask
from janusflow.models.unified import IGNORED, PADDING

N = 4  # image tokens
PICTURE = Image.new("RGB", (16, 16), "red")


@pytest.fixture
def template(tokenizer):
    return ChatTemplate(tokenizer, ChatConfig(), N)


@pytest.fixture
def builder(template):
    return RowBuilder(template, image_size=16, max_length=64)


def test_no_sample_is_cut_or_overlaps_another():
    lengths = [5, 30, 64, 1, 33, 31, 12]
    placements = pack(lengths, 64)
    taken = {(p.row, p.start + i) for p, n in zip(placements, lengths, strict=True) for i in range(n)}
    assert len(taken) == sum(lengths)
    assert all(p.start + n <= 64 for p, n in zip(placements, lengths, strict=True))
    assert max(p.row for p in placements) + 1 == 3, "176 tokens fit three rows of 64"
    with pytest.raises(ValueError, match="65"):
        pack([65], 64)


def test_generation_prompt_is_a_chat_turn_before_the_time_token(template, tokenizer):
    ids = template.generation_prompt("a red circle")
    assert (ids[0], ids[-1]) == (tokenizer.bos, tokenizer.boi)
    assert tokenizer.decode(ids[1:-1]) == "user: a red circle\n\nassistant:"
    plain = template.generation_prompt("a red circle", instruction=False)
    assert tokenizer.decode(plain[1:-1]) == "a red circle"


def test_only_answers_are_supervised(template, tokenizer):
    tokens = template.conversation([("what color is it?", "red"), ("how many?", "two")])
    answers = [token for token, wanted in zip(*tokens, strict=True) if wanted]
    assert answers == [*tokenizer.encode(" red"), tokenizer.eos, *tokenizer.encode(" two"), tokenizer.eos]
    assert tokens.ids.count(tokenizer.image) == N
    assert tokens.ids.count(tokenizer.boi) == tokens.ids.count(tokenizer.eoi) == 1


def test_messages_lose_their_outer_blanks_as_in_the_reference(tokenizer):
    """There a message begins with its images, so that blanks behind them stay."""
    encode, image = tokenizer.encode, [tokenizer.boi, *[tokenizer.image] * N, tokenizer.eoi]
    template = ChatTemplate(tokenizer, ChatConfig(system=" Be brief."), N)
    first = [*encode("User: "), *image, *encode("\n"), *image, *encode("\n  how many?\n\nAssistant:")]
    later = [*encode(" two"), tokenizer.eos, *encode("User: where?\n\nAssistant:")]
    turns = [("  how many?\n", "\ttwo "), (" where? \n", None)]
    expected = [tokenizer.bos, *encode("Be brief.\n\n"), *first, *later]
    assert template.conversation(turns, images=2).ids == expected
    assert template.conversation(turns, images=2, system="").ids == [tokenizer.bos, *first, *later]
    other = template.conversation(turns, images=2, system="Look.").ids
    assert other == [tokenizer.bos, *encode("Look.\n\n"), *first, *later]
    for instruction in (True, False):
        plain = template.generation_prompt("a ring", instruction)
        assert template.generation_prompt(" a ring\n", instruction) == plain


def test_question_is_the_beginning_of_its_conversation(template):
    """What the model is asked at inference is what it saw before the answer in training."""
    asked = template.question("what color is it?")
    assert template.conversation([("what color is it?", "red")]).ids[: len(asked)] == asked


def test_labels_are_the_next_supervised_tokens(builder, tokenizer):
    sample = UnderstandingSample([PICTURE], [("what color is it?", "red")])
    batch = builder.collate([builder.understanding(sample)], [sample], [])
    ids, labels = batch.rows.ids[0], batch.labels[0]
    where = (labels != IGNORED).nonzero().flatten()
    assert labels[where].tolist() == [*tokenizer.encode(" red"), tokenizer.eos]
    assert torch.equal(labels[where], ids[where + 1])


def test_dropped_prompt_keeps_the_image_where_it_was(builder, tokenizer):
    sample = GenerationSample(PICTURE, "a red circle")
    kept, dropped = (builder.generation(sample, True, drop) for drop in (False, True))
    assert dropped.ids[0] == tokenizer.bos and len(dropped.ids) == 2 + N
    assert dropped.positions[0] == 0
    assert dropped.positions[1:] == kept.positions[-1 - N :], "time token and image keep their positions"


def test_rows_hold_several_samples_of_each_kind_and_slots_point_at_them(builder, tokenizer):
    und = [UnderstandingSample([PICTURE], [("what color is it?", "red")])] * 3
    gen = [GenerationSample(PICTURE, "a red circle"), GenerationSample(PICTURE, "two stars")] * 2
    text = [TextSample("a circle is round.")] * 2
    sequences = [
        *map(builder.understanding, und),
        *(builder.generation(sample, True, False) for sample in gen),
        *map(builder.text, text),
    ]
    batch = builder.collate(sequences, und, gen)
    rows = batch.rows
    assert len(rows.ids) < len(sequences)
    assert rows.segments.max() + 1 == len(sequences)
    assert (rows.ids[rows.segments == PADDING] == tokenizer.pad).all()
    for slots, images in ((rows.und_slots, und), (rows.gen_slots, gen)):
        found = rows.ids.flatten()[slots]
        assert found.shape == (len(images), 1 + N)
        assert (found[:, 0] == tokenizer.boi).all() and (found[:, 1:] == tokenizer.image).all()
    # The images' order is the samples' order, wherever packing put them.
    segments = rows.segments.flatten()[rows.gen_slots[:, 0]]
    assert segments.tolist() == [3, 4, 5, 6]


def test_samples_of_a_row_never_see_each_other(builder):
    text = [TextSample("a circle is round."), TextSample("two stars.")]
    rows = builder.collate([builder.text(sample) for sample in text], [], []).rows
    mask = sample_mask(rows.segments)[0, 0]
    segments = rows.segments[0]
    allowed = [(q, k) for q in range(len(segments)) for k in range(len(segments)) if mask[q, k]]
    assert all(segments[q] == segments[k] and k <= q for q, k in allowed)
    assert len(allowed) == sum(n * (n + 1) // 2 for n in segments.unique(return_counts=True)[1].tolist())


def test_unknown_words_are_encoded_byte_by_byte(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a zebra — ça va?")) == "a zebra — ça va?"
