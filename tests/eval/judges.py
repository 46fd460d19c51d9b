"""Tiny random models of the real classes that judge, saved as the hub has them."""

import pytest
import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    SwinConfig,
    ViltConfig,
    ViltForQuestionAnswering,
    ViltImageProcessor,
    ViltProcessor,
)

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "yes", "no", "is", "it", "there", "a", "dog", "?", "red"]


def saved(folder, kind, config, *processors):
    """A random model and what prepares its inputs, in a folder."""
    torch.manual_seed(0)
    for part in (kind(config), *processors):
        part.save_pretrained(folder)
    return folder


def bert() -> BertTokenizer:
    return BertTokenizer({word: index for index, word in enumerate(WORDS)}, model_max_length=40)


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory):
    """A Mask2Former of COCO's 80 classes with a tiny Swin."""
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}
    stages = ["stage1", "stage2", "stage3", "stage4"]
    widths = dict.fromkeys(("hidden_dim", "feature_size", "mask_feature_size", "encoder_feedforward_dim"), 32)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(image_size=32, out_features=stages, **sizes),
        **{"num_labels": 80, "encoder_layers": 1, "decoder_layers": 2, "dim_feedforward": 32, **widths},
        **{"num_attention_heads": 2, "num_queries": 5},
    )
    processor = Mask2FormerImageProcessor()
    return saved(tmp_path_factory.mktemp("detector"), Mask2FormerForUniversalSegmentation, config, processor)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A CLIP with an alphabet for a vocabulary."""
    letters = [*"abcdefghijklmnopqrstuvwxyz-"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    tokenizer = CLIPTokenizer({word: index for index, word in enumerate(words)}, [], model_max_length=77)
    config = CLIPConfig(
        text_config={**SMALL, "vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
        vision_config={**SMALL, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return saved(tmp_path_factory.mktemp("clip"), CLIPModel, config, CLIPProcessor(images, tokenizer))


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory):
    text = {
        **{**SMALL, "encoder_hidden_size": 16, "projection_dim": 16, "max_position_embeddings": 64},
        **{"vocab_size": len(WORDS) + 1, "bos_token_id": len(WORDS)},  # not in the tokenizer, as in the real one
        **{"sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0},
    }
    vision = {**SMALL, "image_size": 16, "patch_size": 8, "projection_dim": 16}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    processor = BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), bert())
    return saved(tmp_path_factory.mktemp("blip"), BlipForQuestionAnswering, config, processor)


@pytest.fixture(scope="session")
def vilt_folder(tmp_path_factory):
    answers = ("yes", "no", "red")
    config = ViltConfig(
        **{**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 40, "image_size": 32, "patch_size": 16},
        id2label=dict(enumerate(answers)),
        label2id={answer: index for index, answer in enumerate(answers)},
    )
    processor = ViltProcessor(ViltImageProcessor(size={"shortest_edge": 32}), bert())
    return saved(tmp_path_factory.mktemp("vilt"), ViltForQuestionAnswering, config, processor)
