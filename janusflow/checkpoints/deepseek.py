"""DeepSeek's release layout of JanusFlow, and what it shares with that of Janus (:mod:`.janus`), in both directions.

``config.json`` (sizes), the files of :mod:`.processor_files`, ``tokenizer.json`` and safetensors; a ``vae/`` may stand
beside them. What our models can vary and the layout has no field for (SigLIP's and the latent's sizes) is written as
additional fields and read where it is there; released files lack them and mean JanusFlow-1.3B's values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from janusflow.checkpoints.layouts import (
    Export,
    Layout,
    check_sayable,
    check_settings,
    llm_params,
    reading,
    stored,
    type_name,
)
from janusflow.checkpoints.processor_files import companion_files
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig
from janusflow.models.vision import VisionConfig
from janusflow.weights import KeyMap

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

MODEL_TYPE = "multi_modality"

# timm's names of SigLIP towers -> width, depth, heads, patch size, MLP ratio.
SIGLIP_SIZES = {
    "siglip_base_patch16_384": (768, 12, 12, 16, 4.0),
    "siglip_large_patch16_384": (1024, 24, 16, 16, 4.0),
    "siglip_so400m_patch14_384": (1152, 27, 16, 14, 4304 / 1152),
}
CUSTOM_SIGLIP = "siglip_custom"

# What a language model has whose file is silent: files leave out what equals these (Janus-Pro-7B's widths do).
LLAMA_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "rope_theta": 10_000.0,
    "rms_norm_eps": 1e-6,
}

# Our prefix -> the official prefix. The rest of a key is equal.
JANUSFLOW_KEYS = KeyMap(
    {
        "llm.causal_lm.": "language_model.",
        "vision.tower.": "vision_und_enc_model.vision_tower.",
        "vision.aligner.": "vision_und_enc_aligner.",
        "vision.begin_embed": "beg_of_und_embed",
        "head.encoder_aligner.": "vision_gen_enc_aligner.",
        "head.encoder.": "vision_gen_enc_model.",
        "head.decoder_aligner.": "vision_gen_dec_aligner.",
        "head.decoder_norm.": "vision_gen_dec_aligner_norm.",
        "head.decoder.": "vision_gen_dec_model.",
    }
)

VAE_FACTOR = 8  # pixels per latent position of the SDXL-VAE

# Settings of the released generation encoder and decoder that our blocks have built in.
FIXED_ENCODER = {
    "dropout": 0.0,
    "elementwise_affine": True,
    "norm_eps": 1e-6,
    "padding": 0,
    "use_bias": True,
    "use_mid_block": True,
}
FIXED_DECODER = {
    "dropout": 0.0,
    "elementwise_affine": True,
    "norm_eps": 1e-6,
    "upsamples": 1,
    "use_bias": True,
    "use_mid_block": True,
}


class JanusFlowLayout(Layout):
    """DeepSeek's of JanusFlow."""

    format, head, default_codec = "deepseek", "flow", "stabilityai/sdxl-vae"

    def is_mine(self, values: dict[str, Any]) -> bool:
        return values.get("model_type") == MODEL_TYPE and "gen_vision_config" not in values

    def keys(self, model: ModelConfig) -> KeyMap:
        return JANUSFLOW_KEYS

    def model_config(self, values: dict[str, Any], source: str) -> ModelConfig:
        with reading(source, "JanusFlow"):
            encoder = values["vision_gen_enc_config"]["params"]
            decoder = values["vision_gen_dec_config"]["params"]
            llm = read_llm_config(values["language_config"], source)
            tower = read_vision_config(values["vision_und_enc_config"]["params"], source)
            check_settings(
                source,
                ("vision_gen_enc_config.params.hidden_size", llm.hidden_size, encoder["hidden_size"]),
                ("vision_gen_dec_config.params.hidden_size", llm.hidden_size, decoder["hidden_size"]),
                ("vision_gen_dec_config.params.in_channels", encoder["block_out_channels"][-1], decoder["in_channels"]),
                ("vision_gen_enc_config.params.kernel_size", encoder["stride"], encoder["kernel_size"]),
                *((f"vision_gen_enc_config.params.{k}", v, encoder.get(k, v)) for k, v in FIXED_ENCODER.items()),
                *((f"vision_gen_dec_config.params.{k}", v, decoder.get(k, v)) for k, v in FIXED_DECODER.items()),
            )
            head = FlowHeadConfig(
                latent_channels=encoder["input_channels"],
                latent_size=encoder.get("latent_size", tower.image_size // VAE_FACTOR),
                patch_size=encoder["stride"],
                width=encoder["block_out_channels"][0],
                encoder_blocks=encoder["layers_in_middle"],
                decoder_blocks=decoder["layers_in_middle"],
            )
        return ModelConfig(llm, tower, head, losses={})

    def export(self, bundle: Bundle, weights: dict[str, Tensor], dtype: torch.dtype | None) -> Export:
        model = bundle.model.config
        check_sayable(model, "DeepSeek's")
        llm, vision, head = model.llm, model.vision, cast(FlowHeadConfig, model.head)
        if vision.aligner_depth != 1 or not vision.begin_embed:
            raise ValueError(
                "DeepSeek's layout of JanusFlow has a linear aligner and a learned begin-of-image embedding"
            )
        if head.latents != "scaled":
            raise ValueError(f"DeepSeek's layout has no {head.latents} latents: use the janusflow layout")
        encoder = {
            **FIXED_ENCODER,
            "block_out_channels": [head.width],
            "hidden_size": llm.hidden_size,
            "input_channels": head.latent_channels,
            "kernel_size": head.patch_size,
            "stride": head.patch_size,
            "layers_in_middle": head.encoder_blocks,
        }
        if head.latent_size != vision.image_size // VAE_FACTOR:
            encoder["latent_size"] = head.latent_size
        decoder = {
            **FIXED_DECODER,
            "block_out_channels": [head.width],
            "hidden_size": llm.hidden_size,
            "in_channels": head.width,
            "out_channels": head.latent_channels,
            "layers_in_middle": head.decoder_blocks,
        }
        parts = {
            "vision_und_enc": ("CLIPVisionTower", vision_params(vision)),
            "vision_gen_enc": ("ShallowUViTEncoder", encoder),
            "vision_gen_dec": ("ShallowUViTDecoder", decoder),
        }
        chat = (bundle.chat, bundle.preprocessing)
        files = companion_files(vision.image_size, vision.grid**2, llm.max_positions, *chat)
        files = {"config.json": config_file(llm, parts, type_name(weights)), **files}
        return Export(stored(weights, JANUSFLOW_KEYS), files, bundle.codec)


def read_llm_config(language: dict[str, Any], source: str) -> LLMConfig:
    """The language model's sizes."""
    values = LLAMA_DEFAULTS | language
    check_settings(
        source,
        ("language_config.model_type", "llama", language.get("model_type", "llama")),
        ("language_config.tie_word_embeddings", False, language.get("tie_word_embeddings", False)),
        ("language_config.rope_scaling", None, language.get("rope_scaling")),
    )
    return LLMConfig(
        vocab_size=values["vocab_size"],
        hidden_size=values["hidden_size"],
        intermediate_size=values["intermediate_size"],
        num_layers=values["num_hidden_layers"],
        num_heads=values["num_attention_heads"],
        num_kv_heads=language.get("num_key_value_heads", values["num_attention_heads"]),
        max_positions=values["max_position_embeddings"],
        rope_theta=values["rope_theta"],
        rms_norm_eps=values["rms_norm_eps"],
    )


def read_vision_config(params: dict[str, Any], source: str) -> VisionConfig:
    """SigLIP's sizes from its name, or from the fields of a tower that has none."""
    name = params["model_name"]
    if name == CUSTOM_SIGLIP:
        keys = ("image_size", "patch_size", "width", "depth", "num_heads", "mlp_ratio")
        return VisionConfig(**{key: params[key] for key in keys})
    if name not in SIGLIP_SIZES:
        known = ", ".join([*SIGLIP_SIZES, CUSTOM_SIGLIP])
        raise ValueError(f"{source} names the vision tower {name!r}; known are {known}")
    width, blocks, heads, patch, ratio = SIGLIP_SIZES[name]
    select = params.get("select_layer", -1)  # the last block that is kept: counted from the front, or back from -1
    depth = select if select > 0 else blocks + 1 + select
    if not 1 <= depth <= blocks:
        raise ValueError(f"{source}: select_layer {select} leaves no block of {name}, which has {blocks}")
    return VisionConfig(params["image_size"], patch, width, depth, heads, ratio)


def vision_params(vision: VisionConfig) -> dict[str, Any]:
    """The fields that :func:`read_vision_config` reads: a known tower, perhaps cut short, or all sizes."""
    params: dict[str, Any] = {"image_size": vision.image_size, "select_feature": "same"}
    for name, (width, blocks, heads, patch, ratio) in SIGLIP_SIZES.items():
        same = (width, heads, patch, ratio) == (vision.width, vision.num_heads, vision.patch_size, vision.mlp_ratio)
        if same and vision.depth <= blocks:
            return {**params, "model_name": name, "select_layer": vision.depth - blocks - 1}
    sizes = {key: getattr(vision, key) for key in ("width", "depth", "num_heads", "patch_size", "mlp_ratio")}
    return {**params, "model_name": CUSTOM_SIGLIP, "select_layer": -1, **sizes}


def config_file(llm: LLMConfig, parts: dict[str, tuple[str, dict[str, Any]]], dtype: str) -> dict[str, Any]:
    """``config.json`` of a language model and named parts, each with its class and sizes."""
    described = {
        f"{name}_config": {"cls": part, "model_type": name, "params": params} for name, (part, params) in parts.items()
    }
    return {
        "architectures": ["MultiModalityCausalLM"],
        "model_type": MODEL_TYPE,
        "torch_dtype": dtype,
        "language_config": {**llm_params(llm), "torch_dtype": dtype},
        **described,
    }
