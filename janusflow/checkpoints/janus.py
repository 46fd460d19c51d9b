"""Janus and Janus-Pro: what DeepSeek's layout and transformers' (:mod:`.transformers_janus`) share, and DeepSeek's.

As that of JanusFlow (:mod:`.deepseek`), with a discrete head and its VQ tokenizer in the same weights. Sizes
that the released files have no field for are written as additional ones under class names of our own.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoints.deepseek import MODEL_TYPE, config_file, read_llm_config, read_vision_config, vision_params
from janusflow.checkpoints.layouts import (
    Export,
    FolderConfig,
    Layout,
    check_sayable,
    check_settings,
    reading,
    stored,
    type_name,
)
from janusflow.checkpoints.processor_files import companion_files, read_janus_chat
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vq import VQCodec
from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.unified import ModelConfig
from janusflow.weights import KeyMap, building, load_weights, read_json_object, safetensors_files

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

VQ_PREFIX = "gen_vision_model."  # of the VQ tokenizer's parameters
UNUSED = ("gen_vision_model.quantize.codebook_used",)  # a counter of VQ training: left out, and written as zeros
UNUSED_SHAPE = (65_536,)

# transformers' VQ tokenizer -> the layout's. The rest of a key is equal.
VQ_KEYS = KeyMap(
    {
        "encoder.down.#.block.": "gen_vision_model.encoder.conv_blocks.#.res.",
        "encoder.down.": "gen_vision_model.encoder.conv_blocks.",
        "decoder.up.#.block.": "gen_vision_model.decoder.conv_blocks.#.res.",
        "decoder.up.": "gen_vision_model.decoder.conv_blocks.",
        **{
            f"{side}.mid.{theirs}.": f"gen_vision_model.{side}.mid.{number}."
            for side in ("encoder", "decoder")
            for number, theirs in enumerate(("block_1", "attn_1", "block_2"))
        },
        "": "gen_vision_model.",
    }
)

VQ_16 = "VQ-16"  # LlamaGen's, whose sizes are JanusVQVAEConfig's defaults
CUSTOM_VQ = "VQ-custom"
VQ_SIZES = ("base_channels", "channel_multiplier", "num_res_blocks", "latent_channels")

# Parts of config.json -> their class.
CLASSES = {
    "vision_config": "CLIPVisionTower",
    "aligner_config": "MlpProjector",
    "gen_aligner_config": "MlpProjector",
    "gen_head_config": "vision_head",
}
PROJECTOR = "mlp_gelu"


class JanusLayout(Layout):
    """A layout whose weights hold the VQ tokenizer too. vq_keys: its parameters, from transformers' names."""

    head = "ar"
    vq_keys: KeyMap
    unused: tuple[str, ...] = ()  # names that are left out

    @abstractmethod
    def vq_config(self, values: dict[str, Any], source: str) -> JanusVQVAEConfig:
        """The VQ tokenizer's sizes, out of the same file as :meth:`model_config`."""

    @abstractmethod
    def config_files(self, bundle: Bundle, vq: JanusVQVAEConfig, dtype: str) -> dict[str, dict[str, Any]]:
        """The layout's JSON files, by name."""

    def chat(self, folder: Path, config: FolderConfig, tokenizer: TextTokenizer) -> ChatConfig:
        return read_janus_chat(folder, tokenizer)

    def codec(
        self, folder: Path, model: ModelConfig, required: bool, dtype: torch.dtype | None, device: torch.device
    ) -> ImageCodec | None:
        return self.read_codec(folder, dtype, device)

    def read_codec(self, folder: Path, dtype: torch.dtype | None, device: torch.device | str = "cpu") -> VQCodec:
        """The VQ tokenizer out of a folder's weights; nothing else of them is read."""
        path = folder / "config.json"
        with building(path, "VQ tokenizer"):
            vq = JanusVQVAE(self.vq_config(read_json_object(path), str(path)))
        (prefix,) = self.extras
        load_weights(vq, safetensors_files(folder), self.vq_keys, self.unused, dtype, device, only=prefix)
        return VQCodec(vq)

    def export(self, bundle: Bundle, weights: dict[str, Tensor], dtype: torch.dtype | None) -> Export:
        if not isinstance(bundle.codec, VQCodec):
            raise ValueError(
                f"the {self.format} format holds the VQ tokenizer too: load the model with it, not --vae none"
            )
        vq = bundle.codec.module
        files = self.config_files(bundle, vq.config, type_name(weights))
        codes = {name: value.detach().to(dtype or value.dtype) for name, value in vq.state_dict().items()}
        return Export(stored(weights, self.keys(bundle.model.config)) | stored(codes, self.vq_keys), files, None)


