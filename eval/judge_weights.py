"""The weights of a judge's models: where they lie, and the hash that names them in a score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from janusflow.hub import download, is_hub_id

CONFIGS = ["*.json", "*.txt", "*.model"]
FORMATS = ("*.safetensors", "*.bin")  # the first of which there is a file
PUBLISHED = {"openai/clip-vit-large-patch14": ("a2bf730a0c7d", "f1a17cdbe0f3")}  # hashes of its weights in each format


def find_model(given: str) -> Path:
    """The folder of a transformers model: ``given`` itself, or the download of the hub id that it is.

    Raises ``ValueError`` for what is neither, and for a folder without configuration or weights.
    """
    path = Path(given)
    if not path.is_dir():
        if path.exists() or not is_hub_id(given):
            raise ValueError(f"there is no model folder {given}")
        for weights in FORMATS:
            path = download(given, [*CONFIGS, weights])
            if list(path.glob(weights)):
                break
    if not (path / "config.json").is_file():
        raise ValueError(f"{given} is no model: it holds no config.json")
    weight_files(path)
    return path


def other_judge(judge: Mapping[str, str], original: str) -> list[str]:
    """What a judge, as :func:`describe_model` gives it, is called where it is not the hub id ``original``; else [].

    It is that by the hash of its weights where the published one is known, else by its name: the id itself, or a folder
    that is called like it.
    """
    path = Path(judge["name"])
    name = path.parent.parent.name if path.parent.name == "snapshots" else path.name
    names = (original.rpartition("/")[2], f"models--{original.replace('/', '--')}")
    called = judge["name"] == original or (path.is_dir() and name.lower() in [one.lower() for one in names])
    if judge["sha256"] in PUBLISHED[original] if original in PUBLISHED else called:
        return []
    return [f"{name} with weights {judge['sha256']}" if called else name]


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, by name. Raises ``ValueError`` where there are none."""
    for pattern in FORMATS:
        files = sorted(folder.glob(pattern))
        if files:
            return files
    raise ValueError(f"{folder} holds no weights: neither {' nor '.join(FORMATS)}")


def describe_model(given: str) -> dict[str, str]:
    """The name and the hash of a model's weights, for a protocol. Raises as :func:`find_model`."""
    from janusflow.weights import digest

    return {"name": given, "sha256": digest(weight_files(find_model(given)))}
