"""Safetensors files in and out: one or several, streamed a tensor at a time, checked by name and shape."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from janusflow.hub import download, is_hub_id

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HUB_SETTINGS = ("*.json", "*.jinja")  # what a model needs without its weights …
HUB_FILES = (*HUB_SETTINGS, "*.safetensors", "vae/*", "vq/*")  # … and with them; never pickles
SHOWN_FAULTS = 4
ASSETS = Path(__file__).parent / "assets"
SHIPPED = {"shapes-flow": ASSETS / "janusflow-shapes", "shapes-ar": ASSETS / "janus-shapes"}  # models by name

View = Callable[[Tensor], Tensor]  # a whole tensor to a part of it that shares its memory


def whole(value: Tensor) -> Tensor:
    """The view that is everything."""
    return value


class KeyMap:
    """Our parameter names to those of a file and back: an explicit, reversible exchange of prefixes.

    ``#`` in a prefix stands for a number, which is kept. The first prefix that fits counts.
    """

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        self.prefixes = dict(prefixes)

    def stored(self, ours: str) -> str:
        """The file's name of our parameter. Raises ``KeyError`` with the name where no rule covers it."""
        return self._exchange(ours, self.prefixes.items())

    def ours(self, stored: str) -> str:
        """Our name of the file's parameter. Raises ``KeyError`` with the name where no rule covers it."""
        return self._exchange(stored, ((file, own) for own, file in self.prefixes.items()))

    def _exchange(self, name: str, rules: Iterable[tuple[str, str]]) -> str:
        for old, new in rules:
            found = re.match(re.escape(old).replace(r"\#", r"(\d+)"), name)
            if found is not None:
                for number in found.groups():
                    new = new.replace("#", number, 1)
                return new + name[found.end() :]
        raise KeyError(f"no rule renames the parameter {name!r}")

    def parts(self, ours: str) -> dict[str, View]:
        """What a file holds of our parameter: the names there, and the view of it that each is."""
        return {self.stored(ours): whole}

    def substitute(self, ours: str) -> str | None:
        """Our parameter whose values one without parts takes; None: it becomes zeros."""
        return None


SAME = KeyMap({"": ""})


def model_folder(
    path: str | Path, revision: str | None = None, files: Sequence[str] = HUB_FILES, what: str = "model"
) -> Path:
    """The local folder that holds ``config.json``: ``path``, its ``model``, or a download of ``files`` from the hub.

    path: a folder, a hub id, or the name of a shipped model. Raises ``ValueError`` where there is no such ``what``.
    """
    shipped = SHIPPED.get(str(path))
    if shipped is not None and not shipped.exists():
        raise ValueError(f"the model {path} is not in this installation: the repository has it")
    for folder in (shipped or Path(path), Path(path) / "model"):
        if (folder / "config.json").exists():
            return folder
    if Path(path).exists() or not is_hub_id(str(path)):
        raise ValueError(f"no {what} at {path}: there is no config.json in it")
    return download(str(path), files, revision)


def read_json_object(path: Path, required: bool = True) -> dict[str, Any]:
    """A JSON object. Raises ``ValueError`` with the path where it is damaged, or missing and ``required``."""
    if not required and not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return values