class DeepSeekJanusLayout(JanusLayout):
    """DeepSeek's."""

    format = "deepseek"
    extras, vq_keys, unused = (VQ_PREFIX,), VQ_KEYS, UNUSED

    def is_mine(self, values: dict[str, Any]) -> bool:
        return values.get("model_type") == MODEL_TYPE and "gen_vision_config" in values

    def keys(self, model: ModelConfig) -> KeyMap:
        return KeyMap(
            {
                "llm.causal_lm.": "language_model.",
                "vision.tower.": "vision_model.vision_tower.",
                **aligner_keys("vision.aligner.", "aligner.layers.", model.vision.aligner_depth),
                **aligner_keys("head.aligner.", "gen_aligner.layers.", cast(ARHeadConfig, model.head).aligner_depth),
                "head.encoder.": "gen_embed.",
                "head.hidden.": "gen_head.output_mlp_projector.",
                "head.classifier.": "gen_head.vision_head.",
            }
        )

    def model_config(self, values: dict[str, Any], source: str) -> ModelConfig:
        with reading(source, "Janus"):
            llm = read_llm_config(values["language_config"], source)
            aligner, gen_aligner, head = (
                values[f"{name}_config"]["params"] for name in ("aligner", "gen_aligner", "gen_head")
            )
            tower = read_vision_config(values["vision_config"]["params"], source)
            vq = self.vq_config(values, source)
            check_settings(
                source,
                *((f"{part}.cls", kind, values[part].get("cls", kind)) for part, kind in CLASSES.items()),
                ("aligner_config.params.projector_type", PROJECTOR, aligner["projector_type"]),
                ("aligner_config.params.input_dim", tower.width, aligner["input_dim"]),
                ("aligner_config.params.n_embed", llm.hidden_size, aligner["n_embed"]),
                ("gen_aligner_config.params.projector_type", PROJECTOR, gen_aligner["projector_type"]),
                ("gen_aligner_config.params.input_dim", vq.embed_dim, gen_aligner["input_dim"]),
                ("gen_aligner_config.params.n_embed", llm.hidden_size, gen_aligner["n_embed"]),
                ("gen_head_config.params.n_embed", llm.hidden_size, head["n_embed"]),
                ("gen_head_config.params.image_token_size", vq.num_embeddings, head["image_token_size"]),
            )
            return ModelConfig(
                llm,
                dataclasses.replace(tower, aligner_depth=aligner.get("depth", 1), begin_embed=False),
                ARHeadConfig(
                    codebook_size=vq.num_embeddings,
                    code_channels=vq.embed_dim,
                    grid=vq.num_patches,
                    aligner_depth=gen_aligner.get("depth", 1),
                    head_width=head["image_token_embed"],
                ),
                losses={},
            )

    def vq_config(self, values: dict[str, Any], source: str) -> JanusVQVAEConfig:
        with reading(source, "Janus"):
            kind, params = values["gen_vision_config"].get("cls", VQ_16), values["gen_vision_config"]["params"]
            if kind not in (VQ_16, CUSTOM_VQ):
                raise ValueError(f"{source}: gen_vision_config.cls is {kind!r}; known are {VQ_16}, {CUSTOM_VQ}")
            sizes = {name: params[name] for name in VQ_SIZES} if kind == CUSTOM_VQ else {}
            config = JanusVQVAEConfig(embed_dim=params["n_embed"], num_embeddings=params["image_token_size"], **sizes)
            factor = 2 ** (len(config.channel_multiplier) - 1)
            config.num_patches = values["vision_config"]["params"]["image_size"] // factor
            return config

    def config_files(self, bundle: Bundle, vq: JanusVQVAEConfig, dtype: str) -> dict[str, dict[str, Any]]:
        model = bundle.model.config
        check_janus(model, vq, "DeepSeek's")
        llm, vision, head = model.llm, model.vision, cast(ARHeadConfig, model.head)
        sizes = vq_sizes(vq)
        code = {"image_token_size": head.codebook_size, "n_embed": head.code_channels}
        aligner = {"projector_type": PROJECTOR, "n_embed": llm.hidden_size}
        head_sizes = {
            "image_token_embed": head.head_width,
            "image_token_size": head.codebook_size,
            "n_embed": llm.hidden_size,
        }
        params = {
            "vision_config": vision_params(vision),
            "aligner_config": {**aligner, "depth": vision.aligner_depth, "input_dim": vision.width},
            "gen_aligner_config": {**aligner, "depth": head.aligner_depth, "input_dim": head.code_channels},
            "gen_head_config": head_sizes,
        }
        parts = {part.removesuffix("_config"): (CLASSES[part], params[part]) for part in CLASSES}
        parts["gen_vision"] = (VQ_16, code) if sizes == vq_sizes(JanusVQVAEConfig()) else (CUSTOM_VQ, {**code, **sizes})
        chat = (bundle.chat, bundle.preprocessing)
        files = companion_files(vision.image_size, head.grid**2, llm.max_positions, *chat)
        return {"config.json": config_file(llm, parts, dtype), **files}

    def export(self, bundle: Bundle, weights: dict[str, Tensor], dtype: torch.dtype | None) -> Export:
        export = super().export(bundle, weights, dtype)
        counter = torch.zeros(UNUSED_SHAPE, dtype=next(iter(weights.values())).dtype)
        export.weights.update(dict.fromkeys(UNUSED, counter))
        return export


def aligner_keys(ours: str, theirs: str, depth: int) -> dict[str, str]:
    """An aligner's prefixes: of several layers ours are numbered too."""
    return {ours: f"{theirs}0."} if depth == 1 else {ours: theirs}


def check_janus(model: ModelConfig, vq: JanusVQVAEConfig, layout: str) -> None:
    """Raise ``ValueError`` for what no layout of Janus can say."""
    check_sayable(model, layout)
    if model.vision.begin_embed:
        raise ValueError(f"{layout} layout of Janus has no learned begin-of-image embedding: use the janusflow layout")
    sizes = cast(ARHeadConfig, model.head)
    codes, head = (vq.num_embeddings, vq.embed_dim), (sizes.codebook_size, sizes.code_channels)
    if codes != head:
        raise ValueError(
            f"{layout} layout of Janus has one size for the VQ tokenizer's codes and the head's: "
            f"{codes[0]} x {codes[1]} against {head[0]} x {head[1]}"
        )


def vq_sizes(vq: JanusVQVAEConfig) -> dict[str, Any]:
    """What tells a VQ tokenizer's layers from another's."""
    sizes = {name: getattr(vq, name) for name in VQ_SIZES}
    return {name: list(size) if isinstance(size, (list, tuple)) else size for name, size in sizes.items()}
