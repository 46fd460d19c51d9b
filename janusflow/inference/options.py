"""Sampling options of either head from one set of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from janusflow.models.ar_head import CodeSampling
from janusflow.models.flow_head import FlowSampling
from janusflow.models.head import GenerationHead

Sampling = FlowSampling | CodeSampling
FAMILIES = {FlowSampling: "a flow head", CodeSampling: "an autoregressive head"}


@dataclass
class SamplingConfig:
    """How pictures are drawn. A head takes the settings that are its own."""

    guidance: float = 4.0  # classifier-free guidance weight
    steps: int = 30  # flow: of the solver
    sampler: str = "euler"  # flow: euler, heun or midpoint
    temperature: float = 1.0  # autoregressive: 0 is greedy
    top_k: int | None = None  # autoregressive: draw from that many codes only
    top_p: float = 1.0  # autoregressive: draw from the fewest codes that hold this probability

    def __post_init__(self) -> None:
        check_given(self.__dict__)

    def options(self, head: GenerationHead) -> Sampling:
        """This head's part of the settings."""
        return head.options(**own(self.__dict__, head.options))


def own(values: Mapping[str, Any], options: type[Sampling]) -> dict[str, Any]:
    """Those of ``values`` that ``options`` has fields for."""
    return {name: value for name, value in values.items() if name in options._fields}


def check_given(given: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` with the value where one is impossible for a head that takes it."""
    for options in FAMILIES:
        options(**own(given, options)).check()


def given_options(head: GenerationHead, given: Mapping[str, Any], guidance: float | None = None) -> Sampling:
    """The head's default options with those that are given; ``guidance`` is the model's own default weight.

    Raises ``ValueError`` for an option of the other head, or an impossible value.
    """
    foreign = [name for name in given if name not in head.options._fields]
    if foreign:
        fields = ", ".join(head.options._fields)
        raise ValueError(f"{foreign[0]} does not go with {FAMILIES[head.options]}, whose options are {fields}")
    own_default = {} if guidance is None else {"guidance": guidance}
    return head.options(**{**own_default, **given}).check()
