"""Tiny random VQA models of the real classes, saved as the hub has them."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
    ViltConfig,
    ViltForQuestionAnswering,
    ViltImageProcessor,
    ViltProcessor,
)

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "yes",
    "no",
    "is",
    "it",
    "there",
    "a",
    "dog",
    "?",
    "red",
]
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def tokenizer() -> BertTokenizer:
    return BertTokenizer({word: index for index, word in enumerate(WORDS)}, model_max_length=40)


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    config = BlipConfig(
        text_config={
            **SMALL,
            "vocab_size": len(WORDS) + 1,  # an answer's start is not in the tokenizer, as in the real one
            "encoder_hidden_size": 16,
            "projection_dim": 16,
            "max_position_embeddings": 64,
            "bos_token_id": len(WORDS),
            "sep_token_id": 3,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**SMALL, "image_size": 16, "patch_size": 8, "projection_dim": 16},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    torch.manual_seed(0)
    BlipForQuestionAnswering(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vilt_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vilt")
    config = ViltConfig(
        **SMALL,
        vocab_size=len(WORDS),
        max_position_embeddings=40,
        image_size=32,
        patch_size=16,
        id2label={0: "yes", 1: "no", 2: "red"},
        label2id={"yes": 0, "no": 1, "red": 2},
    )
    torch.manual_seed(0)
    ViltForQuestionAnswering(config).save_pretrained(folder)
    ViltProcessor(ViltImageProcessor(size={"shortest_edge": 32}), tokenizer()).save_pretrained(folder)
    return folder
