"""Latents, or codes, that are computed once and stored beside the images: the image codec leaves the training step.

A cache is one safetensors file or several. A tensor bears its image's name and holds what
:meth:`janusflow.models.codec.ImageCodec.encode` gives for the image's central square; each file's metadata say
which codec and which size in pixels made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from janusflow.data.transforms import generation_pixels
from janusflow.models.codec import ImageCodec
from janusflow.weights import follow_umask, writing

UNREADABLE = "unreadable"  # metadata: names of images that have no latent


class LatentCache:
    """Stored latents by image name. Raises ``ValueError`` with the path of a file that is missing or damaged."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.place: dict[str, Path] = {}
        self.made_by: dict[Path, dict[str, str]] = {}
        for path in self.paths:
            try:
                with safe_open(path, framework="pt") as file:
                    names, self.made_by[path] = list(file.keys()), file.metadata() or {}
            except (OSError, SafetensorError) as error:
                raise ValueError(f"cannot read the latents {path}: {error}") from error
            twice = next((name for name in names if name in self.place), None)
            if twice is not None:
                raise ValueError(f"{path} and {self.place[twice]} both hold {twice}: shards need names of their own")
            self.place |= dict.fromkeys(names, path)

    def check(self, codec: ImageCodec, size: int) -> None:
        """Raise ``ValueError`` where a file was made with another codec or at another size (pixels) than the run's."""
        for path, made_by in self.made_by.items():
            if not signature(codec, size).items() <= made_by.items():
                raise ValueError(
                    f"{path} holds latents of {made_by.get('size')} pixels by the image codec {made_by.get('vae')}, "
                    f"the run needs {size} pixels and {codec.digest}: encode them again"
                )

    def __getitem__(self, name: str) -> Tensor:
        """The latent of one image, (C, s, s) or codes (N,). Raises ``ValueError`` with the name where there is none."""
        if name not in self.place:
            raise ValueError(f"{self.paths[0].parent} holds no latent of {name}: encode the latents again")
        with safe_open(self.place[name], framework="pt") as file:
            return file.get_tensor(name)


def signature(codec: ImageCodec, size: int) -> dict[str, str]:
    """What a file's metadata say of the latents in it."""
    return {"vae": codec.digest, "size": str(size)}


def is_complete(path: Path, codec: ImageCodec, size: int, names: Iterable[str]) -> bool:
    """Whether ``path`` holds latents of this codec and size for all of ``names`` whose images could be read."""
    if not path.exists():
        return False
    try:
        cache = LatentCache([path])
        cache.check(codec, size)
        unreadable = json.loads(cache.made_by[path].get(UNREADABLE, "[]"))
    except ValueError:
        return False
    return set(names) <= {*cache.place, *unreadable}


def write_latents(
    path: Path,
    images: Iterable[tuple[str, Image.Image]],
    codec: ImageCodec,
    size: int,
    batch_size: int = 8,
    unreadable: Sequence[str] = (),
) -> None:
    """Encode named images at ``size`` pixels into the file ``path``, which appears only when it is complete.

    ``unreadable``: names without an image, looked at after the last image; they are kept in the metadata.
    """
    latents: dict[str, Tensor] = {}
    source = iter(images)
    while batch := list(islice(source, batch_size)):
        pixels = torch.stack([generation_pixels(image, size) for _, image in batch]).to(codec.device)
        encoded = codec.encode(pixels).cpu().contiguous()
        latents |= {name: latent.clone() for (name, _), latent in zip(batch, encoded, strict=True)}
    unfinished = path.with_suffix(".part")
    with writing(f"the latents {path}"):
        save_file(latents, unfinished, metadata={**signature(codec, size), UNREADABLE: json.dumps(list(unreadable))})
        follow_umask([unfinished])
        unfinished.replace(path)
