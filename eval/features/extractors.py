"""Feature extractors: what the Fréchet distance and its kin compare pictures by.

Only the features of the 2015 Inception network give an FID; a distance on any other extractor's is called what it is.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from eval.features.resizing import clean_pixels

if TYPE_CHECKING:
    import torch

INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec32"  # its first 12 digits, as janusflow.weights.digest gives them


class FeatureExtractor(ABC):
    """Pictures to feature vectors. The network is loaded when it is first needed."""

    name: str
    is_inception: bool = False

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a protocol says of it, with a hash of its weights; loads no network."""

    @abstractmethod
    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """What the network takes, (B, 3, S, S), of B RGB pictures of any sizes. Needs no network: for workers."""

    @abstractmethod
    def features(self, pixels: torch.Tensor) -> np.ndarray:
        """Features (B, D) float32 of :meth:`pixels`."""

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Features (B, D) float32 of B RGB pictures of any sizes."""
        return self.features(self.pixels(images))

    def __getstate__(self) -> dict[str, Any]:
        """Without the network, which stays where it was loaded: workers do not need it."""
        return {name: value for name, value in vars(self).items() if name != "network"}


class TorchScriptExtractor(FeatureExtractor):
    """A TorchScript file that maps clean-fid's pixels, (B, 3, 299, 299) in 0..255, to (B, D)."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Raises ``ValueError`` where there is no such file."""
        from janusflow.weights import digest

        if not path.is_file():
            raise ValueError(f"there is no feature extractor {path}")
        self.name = path.name
        self.path = path
        self.device = device
        self.digest = digest([path])

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.digest, "input": "299 px, 0..255"}

    @cached_property
    def network(self) -> torch.nn.Module:
        """The network. Raises ``ValueError`` where the file is no TorchScript."""
        import torch

        try:
            return torch.jit.load(self.path, map_location=self.device).eval()
        except (RuntimeError, OSError) as error:
            raise ValueError(f"{self.path} is not a TorchScript file: {str(error).splitlines()[0]}") from error

    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        import torch
        from torch.utils.data import default_collate  # stacks in memory that is shared, where a worker does

        pixels: torch.Tensor = default_collate([torch.from_numpy(clean_pixels(image)) for image in images])
        return pixels

    def features(self, pixels: torch.Tensor) -> np.ndarray:
        import torch

        network = self.network
        try:
            with torch.no_grad():  # not inference_mode: TorchScript of 2015's Inception writes into its tensors
                features = network(pixels.to(self.device))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(f"{self.path} cannot be applied to {tuple(pixels.shape)} pixels: {reason}") from error
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(pixels):
            raise ValueError(f"{self.path} must map pixels (B, 3, H, W) to features (B, D)")
        return features.float().cpu().numpy()


class Inception(TorchScriptExtractor):
    """clean-fid's Inception, ``clean`` mode, whose features make a Fréchet distance an FID."""

    is_inception = True

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Raises ``ValueError`` where the file's content is another than the published one's."""
        super().__init__(path, device)
        self.name = "inception"
        if self.digest != INCEPTION_SHA256:
            raise ValueError(f"{path} is not the published {INCEPTION_FILE}: SHA-256 {self.digest}…")

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": self.name, "weights": self.digest, "library": f"clean-fid {version('clean-fid')}, mode clean"}

    @cached_property
    def network(self) -> torch.nn.Module:
        from cleanfid.inception_torchscript import InceptionV3W

        with tempfile.TemporaryDirectory() as folder:  # clean-fid takes a folder, and prescribes the file's name
            (Path(folder) / INCEPTION_FILE).symlink_to(self.path.resolve())
            try:
                return InceptionV3W(folder, download=False).to(self.device).eval()
            except RuntimeError as error:
                raise ValueError(f"{self.path} is not a TorchScript file: {str(error).splitlines()[0]}") from error


class ShapesExtractor(FeatureExtractor):
    """The shapes world's small SigLIP: unit vectors of the central square at its own size."""

    name = "shapes"

    def __init__(self, device: str = "cpu") -> None:
        from janusflow.weights import ASSETS

        self.folder = ASSETS / "shapes"
        self.device = device

    @cached_property
    def size(self) -> int:
        """Side of the network's input in pixels."""
        return int(self.network.config.image_size)

    def describe(self) -> dict[str, Any]:
        from janusflow.parts.siglip import FILE
        from janusflow.weights import digest

        return {"name": self.name, "weights": digest([self.folder / FILE])}

    @cached_property
    def network(self) -> Any:
        """Both towers."""
        from janusflow.parts.siglip import load_siglip

        return load_siglip(self.folder).to(self.device)

    def pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        from torch.utils.data import default_collate

        from janusflow.data.transforms import generation_pixels

        pixels: torch.Tensor = default_collate([generation_pixels(image, self.size) for image in images])
        return pixels

    def features(self, pixels: torch.Tensor) -> np.ndarray:
        import torch

        with torch.no_grad():
            features: np.ndarray = self.network.embed_images(pixels.to(self.device)).cpu().numpy()
        return features


def find_extractor(given: str, device: str = "cpu") -> FeatureExtractor:
    """``inception``, ``shapes``, or what a TorchScript file holds: by its content the Inception, or any other.

    Raises ``ValueError`` for what is none of them, and where the Inception cannot be downloaded.
    """
    if given == "shapes":
        return ShapesExtractor(device)
    if given == "inception":
        return Inception(download_inception(), device)
    path = Path(given)
    if not path.is_file():
        raise ValueError(f"unknown extractor {given!r}: choose inception, shapes or a TorchScript file that exists")
    found = TorchScriptExtractor(path, device)
    if found.digest == INCEPTION_SHA256:
        return Inception(path, device)
    if path.name == INCEPTION_FILE:
        raise ValueError(f"{path} is damaged, or not the file of that name: its SHA-256 is {found.digest}…")
    return found


def download_inception() -> Path:
    """The published network in the folder of temporary files, where clean-fid looks too, by clean-fid's download.

    Raises ``ValueError`` where that fails; half a file is never left behind.
    """
    from cleanfid.downloads_helper import check_download_inception, inception_url

    home = Path(tempfile.gettempdir())
    target = home / INCEPTION_FILE
    if target.is_file():
        return target
    try:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            Path(check_download_inception(folder)).replace(target)
    except (OSError, HTTPException) as error:
        raise ValueError(
            f"cannot download {inception_url} ({error}): "
            f"fetch it elsewhere and give it as --extractor FOLDER/{INCEPTION_FILE}"
        ) from error
    return target
