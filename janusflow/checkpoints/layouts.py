"""What the layouts of released checkpoints share: settings of language model and vision tower, and their checks.

:mod:`.deepseek` and :mod:`.janus` are DeepSeek's, :mod:`.transformers_janus` transformers'.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig
from janusflow.models.vision import VisionConfig

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


def is_deepseek(values: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is of this layout."""
    return values.get("model_type") == MODEL_TYPE


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


def llm_params(llm: LLMConfig) -> dict[str, Any]:
    """The fields that :func:`read_llm_config` reads."""
    return {
        "model_type": "llama",
        "vocab_size": llm.vocab_size,
        "hidden_size": llm.hidden_size,
        "intermediate_size": llm.intermediate_size,
        "num_hidden_layers": llm.num_layers,
        "num_attention_heads": llm.num_heads,
        "num_key_value_heads": llm.num_kv_heads,
        "max_position_embeddings": llm.max_positions,
        "rope_theta": llm.rope_theta,
        "rms_norm_eps": llm.rms_norm_eps,
    }


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


def check_sayable(model: ModelConfig, layout: str) -> None:
    """Raise ``ValueError`` for what neither DeepSeek's layouts nor transformers' can say."""
    if model.llm.qk_norm:
        raise ValueError(f"{layout} layout has no query-key norm: use the janusflow layout")
    if model.sees_latents:
        raise ValueError(f"{layout} layout has SigLIP, no {model.und_encoder} encoder: use the janusflow layout")


def config_file(llm: LLMConfig, parts: dict[str, tuple[str, dict[str, Any]]], dtype: str) -> dict[str, Any]:
    """``config.json`` of a language model and named parts, each with its class and sizes."""
    described = {
        f"{name}_config": {"cls": kind, "model_type": name, "params": params} for name, (kind, params) in parts.items()
    }
    return {
        "architectures": ["MultiModalityCausalLM"],
        "model_type": MODEL_TYPE,
        "torch_dtype": dtype,
        "language_config": {**llm_params(llm), "torch_dtype": dtype},
        **described,
    }


def check_settings(source: str, *settings: tuple[str, Any, Any]) -> None:
    """Raise ``ValueError`` for the first of (name, supported value, value) whose values differ."""
    for name, wanted, got in settings:
        if got != wanted:
            raise ValueError(f"{source}: {name} is {got!r}; only {wanted!r} is supported")


@contextmanager
def reading(source: str, kind: str) -> Iterator[None]:
    """Turn the errors of reading a damaged configuration into ``ValueError`` that names ``source``."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{source} lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError, ArithmeticError, RuntimeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{source} is not a {kind} configuration: {reason}") from error
