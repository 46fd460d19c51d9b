"""The weights of a judge's models: where they lie, and the hash that names them in a score."""

from __future__ import annotations

from pathlib import Path

from janusflow.hub import download, is_hub_id

CONFIGS = ["*.json", "*.txt", "*.model"]
FORMATS = ("*.safetensors", "*.bin")  # the first of which there is a file


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


def is_copy(given: str, original: str) -> bool:
    """Whether ``given`` is the hub id ``original``, or a folder that is called like it: no other judge, by its name.

    The hash in the protocol says what was in it.
    """
    path = Path(given)
    name = path.parent.parent.name if path.parent.name == "snapshots" else path.name
    names = (original.rpartition("/")[2], f"models--{original.replace('/', '--')}")
    return given == original or name.lower() in [one.lower() for one in names]


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
