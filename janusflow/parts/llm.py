"""The small language model, trained on the world's text alone: lines, descriptions, and questions about them.

Several descriptions of one scene in a row teach it, with every word, which thing has which colour and place: with
questions alone, of whose tokens a few are supervised, that comes late.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from janusflow.data.rows import RowBuilder
from janusflow.data.template import ChatConfig, ChatTemplate, Tokens
from janusflow.data.tokenizer import TextTokenizer
from janusflow.losses import answer_cross_entropy
from janusflow.models.llm import LanguageModel, LLMConfig
from janusflow.models.unified import IGNORED
from janusflow.parts.loop import fit
from janusflow.worlds.captions import long_caption, short_caption, text_line
from janusflow.worlds.questions import sample_question
from janusflow.worlds.scenes import Scene, World, sample_scene

BATCH = 16
CONVERSATIONS, DESCRIPTIONS = 0.5, 0.4  # of the rows; the others are lines
TURNS = 12  # questions about one description
TELLINGS = 4  # descriptions of one scene
TEST_ROWS = 256
LR = 2e-3


def lines(world: World, seed: int, first: int, count: int, template: ChatTemplate) -> list[Tokens]:
    """Training rows: descriptions of a scene, conversations about one that is described, single lines."""
    rows = []
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        scene = sample_scene(rng, world=world)
        kind = rng.random()
        if kind < DESCRIPTIONS:
            rows.append(template.text(" ".join(telling(scene, rng) for _ in range(TELLINGS))))
        elif kind < DESCRIPTIONS + CONVERSATIONS:
            turns: list[tuple[str, str | None]] = [
                (q.text, q.answer) for q in (sample_question(scene, rng) for _ in range(TURNS))
            ]
            question, answer = turns[0]
            turns[0] = (f"{long_caption(scene, rng)}\n{question}", answer)
            rows.append(template.conversation(turns, images=0))
        else:
            rows.append(template.text(text_line(rng, world) if rng.random() < 0.5 else short_caption(scene, rng)))
    return rows


def telling(scene: Scene, rng: np.random.Generator) -> str:
    """One description, long or short."""
    return long_caption(scene, rng) if rng.random() < 0.5 else f"{short_caption(scene, rng)}."


def train_llm(
    world: World, seed: int, config: LLMConfig, tokenizer: TextTokenizer, steps: int, state: Path
) -> tuple[LanguageModel, dict[str, float]]:
    """The language model, its last loss per supervised token, and its share of right tokens in held-back answers."""
    torch.manual_seed(seed)
    model = LanguageModel(config)
    template = ChatTemplate(tokenizer, ChatConfig(), image_tokens=0)
    builder = RowBuilder(template, image_size=1, max_length=config.max_positions)

    def predict(rows: list[Tokens]) -> tuple[Tensor, Tensor]:
        """Logits and labels at all supervised positions."""
        batch = builder.collate([builder.tokens(tokens) for tokens in rows], [], [])
        hidden = model(model.embed(batch.rows.ids), batch.rows.positions, segments=batch.rows.segments).hidden
        supervised = batch.labels != IGNORED
        return model.logits(hidden[supervised]), batch.labels[supervised]

    last = fit(
        "llm",
        model,
        lambda step: answer_cross_entropy(*predict(lines(world, seed, step * BATCH, BATCH, template))),
        steps,
        LR,
        state,
        algorithm="muon",
    )
    with torch.no_grad():
        held = [row for row in lines(world, seed + 1, 0, TEST_ROWS, template) if not all(row.supervised[1:])]
        logits, labels = predict(held)
    told = labels != tokenizer.eos  # the end of an answer is no news
    right = (logits.argmax(-1) == labels)[told]
    return model, {"loss": last, "answer_tokens_right": right.float().mean().item()}
