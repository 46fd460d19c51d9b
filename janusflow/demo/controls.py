"""Sampling options as controls of a page, made from the table that the command line's flags are made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

import gradio as gr

from janusflow.options import SamplingOptions, names_of


class Controls:
    """A control for every option of a head that may be set over a network, with its range; ``usual``: their values.

    Options of several values have as many controls. A free text, which could name a file, has none, nor has the
    guidance of pictures that prompts show, where the model gives it no value.
    """

    def __init__(self, usual: SamplingOptions, prefix: str = "") -> None:
        self.prefix = prefix  # of the controls' ids
        self.hints = get_type_hints(type(usual))
        self.sizes: dict[str, int] = {}  # option -> its controls; 0: one that is no tuple
        self.parts: list[Any] = []
        for field in dataclasses.fields(usual):
            value = getattr(usual, field.name)
            if field.name == "image_guidance" and value is None:
                continue  # of models that edit; an empty number comes back from the browser as 0
            several = isinstance(value, tuple)
            made = [self.control(field, part, one) for part, one in enumerate(value if several else [value])]
            if None not in made:
                self.sizes[field.name] = len(made) if several else 0
                self.parts += made

    def control(self, field: dataclasses.Field[Any], part: int, value: Any) -> Any:
        """The control of one value of an option, or None."""
        kinds = {*get_args(self.hints[field.name]), self.hints[field.name]}
        names, words = names_of(field), field.metadata.get("metavar")
        label, text = f"{field.name} {words[part].lower() if words else ''}", field.metadata.get("help", "")
        about: dict[str, Any] = {
            "label": label.replace("_", " ").strip(),
            "info": text.partition(":")[0] if names else text,  # the names are in the list, paths are not open
            "elem_id": f"{self.prefix}{field.name}-{part}",
        }
        if bool in kinds:
            return gr.Checkbox(value, **about)
        if str in kinds:
            return gr.Dropdown(list(names), value=value, allow_custom_value=True, **about) if names else None
        if "range" not in field.metadata:
            return gr.Number(value, **about)
        low, high, step = field.metadata["range"]
        if value is None:
            return gr.Number(None, minimum=low, maximum=high, precision=0 if int in kinds else None, **about)
        return gr.Slider(min(low, value), max(high, value), value, step=step, **about)

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """The options that the controls' ``values`` are; what is empty is not given."""
        left, given = list(values), {}
        for name, size in self.sizes.items():
            taken, left = left[: size or 1], left[size or 1 :]
            value: Any = tuple(taken) if size else taken[0]
            if value is not None and value != "":
                given[name] = int(value) if self.hints[name] is int else value
        return given

    def show(self, options: Mapping[str, Any]) -> list[Any]:
        """What sets the controls to ``options``; others stay."""
        found: list[Any] = []
        for name, size in self.sizes.items():
            if name not in options:
                found += [gr.skip()] * (size or 1)
            else:
                found += options[name] if size else [options[name]]
        return found
