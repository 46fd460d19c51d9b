"""transformers' layout of Janus and Janus-Pro: its configuration files and parameter names, in both directions.

SigLIP's projections of queries, keys and values are three parameters here and one of ours; its attention pooling, which
nothing uses, has none: it is left out, and read as zeros.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor
from transformers import JanusConfig, JanusVQVAEConfig

from janusflow.checkpoints.janus import JanusLayout, check_janus, vq_sizes
from janusflow.checkpoints.layouts import check_settings, llm_params, reading
from janusflow.checkpoints.processor_files import chat_template, companion_files
from janusflow.data.tokenizer import BEGIN_OF_IMAGE, END_OF_IMAGE, IMAGE_PLACEHOLDER
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig
from janusflow.models.vision import VisionConfig
from janusflow.weights import KeyMap, View, read_shapes

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

MODEL_TYPE = "janus"
VQ_PREFIX = "model.vqmodel."  # of the VQ tokenizer's parameters

TOWER, BLOCK = "model.vision_model.", "model.vision_model.encoder.layers.#."
POSITIONS = "vision.tower.pos_embed"
QKV = "vision.tower.blocks.#.attn.qkv."
POOLING = "vision.tower.attn_pool."
EMBEDDINGS, LOGITS = "llm.causal_lm.model.embed_tokens.weight", "llm.causal_lm.lm_head.weight"
STORED_LOGITS = "lm_head.weight"


class Keys(KeyMap):
    """Our parameter names to the layout's. tied: the files have no output embeddings, the input's count twice."""

    def __init__(self, config: ModelConfig, tied: bool = False) -> None:
        head = cast(ARHeadConfig, config.head)
        super().__init__(
            {
                "llm.causal_lm.model.": "model.language_model.",
                "llm.causal_lm.lm_head.": "lm_head.",
                POSITIONS: f"{TOWER}embeddings.position_embedding.weight",
                "vision.tower.patch_embed.proj.": f"{TOWER}embeddings.patch_embedding.",
                "vision.tower.blocks.#.norm1.": f"{BLOCK}layer_norm1.",
                "vision.tower.blocks.#.norm2.": f"{BLOCK}layer_norm2.",
                "vision.tower.blocks.#.attn.proj.": f"{BLOCK}self_attn.projection_layer.",
                "vision.tower.blocks.#.mlp.": f"{BLOCK}mlp.",
                "vision.tower.norm.": f"{TOWER}post_layernorm.",
                **aligner_keys("vision.aligner.", "model.aligner.", config.vision.aligner_depth),
                **aligner_keys("head.aligner.", "model.generation_aligner.", head.aligner_depth),
                "head.encoder.": "model.generation_embeddings.",
                "head.hidden.": "model.generation_head.proj_out.",
                "head.classifier.": "model.generation_head.vision_head.",
            }
        )
        self.tied = tied
        self.projections = [KeyMap({QKV: f"{BLOCK}self_attn.{name}_proj."}) for name in "qkv"]

    def parts(self, ours: str) -> dict[str, View]:
        if ours.startswith(POOLING) or (self.tied and ours == LOGITS):
            return {}
        if ours == POSITIONS:
            return {self.stored(ours): without_batch}
        if ".attn.qkv." in ours:
            return {keys.stored(ours): partial(third, number) for number, keys in enumerate(self.projections)}
        return super().parts(ours)

    def substitute(self, ours: str) -> str | None:
        return EMBEDDINGS if ours == LOGITS else None


def aligner_keys(ours: str, theirs: str, depth: int) -> dict[str, str]:
    """An aligner's prefixes: of several layers ours are numbered 0, 2, 4 … with the activations between them."""
    if depth == 1:
        return {ours: f"{theirs}fc1."}
    later = {f"{ours}{2 * number + 2}.": f"{theirs}hidden_layers.{number}." for number in range(depth - 1)}
    return {f"{ours}0.": f"{theirs}fc1.", **later}


def without_batch(value: Tensor) -> Tensor:
    """(1, N, C) -> (N, C)."""
    return value.squeeze(0)


def third(number: int, value: Tensor) -> Tensor:
    """(3 C, …) -> part ``number`` of it, (C, …)."""
    return value.chunk(3)[number]


