"""What requests hold: the widely used endpoints' fields, as far as they mean something here, and the head's options.

A field that is not here is an error, not ignored: it would change nothing.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_type_hints

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, create_model

from janusflow.inference.answers import Conversation, DecodingOptions
from janusflow.options import SamplingOptions, with_default
from janusflow.serve.limits import Limits

DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
USUAL_TOKENS = 48  # of an answer
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Strict(BaseModel):
    """Unknown fields, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ImageRequest(Strict):
    """``POST /v1/images/generations``, without the options of a head."""

    prompt: str
    model: str | None = None
    n: int = Field(1, ge=1, description="pictures, with the seeds seed, seed + 1, …")
    size: str = Field("auto", description="auto, which is the model's square, or WIDTHxHEIGHT in pixels")
    seed: Seed | None = Field(None, description="of the first picture (default: a random one)")
    response_format: Literal["b64_json"] = "b64_json"
    user: str | None = Field(None, description="ignored")

    def options(self) -> dict[str, Any]:
        """The head's options that are given."""
        own = self.model_dump(exclude_none=True)
        return {name: value for name, value in own.items() if name not in ImageRequest.model_fields}


def image_request(usual: SamplingOptions) -> type[ImageRequest]:
    """The request for a model whose head has such options, each a field of its type; not given, ``usual`` counts."""
    hints = get_type_hints(type(usual))
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(usual):
        text = with_default(field.metadata.get("help", ""), getattr(usual, field.name))
        if "range" in field.metadata:
            text += " ({} .. {})".format(*field.metadata["range"])
        fields[field.name] = (hints[field.name] | None, Field(None, description=text))
    return create_model("ImageRequest", __base__=ImageRequest, **fields)


class TextPart(Strict):
    """Words of a message."""

    type: Literal["text"]
    text: str


class ImageURL(Strict):
    """A picture in the request itself; nothing is fetched for a client."""

    url: str = Field(description="data:image/…;base64,…")
    detail: str | None = Field(None, description="ignored")


class ImagePart(Strict):
    """A picture of a message."""

    type: Literal["image_url"]
    image_url: ImageURL


class Message(Strict):
    """One turn, or half of one."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: str | None = Field(None, description="ignored")

    @property
    def text(self) -> str:
        """Its words."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def urls(self) -> list[str]:
        """Its pictures."""
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]


class StreamOptions(Strict):
    """What a stream holds beside the answer."""

    include_usage: bool = False


class ChatRequest(Strict):
    """``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1, max_length=200)
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1, description="another name of max_tokens")
    temperature: float = Field(0.0, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: Seed = Field(0, description="of sampled answers")
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: Literal[1] = 1
    user: str | None = Field(None, description="ignored")

    def decoding(self, limits: Limits) -> DecodingOptions:
        """How the answer is written. Raises ``ValueError`` beyond the limits."""
        tokens = self.max_tokens or self.max_completion_tokens or min(USUAL_TOKENS, limits.max_tokens)
        if tokens > limits.max_tokens:
            raise ValueError(f"max_tokens must be at most {limits.max_tokens}, got {tokens}")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return DecodingOptions(tokens, self.temperature, self.top_p, stop).check()

    def conversation(self, limits: Limits) -> Conversation:
        """The conversation, whose pictures stand in front of its first question, whichever message they came with.

        Raises ``ValueError`` where it is none, for pictures that cannot be read, and beyond the limits.
        """
        long = next((message for message in self.messages if len(message.text) > limits.max_prompt), None)
        if long is not None:
            raise ValueError(f"a message has at most {limits.max_prompt} characters, got {len(long.text)}")
        system = self.messages[0].text if self.messages[0].role in ("system", "developer") else None
        said = self.messages[system is not None :]
        roles = [message.role for message in said]
        if roles != [*["user", "assistant"] * (len(roles) // 2), "user"]:
            raise ValueError(
                "the messages must be a system message, if any, then user and assistant in turn, the last one the "
                f"user's; got {', '.join(message.role for message in self.messages)}"
            )
        texts = [message.text for message in said]
        turns = [*zip(texts[::2], texts[1::2], strict=False), (texts[-1], None)]
        return Conversation(self.pictures(limits), turns, system)

    def pictures(self, limits: Limits) -> Sequence[Image.Image]:
        """All pictures, in order. Raises ``ValueError`` as :meth:`conversation`."""
        if any(message.urls for message in self.messages if message.role != "user"):
            raise ValueError("pictures come with the user's messages")
        urls = [url for message in self.messages for url in message.urls]
        if len(urls) > limits.max_pictures:
            raise ValueError(f"a conversation has at most {limits.max_pictures} pictures, got {len(urls)}")
        return [limits.read_picture(io.BytesIO(read_data_url(url))) for url in urls]


def read_data_url(url: str) -> bytes:
    """The bytes in a ``data:`` URL of an image. Raises ``ValueError`` for any other, which would have to be fetched."""
    head = DATA_URL.match(url)
    if head is None:
        raise ValueError(f"image_url must be a data:image/…;base64,… URL, got {url[:40]!r}")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"image_url holds no base64: {error}") from error