def safetensors_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: those of its index, or ``model.safetensors``, or all there are.

    Raises ``ValueError`` where there are none, where the index is damaged or names files that are missing or lie
    elsewhere, and where there are only pickles, which can run code and are never opened.
    """
    if (folder / INDEX).exists():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{folder / INDEX} is not an index of weights: {error!r}") from error
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise ValueError(f"{folder / INDEX} names {name!r}, which is not a file of its folder")
            if not (folder / name).exists():
                raise ValueError(f"{folder / INDEX} names {name}, which is missing")
        return [folder / name for name in names]
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        refused = f"{pickles[0]} is a pickle, which is refused" if pickles else "if the model is released as pickles"
        raise ValueError(f"no weights at {folder}: there is no {WEIGHTS}; {refused}: rewrite it by `janusflow convert`")
    return files


def read_shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """Names and shapes in ``files``, from their headers alone. Raises ``ValueError`` for a damaged file."""
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a mapping)
                    if name in found:
                        raise ValueError(f"{path} holds {name} a second time")
                    found[name] = tuple(file.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise ValueError(f"cannot read the weights {path}: {error}") from error
    return found


def read_tensors(files: list[Path], wanted: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """The ``wanted`` tensors of ``files``, each from an own mapping, released with it: memory does not add up."""
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if name in wanted]  # noqa: SIM118  (not a mapping)
            for name in names:
                with safe_open(path, framework="pt") as file:
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"cannot read the weights {path}: {error}") from error


@contextmanager
def building(source: Path, what: str = "model") -> Iterator[None]:
    """Build ``what`` on the meta device; sizes that none can have become ``ValueError`` that names ``source``."""
    try:
        with torch.device("meta"):
            yield
    except Exception as error:  # constructors raise whatever an odd size makes them stumble over
        raise ValueError(f"{source} describes no {what}: {' '.join(str(error).split())}") from error


def load_weights(
    module: nn.Module,
    files: list[Path],
    keys: KeyMap = SAME,
    ignore: tuple[str, ...] = (),
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    only: str = "",
) -> None:
    """Fill ``module``, which may be on the meta device, with the tensors of ``files``.

    ``keys`` says what a file holds of each parameter. Stored names that begin with one of ``ignore``, or not with
    ``only``, are left out. Weights become ``dtype`` (None: as they are stored) on ``device``; only one tensor at a time
    is held twice.
    Raises ``ValueError`` that lists unknown, missing and misshapen parameters, before any is read.
    """
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    parts = {stored: (name, view) for name in shapes for stored, view in keys.parts(name).items()}
    expected = {
        stored: tuple(view(torch.empty(shapes[name], device="meta")).shape) for stored, (name, view) in parts.items()
    }
    found = {
        name: shape
        for name, shape in read_shapes(files).items()
        if name.startswith(only) and not name.startswith(ignore)
    }
    compare(expected, found, str(files[0] if len(files) == 1 else files[0].parent))
    filled: dict[str, Tensor] = {}

    def assign(name: str, value: Tensor) -> None:
        filled[name] = value
        module.load_state_dict({name: value}, strict=False, assign=True)

    for stored, value in read_tensors(files, parts):
        name, view = parts[stored]
        if name not in filled:
            assign(name, torch.empty(shapes[name], dtype=dtype or value.dtype, device=device))
        view(filled[name]).copy_(value)
    for name in shapes.keys() - filled.keys():
        source = keys.substitute(name)
        some = next(iter(filled.values()))
        assign(name, some.new_zeros(shapes[name]) if source is None else filled[source].clone())


def compare(expected: Mapping[str, tuple], stored: Mapping[str, tuple], source: str) -> None:
    """Raise ``ValueError`` where the names and shapes ``stored`` in ``source`` are not the ``expected`` ones."""
    faults = [f"unknown {name}" for name in stored if name not in expected]
    faults += [f"missing {name}" for name in expected if name not in stored]
    faults += [
        f"{name} has shape {shape} instead of {expected[name]}"
        for name, shape in stored.items()
        if shape != expected.get(name, shape)
    ]
    if faults:
        more = f" and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise ValueError(f"{source} does not fit the model: {'; '.join(faults[:SHOWN_FAULTS])}{more}")


def save_weights(weights: dict[str, Tensor], folder: Path, shard_size: str = "5GB") -> None:
    """Write ``weights`` as ``model.safetensors``, or as shards with an index where they exceed ``shard_size``.

    Tensors that share memory are written one by one. Raises ``ValueError`` for an impossible size.
    """
    size = re.fullmatch(r"(\d+(\.\d+)?)[KMGT]B", shard_size.upper())
    if size is None or float(size[1]) == 0:
        raise ValueError(f"a shard's size must be like 5GB or 500MB, got {shard_size!r}")
    weights = separate(weights)
    plan = split_torch_state_dict_into_shards(
        weights, filename_pattern="model{suffix}.safetensors", max_shard_size=shard_size
    )
    for name, keys in plan.filename_to_tensors.items():
        save_file({key: weights[key].contiguous() for key in keys}, folder / name, metadata={"format": "pt"})
        follow_umask([folder / name])
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def follow_umask(files: Iterable[Path]) -> None:
    """Give ``files`` the permissions of any new file: safetensors writes for the owner alone."""
    mask = os.umask(0o077)  # there is no way to read it without setting it
    os.umask(mask)
    for path in files:
        path.chmod(0o666 & ~mask)


def separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights``, a copy of each that shares memory with one before it."""
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        place = value.untyped_storage().data_ptr()
        found[name] = value.clone() if place in seen else value
        seen.add(place)
    return found


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the errors of writing ``what``, such as a full disk, into ``ValueError`` that names it."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors reports those of the system as its own
        raise ValueError(f"cannot write {what}: {getattr(error, 'strerror', None) or error}") from error


def digest(files: list[Path]) -> str:
    """The first 12 hex digits of the SHA-256 of the files' bytes, in order: a model's name in scores."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                total.update(block)
    return total.hexdigest()[:12]
