"""YAML files and overrides to typed dataclasses. OmegaConf lives here and nowhere else.

A file may name another as its ``base`` and state differences only; overrides state them on the command line. A mapping
is merged into the one below it, key by key. ``~key`` (in a file ``~key:``) removes a key of what is below, so that its
default holds, or what the same file or a later override then gives it. Unknown keys and wrong types are errors.

A section whose type is a :class:`Choice` has the keys of what its ``kind`` names. Where a file or an override names
another kind than what is below, what is below goes.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from janusflow.registry import Registry

T = TypeVar("T")
MERGE_ERRORS = (OmegaConfBaseException, TypeError)  # the latter where one has a list and the other a mapping
LISTS = ("stages", "data.sources")  # who gives one of these names all of them: the others below do not stay
REMOVE = "~"
KIND = "kind"


@dataclass
class Choice:
    """Base of a section that configures one of several parts: the part's class has such a section as its ``Config``."""

    registry: ClassVar[Registry[Any]]
    kind: str = ""  # a name that the registry knows, or module:Class


def load_config(kind: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read ``path`` with its bases, apply overrides ``key=value`` and ``~key`` in order, build the dataclass ``kind``.

    Raises ``ValueError`` in one line: a missing file, broken YAML, an unknown key, a wrong type, an impossible value.
    """
    tree = _read(kind, Path(path))
    for item in overrides:
        tree = _override(kind, tree, item)
    return _build(kind, tree, str(path))


def overridden_key(item: str) -> str:
    """The key that an override sets or removes."""
    return item.removeprefix(REMOVE).partition("=")[0]


def from_dict(kind: type[T], values: dict[str, Any], source: str) -> T:
    """Typed dataclass of ``kind`` from plain values; ``source`` names them in errors."""
    return _build(kind, OmegaConf.create(respell(kind, values)), source)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain containers of a configuration dataclass, for JSON."""
    return OmegaConf.to_container(OmegaConf.structured(config))  # type: ignore[return-value]


def save_config(config: Any, path: str | Path) -> None:
    """Write the whole configuration as YAML."""
    OmegaConf.save(OmegaConf.structured(config), str(path))


def respell(kind: Any, values: Any, below: Any = None) -> dict[str, Any]:
    """``values`` for the dataclass ``kind``, over ``below``, in today's spelling; earlier files had others.

    A dataclass that has changed says how in a static method ``respell(values, below)``.
    """
    below = below if isinstance(below, dict) else {}
    values = kind.respell(values, below) if hasattr(kind, "respell") else values
    sections = {name: hint for name, hint in get_type_hints(kind).items() if dataclasses.is_dataclass(hint)}
    inner = {name: value for name, value in values.items() if name in sections and isinstance(value, dict)}
    return {**values, **{name: respell(sections[name], value, below.get(name)) for name, value in inner.items()}}


def _read(kind: type, path: Path, seen: tuple[Path, ...] = ()) -> DictConfig:
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
    parent = OmegaConf.create() if base is None else _read(kind, path.parent / base, (*seen, path.resolve()))
    for key in removed:
        _remove(parent, key, str(path))
    values = respell(kind, values, OmegaConf.to_container(parent))
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


def _override(kind: type, tree: DictConfig, item: str) -> DictConfig:
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
        values = OmegaConf.to_container(OmegaConf.from_dotlist([item]))
        change = OmegaConf.create(respell(kind, values, OmegaConf.to_container(tree)))
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
        below = OmegaConf.create(_without_other_kinds(OmegaConf.to_container(below), OmegaConf.to_container(above)))
        for key in lists:
            own, inherited = OmegaConf.select(above, key), OmegaConf.select(below, key)
            if own is not None and inherited is not None:
                kept = {name: inherited[name] for name in inherited if name in own}
                OmegaConf.update(below, key, kept, merge=False)
        return OmegaConf.merge(below, above)  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        raise ValueError(f"{fault}: {_first_line(error)}") from error


def _without_other_kinds(below: Any, above: Any) -> dict[Any, Any]:
    """``below`` without the mappings that ``above`` gives another kind."""
    kept = {}
    for key, value in below.items():
        over = above.get(key)
        if isinstance(value, dict) and isinstance(over, dict):
            if KIND in over and over[KIND] != value.get(KIND):
                continue
            value = _without_other_kinds(value, over)
        kept[key] = value
    return kept


def _build(kind: type[T], tree: Any, source: str) -> T:
    try:
        schema = OmegaConf.structured(kind)
        _choose(schema, kind, tree)
        return OmegaConf.to_object(OmegaConf.merge(schema, tree))  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        key = getattr(error, "full_key", None)
        hint = _other_place(error, schema, tree) if isinstance(error, ConfigKeyError) else ""
        raise ValueError(f"{source}: {_first_line(error)}{hint}" + (f" (key {key})" if key else "")) from error


def _choose(schema: DictConfig, kind: type, tree: Any) -> None:
    """Give every section of ``schema`` whose type is a :class:`Choice` the keys of what ``tree`` chooses there."""
    for name, hint in get_type_hints(kind).items():
        node = tree.get(name) if isinstance(tree, DictConfig) else None
        if not isinstance(node, DictConfig):
            continue
        entry = next((part for part in (hint, *get_args(hint)) if dataclasses.is_dataclass(part)), None)
        if not isinstance(entry, type):
            continue
        if get_origin(hint) is not dict:
            _choose_section(schema, name, entry, node)
            continue
        for key, value in node.items():
            if isinstance(value, DictConfig):
                _choose_section(schema[name], str(key), entry, value)


def _choose_section(parent: DictConfig, name: str, entry: type, node: DictConfig) -> None:
    """Likewise, for one section and what is in it."""
    if issubclass(entry, Choice):
        _set_kind(parent, name, entry, node)
        return
    if name not in parent or parent[name] is None:
        parent[name] = OmegaConf.structured(entry)
    _choose(parent[name], entry, node)


def _set_kind(parent: DictConfig, name: str, choice: type[Choice], node: DictConfig) -> None:
    """Make ``parent``'s entry a section of the kind that ``node`` names: by default what it is, else its own name."""
    default = parent[name].kind if name in parent else name
    kind = node.get(KIND, default)
    if name not in parent or kind != default:
        parent[name] = OmegaConf.structured(choice.registry.load(kind).Config)  # the class: what it requires may lack
        parent[name].kind = kind


def _other_place(error: ConfigKeyError, schema: DictConfig, tree: Any) -> str:
    """Where a key stands that is called like an unknown one, else what its mapping has.

    OmegaConf itself names a key of the same mapping that is spelt nearly so.
    """
    key, name, owner = str(error.full_key), str(error.key), error.object_type
    known = [*_keys(OmegaConf.to_container(schema)), *_keys(OmegaConf.to_container(tree))]
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
