"""Options as dataclasses: one table of names, types, defaults and texts for Python, YAML, command line and sweeps.

Nothing here imports torch: a command line shows its help without it.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def option(default: Any, text: str, choices: tuple[str, ...] | None = None, **more: Any) -> Any:
    """A field that is an option: its default, its help text, what may be chosen; ``more`` is for whom it concerns.

    Of more: ``range``, (low, high, step) of numbers that come over a network and of the sliders that choose them;
    ``registry``, the path of the registry whose names a text may be.
    """
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, **more})


def add_flags(parser: Any, options: type, without: Collection[str] = (), optional: bool = False) -> None:
    """Add a flag for every option of the dataclass ``options``, to a parser or a group of one.

    optional: what is not given is absent in the namespace.
    """
    kinds = get_type_hints(options)
    for field in dataclasses.fields(options):
        if field.name in without or "help" not in field.metadata:
            continue
        kind, hint = _kind(kinds[field.name]), kinds[field.name]
        settings: dict[str, Any] = {"default": field.default, "help": field.metadata["help"]}
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            literals = get_args(hint) if get_origin(hint) is Literal else None
            settings |= {"type": kind, "choices": field.metadata["choices"] or literals}
        if get_origin(hint) is tuple:
            several = "+" if get_args(hint)[-1] is Ellipsis else len(get_args(hint))
            settings |= {"nargs": several, "metavar": field.metadata.get("metavar")}
        if optional:
            settings |= {"default": argparse.SUPPRESS, "help": with_default(settings["help"], field.default)}
        parser.add_argument(flag_name(field.name), **settings)


def with_default(text: str, default: Any) -> str:
    """A help text that names the default."""
    if default is None or "(default" in text:
        return text
    values = default if isinstance(default, tuple) else (default,)
    return f"{text} (default: {' '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)})"


def flag_name(name: str) -> str:
    """A field's name as a flag."""
    return "--" + name.replace("_", "-")


def from_flags(args: argparse.Namespace, options: type[T], **others: Any) -> T:
    """The dataclass with the values that the command line gave, and ``others`` of fields that are no flags."""
    names = [field.name for field in dataclasses.fields(options) if "help" in field.metadata]  # type: ignore[arg-type]
    given = {name: getattr(args, name) for name in names}
    return options(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}, **others)


def _kind(hint: Any) -> type:
    """``int`` of ``int``, of ``int | None`` and of tuples of them; ``str`` of literals."""
    if get_origin(hint) is Literal:
        return str
    kinds = {kind for kind in (get_args(hint) or (hint,)) if kind not in (type(None), Ellipsis)}
    assert len(kinds) == 1 and kinds <= {bool, int, float, str, Path}, f"no flag can be of type {hint}"
    return kinds.pop()


SHARED = ("guidance", "worse", "image_guidance")  # options that all of our heads have
WORSE = "autoguidance: a worse model, such as an earlier one of the same run, takes the place of dropped prompts"
IMAGE_GUIDANCE = "guidance weight of the picture that a prompt shows; guidance is then that of its words"


def image_guidance() -> Any:
    """The option of that name, of every head."""
    return option(None, f"{IMAGE_GUIDANCE} (default: that of both)", quiet=True, range=(0, 20, 0.1))


@dataclass(frozen=True)
class SamplingOptions:
    """How a head draws. Fields are made by :func:`option`; a head's class names its own as ``Options``."""

    models: ClassVar[str] = "models with another head"  # whose options they are, on help pages
    if TYPE_CHECKING:
        guidance: float  # every head has it; 1: no dropped prompts are run
        worse: str | None  # of heads that know autoguidance
        image_guidance: float | None  # of heads that know it; None: what is shown is dropped with the words

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What can be set."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def check(self) -> None:
        """Raise ``ValueError`` with the value where an option is impossible."""

    def describe(self) -> str:
        """The options in a few words."""
        return ", ".join(f"{name} {value}" for name, value in self.stated().items())

    @property
    def short(self) -> str:
        """The setting in a few characters, for file names and plots."""
        return f"w{self.guidance:g}"

    def stated(self) -> dict[str, Any]:
        """Names and values for files; younger options, marked ``quiet``, stand there only where they differ."""
        fields = [
            f for f in dataclasses.fields(self) if not f.metadata.get("quiet") or getattr(self, f.name) != f.default
        ]
        return {field.name: getattr(self, field.name) for field in fields}


