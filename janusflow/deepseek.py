"""DeepSeek's release layout of JanusFlow: its configuration files and parameter names, in both directions.

``config.json`` (sizes), ``processor_config.json`` (chat), ``preprocessor_config.json`` (pixels), ``tokenizer.json`` and
safetensors. What our models can vary and the layout has no field for (SigLIP's and the latent's sizes, chat roles) is
written as additional fields and read where it is there; released files lack them and mean JanusFlow-1.3B's values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import BOS, EOS, PAD
from janusflow.data.transforms import Preprocessing
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig
from janusflow.models.vision import VisionConfig
from janusflow.repa import RepaConfig
from janusflow.weights import KeyMap

MODEL_TYPE = "multi_modality"

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

# timm's names of SigLIP towers -> width, depth, heads, patch size, MLP ratio.
SIGLIP_SIZES = {
    "siglip_base_patch16_384": (768, 12, 12, 16, 4.0),
    "siglip_large_patch16_384": (1024, 24, 16, 16, 4.0),
    "siglip_so400m_patch14_384": (1152, 27, 16, 14, 4304 / 1152),
}
CUSTOM_SIGLIP = "siglip_custom"
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


def is_deepseek(values: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is of this layout."""
    return values.get("model_type") == MODEL_TYPE


def read_model_config(values: dict[str, Any], source: str) -> ModelConfig:
    """Sizes out of ``config.json``.

    Raises ``ValueError`` that names a missing or unsupported field, and for a Janus or Janus-Pro file, which has a
    discrete head.
    """
    if "gen_vision_config" in values:
        raise ValueError(f"{source} describes a Janus model with a VQ head, not a JanusFlow")
    try:
        language = values["language_config"]
        vision = values["vision_und_enc_config"]["params"]
        encoder = values["vision_gen_enc_config"]["params"]
        decoder = values["vision_gen_dec_config"]["params"]
        llm = LLMConfig(
            vocab_size=language["vocab_size"],
            hidden_size=language["hidden_size"],
            intermediate_size=language["intermediate_size"],
            num_layers=language["num_hidden_layers"],
            num_heads=language["num_attention_heads"],
            num_kv_heads=language.get("num_key_value_heads", language["num_attention_heads"]),
            max_positions=language["max_position_embeddings"],
            rope_theta=language.get("rope_theta", 10_000.0),
            rms_norm_eps=language.get("rms_norm_eps", 1e-6),
        )
        for name, wanted, got in (
            ("language_config.model_type", "llama", language.get("model_type", "llama")),
            ("language_config.tie_word_embeddings", False, language.get("tie_word_embeddings", False)),
            ("language_config.rope_scaling", None, language.get("rope_scaling")),
            ("vision_gen_enc_config.params.hidden_size", llm.hidden_size, encoder["hidden_size"]),
            ("vision_gen_dec_config.params.hidden_size", llm.hidden_size, decoder["hidden_size"]),
            ("vision_gen_dec_config.params.in_channels", encoder["block_out_channels"][-1], decoder["in_channels"]),
            ("vision_gen_enc_config.params.kernel_size", encoder["stride"], encoder["kernel_size"]),
            *((f"vision_gen_enc_config.params.{k}", v, encoder.get(k, v)) for k, v in FIXED_ENCODER.items()),
            *((f"vision_gen_dec_config.params.{k}", v, decoder.get(k, v)) for k, v in FIXED_DECODER.items()),
        ):
            if got != wanted:
                raise ValueError(f"{source}: {name} is {got!r}; only {wanted!r} is supported")
        tower = read_vision_config(vision, source)
        head = FlowHeadConfig(
            latent_channels=encoder["input_channels"],
            latent_size=encoder.get("latent_size", tower.image_size // VAE_FACTOR),
            patch_size=encoder["stride"],
            width=encoder["block_out_channels"][0],
            encoder_blocks=encoder["layers_in_middle"],
            decoder_blocks=decoder["layers_in_middle"],
        )
    except KeyError as error:
        raise ValueError(f"{source} lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{source} is not a JanusFlow configuration: {error}") from error
    return ModelConfig(llm, tower, flow_head=head, repa=RepaConfig(enabled=False))


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


def read_chat(folder: Path) -> ChatConfig:
    """Roles and system prompt of ``processor_config.json``; JanusFlow's where the file is silent."""
    values = read_json(folder / "processor_config.json", required=False)
    fields = {"user": "user_role", "assistant": "assistant_role", "system": "system_prompt"}
    return ChatConfig(**{ours: values[theirs] for ours, theirs in fields.items() if theirs in values})


def read_preprocessing(folder: Path) -> Preprocessing:
    """Pixel settings of ``preprocessor_config.json``; JanusFlow's where the file is silent."""
    values = read_json(folder / "preprocessor_config.json", required=False)
    fields = {
        "min_side": "min_size",
        "background": "background_color",
        "normalize": "do_normalize",
        "mean": "image_mean",
        "std": "image_std",
    }
    return Preprocessing(**{ours: values[theirs] for ours, theirs in fields.items() if values.get(theirs) is not None})


def config_files(
    model: ModelConfig, chat: ChatConfig, preprocessing: Preprocessing, image_tokens: int, dtype: str
) -> dict[str, dict[str, Any]]:
    """The layout's JSON files, by name. Raises ``ValueError`` for what the layout cannot say."""
    if model.llm.qk_norm:
        raise ValueError("DeepSeek's layout has no query-key norm: use the janusflow layout")
    if model.sees_latents:
        raise ValueError(f"DeepSeek's layout has SigLIP, no {model.und_encoder} encoder: use the janusflow layout")
    llm, vision, head = model.llm, model.vision, model.flow_head
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
    return {
        "config.json": {
            "architectures": ["MultiModalityCausalLM"],
            "model_type": MODEL_TYPE,
            "torch_dtype": dtype,
            "language_config": {
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
                "torch_dtype": dtype,
            },
            "vision_und_enc_config": {
                "cls": "CLIPVisionTower",
                "model_type": "vision_und_enc",
                "params": vision_params(vision),
            },
            "vision_gen_enc_config": {"cls": "ShallowUViTEncoder", "model_type": "vision_gen_enc", "params": encoder},
            "vision_gen_dec_config": {"cls": "ShallowUViTDecoder", "model_type": "vision_gen_dec", "params": decoder},
        },
        "processor_config.json": {
            "processor_class": "VLChatProcessor",
            "sft_format": "deepseek",
            "add_special_token": False,
            "ignore_id": -100,
            "image_tag": "<image_placeholder>",
            "mask_prompt": True,
            "num_image_tokens": image_tokens,
            "user_role": chat.user,
            "assistant_role": chat.assistant,
            "system_prompt": chat.system,
        },
        "preprocessor_config.json": {
            "image_processor_type": "VLMImageProcessor",
            "processor_class": "VLChatProcessor",
            "image_size": vision.image_size,
            "min_size": preprocessing.min_side,
            "background_color": preprocessing.background,
            "do_normalize": preprocessing.normalize,
            "image_mean": preprocessing.mean,
            "image_std": preprocessing.std,
            "rescale_factor": 1 / 255,
        },
        "special_tokens_map.json": {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": llm.max_positions,
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
        },
    }


def read_json(path: Path, required: bool = True) -> dict[str, Any]:
    """A JSON object. Raises ``ValueError`` with the path where it is damaged, or missing and ``required``."""
    if not required and not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return values