class TransformersJanusLayout(JanusLayout):
    """transformers'."""

    format = "transformers"
    extras, vq_keys = (VQ_PREFIX,), KeyMap({"": VQ_PREFIX})

    def is_mine(self, values: dict[str, Any]) -> bool:
        return values.get("model_type") == MODEL_TYPE

    def keys(self, model: ModelConfig) -> KeyMap:
        return Keys(model)

    def file_keys(self, model: ModelConfig, folder: Path, values: dict[str, Any], files: list[Path]) -> KeyMap:
        """Output embeddings in the files count; without them ``config.json`` must say that the input's are meant.

        It does so where it is silent.
        """
        if STORED_LOGITS in read_shapes(files):
            return Keys(model)
        if not values.get("tie_word_embeddings", True):
            path = folder / "config.json"
            raise ValueError(f"{path}: the weights lack {STORED_LOGITS}, and tie_word_embeddings is false")
        return Keys(model, tied=True)

    def model_config(self, values: dict[str, Any], source: str) -> ModelConfig:
        with reading(source, "Janus"):
            config = parse(values, source)
            text, vision, vq = config.text_config, config.vision_config, config.vq_config
            return ModelConfig(
                LLMConfig(
                    vocab_size=text.vocab_size,
                    hidden_size=text.hidden_size,
                    intermediate_size=text.intermediate_size,
                    num_layers=text.num_hidden_layers,
                    num_heads=text.num_attention_heads,
                    num_kv_heads=text.num_key_value_heads,
                    max_positions=text.max_position_embeddings,
                    rope_theta=text.rope_parameters["rope_theta"],
                    rms_norm_eps=text.rms_norm_eps,
                ),
                VisionConfig(
                    image_size=vision.image_size,
                    patch_size=vision.patch_size,
                    width=vision.hidden_size,
                    depth=vision.num_hidden_layers,
                    num_heads=vision.num_attention_heads,
                    mlp_ratio=vision.mlp_ratio,
                    aligner_depth=vision.depth,
                    begin_embed=False,
                ),
                ARHeadConfig(
                    codebook_size=vq.num_embeddings,
                    code_channels=vq.embed_dim,
                    grid=vq.num_patches,
                    aligner_depth=vq.num_hidden_layers,
                    head_width=vq.projection_dim,
                ),
                losses={},
            )

    def vq_config(self, values: dict[str, Any], source: str) -> JanusVQVAEConfig:
        with reading(source, "Janus"):
            return parse(values, source).vq_config

    def config_files(self, bundle: Bundle, vq: JanusVQVAEConfig, dtype: str) -> dict[str, dict[str, Any]]:
        model, tokenizer = bundle.model.config, bundle.tokenizer
        check_janus(model, vq, "transformers'")
        llm, vision, head = model.llm, model.vision, cast(ARHeadConfig, model.head)
        if head.head_width != llm.hidden_size:
            raise ValueError(
                f"transformers' layout has a generation head as wide as the LLM: {head.head_width} against "
                f"{llm.hidden_size}; use the deepseek or the janusflow layout"
            )
        special = {"bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos}
        config = JanusConfig(
            text_config={**llm_params(llm), **special},
            vision_config={
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "hidden_size": vision.width,
                "num_hidden_layers": vision.depth,
                "num_attention_heads": vision.num_heads,
                "mlp_ratio": vision.mlp_ratio,
                "depth": vision.aligner_depth,
                "projection_dim": llm.hidden_size,
                "num_image_tokens": head.grid**2,
            },
            vq_config={
                **vq_sizes(vq),
                "embed_dim": head.code_channels,
                "num_embeddings": head.codebook_size,
                "num_hidden_layers": head.aligner_depth,
                "projection_dim": head.head_width,
                "image_token_embed_dim": llm.hidden_size,
                "num_patches": head.grid,
            },
            image_token_id=tokenizer.image,
            tie_word_embeddings=False,
            architectures=["JanusForConditionalGeneration"],
            dtype=dtype,
        )
        chat = (bundle.chat, bundle.preprocessing)
        files = companion_files(vision.image_size, head.grid**2, llm.max_positions, *chat)
        files["processor_config.json"]["processor_class"] = "JanusProcessor"
        pixels = files["preprocessor_config.json"]
        pixels |= {"image_processor_type": "JanusImageProcessor", "processor_class": "JanusProcessor"}
        side = pixels.pop("image_size")
        pixels |= {"size": {"height": side, "width": side}}
        images = {"image_token": IMAGE_PLACEHOLDER, "boi_token": BEGIN_OF_IMAGE, "eoi_token": END_OF_IMAGE}
        files["tokenizer_config.json"] |= {"extra_special_tokens": images, "processor_class": "JanusProcessor"}
        generation = {**special, "pad_token_id": tokenizer.pad, "generation_kwargs": {"boi_token_id": tokenizer.boi}}
        files["chat_template.json"] = {"chat_template": chat_template(bundle.chat)}
        return {"config.json": config.to_dict(), "generation_config.json": generation, **files}


def parse(values: dict[str, Any], source: str) -> JanusConfig:
    """transformers' own reading of ``config.json``, with what we have built in checked."""
    config = JanusConfig.from_dict(values)
    text, vision, vq = config.text_config, config.vision_config, config.vq_config
    check_settings(
        source,
        ("text_config.model_type", "llama", text.model_type),
        ("text_config.hidden_act", "silu", text.hidden_act),
        ("text_config.attention_bias", False, text.attention_bias),
        ("text_config.mlp_bias", False, text.mlp_bias),
        ("text_config.head_dim", text.hidden_size // text.num_attention_heads, text.head_dim),
        ("text_config.rope_parameters.rope_type", "default", text.rope_parameters["rope_type"]),
        ("vision_config.hidden_act", "gelu", vision.hidden_act),
        ("vision_config.layer_norm_eps", 1e-6, vision.layer_norm_eps),
        ("vision_config.attention_bias", True, vision.attention_bias),
        ("vision_config.use_qk_norm", False, vision.use_qk_norm),
        ("vision_config.num_channels", 3, vision.num_channels),
        ("vision_config.projection_dim", text.hidden_size, vision.projection_dim),
        ("vq_config.hidden_act", "gelu", vq.hidden_act),
        ("vq_config.double_latent", False, vq.double_latent),
        ("vq_config.projection_dim", text.hidden_size, vq.projection_dim),
        ("vq_config.image_token_embed_dim", text.hidden_size, vq.image_token_embed_dim),
    )
    return config