@dataclass(frozen=True)
class FlowSampling(SamplingOptions):
    """How the ODE is solved. The defaults are the released sampler's (30 Euler steps, w = 2)."""

    models: ClassVar[str] = "models that draw by rectified flow (JanusFlow)"
    steps: int = option(30, "solver steps", range=(1, 100, 1))
    guidance: float = option(2.0, "classifier-free guidance weight; 1 is none", range=(0, 20, 0.1))
    sampler: str = option(
        "euler",
        "solver: euler, heun, midpoint or ab2 (multistep), or a path module:function",
        registry="janusflow.samplers:SAMPLERS",
    )
    shift: float = option(1.0, "time shift; over 1 spends more steps near the noise", range=(0.1, 10, 0.1))
    worse: str | None = option(None, WORSE, quiet=True)
    guidance_interval: tuple[float, float] = option(
        (0.0, 1.0), "times in which guidance acts; 0 is noise", metavar=("FROM", "TO"), range=(0, 1, 0.01)
    )
    guidance_form: str = option(
        "plain",
        "how both halves are combined: plain, zero_star, apg or rescaled, with settings as in 'apg(parallel=0.5)', or "
        "a path module:function",
        quiet=True,
        registry="janusflow.guidance:GUIDANCE",
    )
    shift_scale: str = option(
        "fixed",
        "the time shift of other sizes: fixed, or by tokens, times sqrt(N / N_square) for pictures of N tokens",
        ("fixed", "tokens"),
        quiet=True,
    )
    image_guidance: float | None = image_guidance()

    def check(self) -> None:
        from janusflow.guidance import check_guidance  # here: both import torch
        from janusflow.samplers import check_solver

        check_solver(self.steps, self.sampler, self.shift)
        if self.shift_scale not in ("fixed", "tokens"):
            raise ValueError(f"shift_scale is fixed or tokens, got {self.shift_scale!r}")
        check_guidance(self.guidance, self.guidance_interval, self.guidance_form)
        check_image_guidance(self)

    def describe(self) -> str:
        by_tokens = " by tokens" if self.shift_scale == "tokens" else ""
        shift = "" if self.shift == 1 and not by_tokens else f", time shift {self.shift:g}{by_tokens}"
        low, high = self.guidance_interval
        interval = "" if (low, high) == (0, 1) else f" in {low:g} <= t <= {high:g}"
        form = "" if self.guidance_form == "plain" else f" ({self.guidance_form})"
        form += f" over {self.worse}" if self.worse else ""
        form += f", w_I = {self.image_guidance:g}" if self.image_guidance is not None else ""
        return f"{self.steps} {self.sampler} steps, w = {self.guidance:g}{form}{interval}{shift}"

    @property
    def short(self) -> str:
        shown = f"i{self.image_guidance:g}" if self.image_guidance is not None else ""
        return f"{self.steps}w{self.guidance:g}{shown}"


@dataclass(frozen=True)
class CodeSampling(SamplingOptions):
    """How codes are drawn. The defaults are the released sampler's (w = 5, temperature 1, the whole codebook)."""

    models: ClassVar[str] = "models that draw code by code (Janus, Janus-Pro)"
    guidance: float = option(5.0, "classifier-free guidance weight; 1 is none", range=(0, 20, 0.1))
    worse: str | None = option(None, WORSE, quiet=True)
    temperature: float = option(1.0, "of the draws; 0 is greedy", range=(0, 2, 0.05))
    top_k: int | None = option(None, "draw from that many likeliest codes (default: all)", range=(1, 16_384, 1))
    top_p: float = option(1.0, "draw from the fewest codes of this probability", range=(0.01, 1, 0.01))
    image_guidance: float | None = image_guidance()

    def check(self) -> None:
        from janusflow.decoding import check_decoding
        from janusflow.guidance import check_guidance

        check_guidance(self.guidance)
        check_image_guidance(self)
        check_decoding(self.temperature, self.top_k, self.top_p)

    def describe(self) -> str:
        cut = ("" if self.top_k is None else f", top-k {self.top_k}") + (
            "" if self.top_p == 1 else f", top-p {self.top_p:g}"
        )
        drawn = f"temperature {self.temperature:g}" if self.temperature else "greedy"
        over = f" over {self.worse}" if self.worse else ""
        over += f", w_I = {self.image_guidance:g}" if self.image_guidance is not None else ""
        return f"autoregressive, w = {self.guidance:g}{over}, {drawn}{cut}"

    @property
    def short(self) -> str:
        shown = f"i{self.image_guidance:g}" if self.image_guidance is not None else ""
        return f"T{self.temperature:g}w{self.guidance:g}{shown}"


