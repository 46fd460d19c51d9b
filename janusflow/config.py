"""YAML files and ``key=value`` overrides to typed dataclasses. OmegaConf lives here and nowhere else.

A file may name another as its ``base`` and state differences only. Unknown keys and wrong types are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

T = TypeVar("T")
MERGE_ERRORS = (OmegaConfBaseException, TypeError)  # the latter where one has a list and the other a mapping
LISTS = ("stages", "data.sources")  # a file that names one of these names all of them; its base's others do not stay


def load_config(kind: type[T], path: str | Path, overrides: list[str] | None = None) -> T:
    """Read ``path`` with its bases, apply ``key=value`` overrides, check and build the dataclass ``kind``.

    Raises ``ValueError`` in one line: a missing file, broken YAML, an unknown key, a wrong type, an impossible value.
    """
    for item in overrides or []:
        if "=" not in item:
            raise ValueError(f"override {item!r} is not of the form key=value")
    tree = _read(Path(path))
    try:
        tree = OmegaConf.merge(tree, OmegaConf.from_dotlist(overrides or []))  # type: ignore[assignment]
    except MERGE_ERRORS as error:
        raise ValueError(f"cannot read the overrides {overrides}: {_first_line(error)}") from error
    return _build(kind, tree, str(path))


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
    base = tree.pop("base", None)
    if base is None:
        return tree
    parent = _read(path.parent / base, (*seen, path.resolve()))
    for key in LISTS:
        own, inherited = OmegaConf.select(tree, key), OmegaConf.select(parent, key)
        if own and inherited:
            OmegaConf.update(parent, key, {name: inherited[name] for name in inherited if name in own}, merge=False)
    try:
        return OmegaConf.merge(parent, tree)  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        raise ValueError(f"{path} does not fit its base: {_first_line(error)}") from error


def _build(kind: type[T], tree: Any, source: str) -> T:
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), tree))  # type: ignore[return-value]
    except MERGE_ERRORS as error:
        key = getattr(error, "full_key", None)
        raise ValueError(f"{source}: {_first_line(error)}" + (f" (key {key})" if key else "")) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
