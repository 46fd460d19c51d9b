"""The world's tokenizer: byte-level BPE, lower-cased, so that any text can be encoded."""

from __future__ import annotations

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import SPECIAL_TOKENS, TextTokenizer
from janusflow.worlds.captions import long_caption, short_caption, text_line
from janusflow.worlds.questions import sample_question
from janusflow.worlds.scenes import World, sample_scene

CORPUS_SCENES = 4000
# Words with their leading blank; a run of line breaks; a punctuation mark.
BLANKS = r"[^\S\n]+"  # of whatever kind and number: one
PIECES = r" ?[a-z]+| ?[0-9]|\n+| ?[^\sa-z0-9]|\s+"


def corpus(seed: int, world: World) -> list[str]:
    """Captions, questions and lines of text, as training has them."""
    chat = ChatConfig()
    lines = []
    for index in range(CORPUS_SCENES):
        rng = np.random.default_rng([seed, index])
        scene = sample_scene(rng, world=world)
        question = sample_question(scene, rng)
        lines += [short_caption(scene, rng), long_caption(scene, rng), text_line(rng, world)]
        lines.append(f"{chat.user}: \n{question.text}\n\n{chat.assistant}: {question.answer}")
    return lines


def train_tokenizer(seed: int, vocab_size: int, world: World) -> TextTokenizer:
    """A BPE tokenizer of exactly ``vocab_size`` tokens, special tokens and 256 bytes included.

    Raises ``ValueError`` where the corpus does not fill the vocabulary.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(BLANKS), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(seed, world), trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the world's text makes {tokenizer.get_vocab_size()} tokens, not {vocab_size}")
    return TextTokenizer(tokenizer)
