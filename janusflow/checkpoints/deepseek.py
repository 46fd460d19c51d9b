"""DeepSeek's release layout of JanusFlow: its configuration files and parameter names, in both directions.

``config.json`` (sizes), the files of :mod:`.processor_files`, ``tokenizer.json`` and safetensors. What our
models can vary and the layout has no field for (SigLIP's and the latent's sizes) is written as additional fields and
read where it is there; released files lack them and mean JanusFlow-1.3B's values.
"""

from __future__ import annotations

from typing import Any, cast

from janusflow.checkpoints.layouts import (
    check_sayable,
    check_settings,
    config_file,
    read_llm_config,
    read_vision_config,
    reading,
    vision_params,
)
from janusflow.checkpoints.processor_files import companion_files
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.unified import ModelConfig
from janusflow.weights import KeyMap

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


def read_model_config(values: dict[str, Any], source: str) -> ModelConfig:
    """Sizes out of ``config.json``.

    Raises ``ValueError`` that names a missing or unsupported field.
    """
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


def config_files(
    model: ModelConfig, chat: ChatConfig, preprocessing: Preprocessing, dtype: str
) -> dict[str, dict[str, Any]]:
    """The layout's JSON files, by name. Raises ``ValueError`` for what the layout cannot say."""
    check_sayable(model, "DeepSeek's")
    llm, vision, head = model.llm, model.vision, cast(FlowHeadConfig, model.head)
    if vision.aligner_depth != 1 or not vision.begin_embed:
        raise ValueError("DeepSeek's layout of JanusFlow has a linear aligner and a learned begin-of-image embedding")
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
    files = companion_files(vision.image_size, vision.grid**2, llm.max_positions, chat, preprocessing)
    return {"config.json": config_file(llm, parts, dtype), **files}