def check_image_guidance(options: SamplingOptions) -> None:
    """Raise ``ValueError`` for an impossible weight of what prompts show, or one that does not go with the rest."""
    weight = options.image_guidance
    if weight is None:
        return
    if not 0 <= weight < math.inf:
        raise ValueError(f"image_guidance must be a number of 0 or more, got {weight}")
    if options.worse is not None and weight != 1:
        raise ValueError(f"image_guidance {weight:g} drops prompts, in whose place worse puts a model: set it to 1")


def with_options(kind: type[SamplingOptions], what: str, *layers: Mapping[str, Any] | None) -> SamplingOptions:
    """Options of ``kind``, the later layers over the earlier ones; ``what`` has such a head, in errors.

    Raises ``ValueError`` for an option that the head does not have, or an impossible value.
    """
    given = {name: value for layer in layers if layer for name, value in layer.items()}
    foreign = [name for name in given if name not in kind.names()]
    if foreign:
        raise ValueError(f"{foreign[0]} does not go with {what}, whose options are {', '.join(kind.names())}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    options = kind(**values)
    options.check()
    return options


def names_of(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """What the text of an option may be, or begin with in front of its settings in brackets; () where it is free."""
    if field.metadata.get("registry"):
        module, _, attribute = field.metadata["registry"].partition(":")
        return tuple(getattr(import_module(module), attribute))
    return field.metadata.get("choices") or ()


def check_open(kind: type[SamplingOptions], given: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a value that only who owns the machine may choose: one outside the option's range, or a
    text that could name a file, a model or code of the machine."""
    for field in dataclasses.fields(kind):
        value = given.get(field.name)
        if isinstance(value, str) and value.partition("(")[0].strip() not in names_of(field):
            raise ValueError(f"{field.name} must be one of {', '.join(names_of(field)) or 'none'}, got {value!r}")
        low, high, _ = field.metadata.get("range", (None, None, None))
        for number in value if isinstance(value, (tuple, list)) else [value]:
            if low is not None and number is not None and not low <= number <= high:
                raise ValueError(f"{field.name} must lie in {low} .. {high}, got {number}")


def from_texts(kind: type[SamplingOptions], texts: Mapping[str, str]) -> dict[str, Any]:
    """The options of ``kind`` among ``texts``, which are what ``str`` makes of each (as in PNG files).

    Raises ``ValueError`` for a text that is no value of its option.
    """
    hints = get_type_hints(kind)
    return {name: _from_text(name, texts[name], hints[name]) for name in kind.names() if name in texts}


def _from_text(name: str, text: str, hint: Any) -> Any:
    if text == "None" and type(None) in get_args(hint):
        return None
    if _kind(hint) is str:
        return text
    try:
        value = ast.literal_eval(text[:200])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    several = get_origin(hint) is tuple
    numbers = value if several and isinstance(value, tuple) else (value,)
    if len(numbers) != (len(get_args(hint)) if several else 1) or not all(isinstance(n, (int, float)) for n in numbers):
        raise ValueError(f"{name} is no value of this option: {text[:40]!r}")
    return value


SAMPLING: dict[str, type[SamplingOptions]] = {"flow": FlowSampling, "codes": CodeSampling}  # of the heads that are ours


def sweepable() -> dict[str, tuple[type, str]]:
    """The options of our heads that are one number or word, with types and texts; guidance, which both have, first."""
    found: dict[str, tuple[type, str]] = {}
    for head, kind in SAMPLING.items():
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if get_origin(hints[field.name]) is not tuple:
                text = field.metadata["help"]
                found[field.name] = _kind(hints[field.name]), text if field.name in SHARED else f"{head}: {text}"
    return {"guidance": found.pop("guidance"), **found}


def check_given(given: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` with the value where one is impossible for a head that takes it."""
    for options in SAMPLING.values():
        own = {name: value for name, value in given.items() if name in options.names()}
        with_options(options, "", own)
