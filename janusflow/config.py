"""YAML files and overrides to typed dataclasses. OmegaConf lives here and nowhere else.

A file may name another as its ``base`` and state differences only; overrides state them on the command line. A mapping
is merged into the one below it, key by key. ``~key`` (in a file ``~key:``) removes a key of what is below, so that its
default holds, or what the same file or a later override then gives it. Unknown keys and wrong types are errors.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

T = TypeVar("T")
MERGE_ERRORS = (OmegaConfBaseException, TypeError)  # the latter where one has a list and the other a mapping
LISTS = ("stages", "data.sources")  # who gives one of these names all of them: the others below do not stay
REMOVE = "~"


def load_config(kind: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read ``path`` with its bases, apply overrides ``key=value`` and ``~key`` in order, build the dataclass ``kind``.

    Raises ``ValueError`` in one line: a missing file, broken YAML, an unknown key, a wrong type, an impossible value.
    """
    tree = _read(Path(path))
    for item in overrides:
        tree = _override(tree, item)
    return _build(kind, tree, str(path))


def overridden_key(item: str) -> str:
    """The key that an override sets or removes."""
    return item.removeprefix(REMOVE).partition("=")[0]


def from_dict(kind: type[T], values: dict[str, Any], source: str) -> T:
    """Typed dataclass of ``kind`` from plain values; ``source`` names them in errors."""
    return _build(kind, OmegaConf.create(values), source)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain containers of a configuration dataclass, for JSON."""
    return OmegaConf.to_container(OmegaConf.structured(config))  # type: ignore[return-value]


def save_config(config: Any, path: str | Path) -> None:
    """Write the whole configuration as YAML."""
    OmegaConf.save(OmegaConf.structured(config), str(path))


def _read(path: Path, seen: tuple[Path, ...] = ()) -> DictConfig:
    if path.resolve() in seen:
        raise ValueError(f"configuration {path} is its own base")
    try:
        tree = OmegaConf.load(path)
    except OSError as error:
        raise ValueError(f"cannot read the configuration {path}: {error.strerror}") from error
    except Exception as error:  # the YAML parser's errors have no common type
        raise ValueError(f"{path} is not valid YAML: {_first_line(error)}") from error
    if not isinstance(tree, DictConfig):
        raise ValueError(f"{path} is not a mapping of configuration keys")
    values = OmegaConf.to_container(tree)
    assert isinstance(values, dict)
    base, removed = values.pop("base", None), _take_removals(values, str(path))
    parent = OmegaConf.create() if base is None else _read(path.parent / base, (*seen, path.resolve()))
    for key in removed:
        _remove(parent, key, str(path))
    return _merge(parent, OmegaConf.create(values), LISTS, f"{path} does not fit its base")


def _take_removals(values: dict[Any, Any], source: str, above: str = "") -> list[str]:
    """Take the ``~key:`` entries out of ``values``, with the mappings that held nothing else; returns the keys."""
    found = []
    for key in [*values]:
        value = values[key]
        if isinstance(key, str) and key.startswith(REMOVE):
            if value is not None:
                raise ValueError(f"{source}: {key} removes a key and has no value; a new one stands beside it")
            found.append(above + key.removeprefix(REMOVE))
            del values[key]
        elif isinstance(value, dict) and (inside := _take_removals(value, source, f"{above}{key}.")):
            found += inside
            if not value:
                del values[key]
    return found


def _override(tree: DictConfig, item: str) -> DictConfig:
    """``tree`` with one change."""
    key, value = overridden_key(item), "=" in item
    if item.startswith(REMOVE):
        if value:
            raise ValueError(f"override {item!r}: write '{REMOVE}{key}' to remove, behind it {item[1:]!r} to replace")
        _remove(tree, key, "the overrides")
        return tree
    if not value:
        raise ValueError(f"override {item!r} is not of the form key=value (or {REMOVE}key, which removes a key)")
    try:
        change = OmegaConf.from_dotlist([item])
    except (*MERGE_ERRORS, YAMLError) as error:
        raise ValueError(f"cannot read the override {item!r}: {_first_line(error)}") from error
    whole = [name for name in LISTS if f"{name}.".startswith(f"{key}.")]
    return _merge(tree, change, whole, f"the override {item!r} does not fit the configuration")


def _remove(tree: DictConfig, key: str, source: str) -> None:
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(tree, above) if above else tree
    if not isinstance(node, DictConfig) or name not in node:
        there = f"; there are {', '.join(map(str, node))}" if isinstance(node, DictConfig) and len(node) else ""
        raise ValueError(f"{source} remove {key}, which is not set{there}")
    del node[name]


def _merge(below: DictConfig, above: DictConfig, lists: Sequence[str], fault: str) -> DictConfig:
    """``above`` over ``below``. Where ``above`` gives one of ``lists``, what it names there is all that stays."""
    try:
        for key in lists:
            own, inherited = OmegaConf.select(above, key), OmegaConf.select(below, key)
            if own is not None and inherited is not None:
                kept = {name: inherited[name] for name in inherited if name in own}
                OmegaConf.update(below, key, kept, merge=False)
        return OmegaConf.merge(below, above)  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        raise ValueError(f"{fault}: {_first_line(error)}") from error


def _build(kind: type[T], tree: Any, source: str) -> T:
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), tree))  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        key = getattr(error, "full_key", None)
        hint = _other_place(error, kind, tree) if isinstance(error, ConfigKeyError) else ""
        raise ValueError(f"{source}: {_first_line(error)}{hint}" + (f" (key {key})" if key else "")) from error


def _other_place(error: ConfigKeyError, kind: type, tree: Any) -> str:
    """Where a key stands that is called like an unknown one, else what its mapping has.

    OmegaConf itself names a key of the same mapping that is spelt nearly so.
    """
    key, name, owner = str(error.full_key), str(error.key), error.object_type
    known = [*_keys(OmegaConf.to_container(OmegaConf.structured(kind))), *_keys(OmegaConf.to_container(tree))]
    places = [place for place in known if place != key and place.rpartition(".")[2] == name]
    nearest = difflib.get_close_matches(key, places, n=1, cutoff=0)
    if nearest:
        return f"; there is {nearest[0]}"
    if "Did you mean" in str(error) or owner is None or not dataclasses.is_dataclass(owner):
        return ""
    return f"; it has {', '.join(field.name for field in dataclasses.fields(owner))}"


def _keys(values: Any, above: str = "") -> Iterator[str]:
    """All keys of nested mappings, with dots."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield f"{above}{key}"
        yield from _keys(value, f"{above}{key}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
