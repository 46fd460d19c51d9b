"""configs/janusflow_1b describes the released model, tensor by tensor."""

import math

import torch

from janusflow.checkpoints.deepseek import JANUSFLOW_KEYS
from janusflow.config import load_config
from janusflow.models.unified import UnifiedModel
from janusflow.training.config import RunConfig
from tests.conftest import ROOT

D, W, C, N = 2048, 768, 1024, 576  # LLM, generation encoder, SigLIP widths; image tokens


def linear(name: str, out: int, into: int) -> dict[str, tuple]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def convnext_block(prefix: str, width: int) -> dict[str, tuple]:
    return {
        f"{prefix}.depthwise.weight": (width, 1, 7, 7),
        f"{prefix}.depthwise.bias": (width,),
        f"{prefix}.norm.weight": (width,),
        **linear(f"{prefix}.channelwise_linear_1", 4 * width, width),
        f"{prefix}.channelwise_norm.weight": (1, 1, 1, 4 * width),
        f"{prefix}.channelwise_norm.bias": (1, 1, 1, 4 * width),
        **linear(f"{prefix}.channelwise_linear_2", width, 4 * width),
        **linear(f"{prefix}.cond_embeds_mapper", 2 * width, D),
    }


def layer_norm(name: str) -> dict[str, tuple]:
    return {f"{name}.weight": (C,), f"{name}.bias": (C,)}


def released() -> dict[str, tuple]:
    """Keys and shapes of the released checkpoint, written down from its specification."""
    keys: dict[str, tuple] = {"language_model.model.embed_tokens.weight": (102400, D)}
    for i in range(24):
        layer = f"language_model.model.layers.{i}"
        keys |= {f"{layer}.self_attn.{p}_proj.weight": (D, D) for p in "qkvo"}
        keys |= {f"{layer}.mlp.{p}_proj.weight": (5632, D) for p in ("gate", "up")}
        keys |= {f"{layer}.mlp.down_proj.weight": (D, 5632)}
        keys |= {f"{layer}.{n}.weight": (D,) for n in ("input_layernorm", "post_attention_layernorm")}
    keys |= {"language_model.model.norm.weight": (D,), "language_model.lm_head.weight": (102400, D)}

    tower = "vision_und_enc_model.vision_tower"
    keys |= {f"{tower}.pos_embed": (1, N, C), f"{tower}.patch_embed.proj.weight": (C, 3, 16, 16)}
    keys |= {f"{tower}.patch_embed.proj.bias": (C,), f"{tower}.attn_pool.latent": (1, 1, C)}
    for i in range(24):
        block = f"{tower}.blocks.{i}"
        keys |= layer_norm(f"{block}.norm1") | layer_norm(f"{block}.norm2")
        keys |= linear(f"{block}.attn.qkv", 3 * C, C) | linear(f"{block}.attn.proj", C, C)
        keys |= linear(f"{block}.mlp.fc1", 4 * C, C) | linear(f"{block}.mlp.fc2", C, 4 * C)
    pool = f"{tower}.attn_pool"
    keys |= layer_norm(f"{tower}.norm") | layer_norm(f"{pool}.norm")
    keys |= linear(f"{pool}.q", C, C) | linear(f"{pool}.kv", 2 * C, C) | linear(f"{pool}.proj", C, C)
    keys |= linear(f"{pool}.mlp.fc1", 4 * C, C) | linear(f"{pool}.mlp.fc2", C, 4 * C)
    keys |= linear("vision_und_enc_aligner", D, C) | {"beg_of_und_embed": (1, D)}

    keys |= linear("vision_gen_enc_model.time_embed.linear_1", D, W)
    keys |= linear("vision_gen_enc_model.time_embed.linear_2", D, D)
    keys |= {"vision_gen_enc_model.in_conv.weight": (W, 4, 2, 2), "vision_gen_enc_model.in_conv.bias": (W,)}
    keys |= linear("vision_gen_enc_aligner", D, W) | linear("vision_gen_dec_aligner", W, D)
    for i in range(2):
        keys |= convnext_block(f"vision_gen_enc_model.mid_block.res_blocks.{i}", W)
        keys |= convnext_block(f"vision_gen_dec_model.mid_block.res_blocks.{i}", 2 * W)
    keys |= {"vision_gen_dec_aligner_norm.weight": (D,), "vision_gen_dec_model.input_norm.weight": (W,)}
    out = "vision_gen_dec_model.out_convs.0"
    return keys | {
        f"{out}.norm.weight": (2 * W,),
        f"{out}.unpatch_conv.weight": (16, 2 * W, 1, 1),
        f"{out}.unpatch_conv.bias": (16,),
    }


def test_configured_model_has_the_released_keys_and_shapes():
    (sizes, *others) = (load_config(RunConfig, ROOT / f"configs/janusflow_1b/stage{n}.yaml").model for n in (1, 2, 3))
    assert others == [sizes, sizes]
    with torch.device("meta"):
        model = UnifiedModel(sizes)
    ours = {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.startswith(model.training_only)}
    assert {JANUSFLOW_KEYS.stored(key): shape for key, shape in ours.items()} == released()
    assert len(ours) == 587 and round(sum(map(math.prod, released().values())) / 1e6) == 2046
    assert all(JANUSFLOW_KEYS.stored(JANUSFLOW_KEYS.ours(key)) == key for key in released())
    assert len({JANUSFLOW_KEYS.ours(key) for key in released()}) == len(ours)
