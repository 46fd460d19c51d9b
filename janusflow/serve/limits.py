"""What one request may ask for: shared by the HTTP server and the page. Nothing here imports torch."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from janusflow.options import check_open, option

if TYPE_CHECKING:
    from PIL import Image

    from janusflow.checkpoints.pretrained import Bundle

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")  # names that this machine has for itself
MOST_PIXELS = 2  # of a picture, over the model's own square
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # decoders that run no other program


@dataclass(frozen=True)
class Limits:
    """Bounds of what a machine does for whoever reaches its port."""

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 is every network that the machine is in")
    port: int = option(8000, "port to listen on; 0 is any free one")
    queue: int = option(64, "pictures and answers that wait, at most; who comes then is told to try again")
    max_images: int = option(8, "pictures of a prompt in one request, at most")
    max_prompt: int = option(2000, "characters of a prompt or a message, at most")
    max_tokens: int = option(256, "tokens of an answer, at most")
    max_pictures: int = option(4, "pictures of a conversation, at most")
    max_megapixels: float = option(16.0, "size of a picture that is sent")
    max_megabytes: float = option(16.0, "size of a request")

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) in (int, float) and field.name != "port" and not value > 0:
                raise ValueError(f"--{field.name.replace('_', '-')} must be above 0, got {value}")
        if not 0 <= self.port < 65_536:
            raise ValueError(f"--port must lie in 0 .. 65535, got {self.port}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the port."""
        return self.host in LOOPBACK

    def read_picture(self, source: str | Path | BinaryIO, name: str = "the picture") -> Image.Image:
        """A picture that somebody sent. Raises ``ValueError`` where it is too large or none that is read here."""
        from janusflow.pictures import read_image

        return read_image(source, name, FORMATS, int(self.max_megapixels * 1e6))

    def check_size(self, bundle: Bundle, text: str, height_first: bool = True) -> tuple[int, int] | None:
        """Height and width in pixels of pictures whose size somebody wrote; None for the model's own square.

        height_first: how it is written, else WIDTHxHEIGHT. Raises ``ValueError`` for a size that the model cannot draw,
        or that is much more work than its own.
        """
        from janusflow.models.shapes import grid_for, parse_size

        config = bundle.model.config
        side = config.vision.image_size
        if text.strip() == f"{side}x{side}":
            return None
        size = parse_size(text) if height_first else parse_size(text)[::-1]
        if size[0] * size[1] > MOST_PIXELS * side**2:
            raise ValueError(
                f"the model draws {side}x{side} pixels, and at most {MOST_PIXELS} times as many, got the size {text}"
            )
        grid_for(config, size)
        return size

    def check_drawing(
        self, bundle: Bundle, prompt: str, given: Mapping[str, Any], size: tuple[int, int] | None = None
    ) -> Any:
        """The options of a drawing of that size: the model's own, and over them those ``given``.

        Raises ``ValueError`` for options that only the machine's owner may set or that cannot be, and for a prompt that
        is empty, too long, or does not fit the model.
        """
        from janusflow.inference.images import tokenize
        from janusflow.models.shapes import grid_for

        if not prompt.strip():
            raise ValueError("the prompt is empty")
        if len(prompt) > self.max_prompt:
            raise ValueError(f"a prompt has at most {self.max_prompt} characters, got {len(prompt)}")
        check_open(bundle.model.head.Options, given)
        tokenize(bundle, prompt, grid=None if size is None else grid_for(bundle.model.config, size))
        return bundle.model.config.head.sampling(bundle.sampling, given)

    def listen(self) -> socket.socket:
        """The port, open. Raises ``ValueError`` where it cannot be had."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((self.host, self.port), family=family, backlog=2048)
        except OSError as error:
            raise ValueError(f"cannot listen on {self.host}, port {self.port}: {error.strerror or error}") from error
