"""Low-rank adapters on the LLM's linear layers (LoRA: Hu et al. 2021, arXiv:2106.09685), by peft.

A layer's weight W stays as it is and becomes W + alpha / rank · B A in effect; A (rank x in) and B (out x rank) train.
Where W is held in fewer bits (QLoRA: Dettmers et al. 2023, arXiv:2305.14314), they stay in fp32.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janusflow.models.llm import CausalLM, LLMConfig
from janusflow.precision import matmul_dtype

M = TypeVar("M", bound=nn.Module)
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # a block's linear layers
NORMED = ("q_proj", "k_proj")  # with llm.qk_norm they are no plain products
BITS = (32, 16, 8, 4)
MARK = ".lora_"  # in the names of an adapter's parameters, and of no others


@dataclass
class AdapterConfig:
    """An adapter in the place of the LLM's own weights, wherever a stage trains ``llm``."""

    rank: int = 0  # 0: none
    alpha: float = 32.0
    dropout: float = 0.0  # of what goes into A
    targets: list[str] = field(default_factory=lambda: list(TARGETS))  # layers of every block
    base_bits: int = 32  # of the LLM's frozen linear weights: 32, 16 (bf16), or on CUDA 8 or 4 (bitsandbytes)

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha <= 0:
            raise ValueError(f"adapter.rank is 0 or more and alpha above 0, got {self.rank} and {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter.dropout must lie in [0, 1), got {self.dropout}")
        unknown = sorted(set(self.targets) - {*TARGETS})
        if unknown or not self.targets:
            found = f"unknown layer {unknown[0]!r} in adapter.targets" if unknown else "adapter.targets is empty"
            raise ValueError(f"{found}; choose from {', '.join(TARGETS)}")
        if self.base_bits not in BITS:
            raise ValueError(f"adapter.base_bits must be one of {', '.join(map(str, BITS))}, got {self.base_bits}")

    def check(self, llm: LLMConfig) -> None:
        """Raise ``ValueError`` where such an LLM, or this machine, cannot have the adapter."""
        normed = [name for name in NORMED if name in self.targets]
        if self.rank and llm.qk_norm and normed:
            raise ValueError(f"adapter.targets: {normed[0]} is no plain product in an LLM with qk_norm; leave it out")
        if self.rank and self.base_bits < 16:
            if not torch.cuda.is_available():
                raise ValueError(f"adapter.base_bits {self.base_bits} needs a CUDA GPU; a CPU takes 32 or 16")
            if find_spec("bitsandbytes") is None:
                raise ValueError(f"adapter.base_bits {self.base_bits} needs pip install janusflow[quantized]")

    def peft(self, **more: Any) -> Any:
        """As peft's ``LoraConfig``."""
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=cast(int, self.alpha),
            lora_dropout=self.dropout,
            target_modules=sorted(self.targets),
            **more,
        )


def is_adapter(name: str) -> bool:
    """Whether a parameter of that name is part of an adapter."""
    return MARK in name


def has_adapter(model: nn.Module) -> bool:
    """Whether the model has an adapter."""
    return any(is_adapter(name) for name, _ in model.named_parameters())


def add_adapter(llm: CausalLM, config: AdapterConfig) -> None:
    """Give the linear layers an adapter that changes nothing yet (B = 0), in fp32; all else is frozen."""
    from peft import inject_adapter_in_model

    llm.requires_grad_(False)
    shrink(llm, config.base_bits)
    inject_adapter_in_model(config.peft(), llm)
    widen(llm)
    for layer in llm.modules():
        reset: Any = getattr(layer, "reset_lora_parameters", None)
        if reset is not None:  # again: they were rounded to the base's type
            reset("default", init_lora_weights=True)


def widen(llm: CausalLM) -> None:
    """Hold the adapter in fp32, which peft gives the type of its base."""
    for name, parameter in llm.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()


class HalfLinear(nn.Linear):
    """A frozen linear layer stored in bf16, which computes in the precision of its surroundings."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(matmul_dtype(x)))


def shrink(llm: CausalLM, bits: int) -> None:
    """Hold the weights of the blocks' linear layers in ``bits`` each."""
    for block in llm.model.layers if bits < 32 else ():
        for parent, layer in ((block.self_attn, TARGETS[:4]), (block.mlp, TARGETS[4:])):
            for name in layer:
                if type(getattr(parent, name)) is nn.Linear:
                    setattr(parent, name, smaller(getattr(parent, name), bits))
    if bits < 16:
        setattr(llm, f"is_loaded_in_{bits}bit", True)  # by which peft knows


def smaller(layer: nn.Linear, bits: int) -> nn.Module:
    """The layer with frozen weights of ``bits`` each; 8 and 4 are rounded when it goes to the GPU."""
    inputs, outputs = layer.in_features, layer.out_features
    with torch.device("meta"):
        if bits == 16:
            new: Any = HalfLinear(inputs, outputs, bias=False)
            kept: Any = nn.Parameter(layer.weight.detach().to(torch.bfloat16), requires_grad=False)
        else:
            import bitsandbytes as bnb

            if bits == 8:
                new = bnb.nn.Linear8bitLt(inputs, outputs, bias=False, has_fp16_weights=False)
                kept = bnb.nn.Int8Params(layer.weight.detach(), requires_grad=False, has_fp16_weights=False)
            else:
                new = bnb.nn.Linear4bit(inputs, outputs, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
                kept = bnb.nn.Params4bit(layer.weight.detach(), requires_grad=False, quant_type="nf4")
    new.weight = kept
    return new


def copy_sharing(model: M, shared: Iterable[nn.Parameter]) -> M:
    """A copy of the model that has the parameters ``shared`` in common with it, and with any the adapted layers."""
    common: list[Any] = [*shared]
    if common:  # layers of 8 bits hold more than their parameters
        common += [module for name, module in model.named_modules() if name.endswith(".base_layer")]
    return copy.deepcopy(model, {id(one): one for one in common})


def frozen_base(model: nn.Module, trained: Collection[str] | None) -> list[nn.Parameter]:
    """What copies of an adapted model share with it: all but the ``trained`` parameters. None: copies are whole."""
    return [] if trained is None else [p for name, p in model.named_parameters() if name not in trained]
