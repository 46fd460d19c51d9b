"""The chat template: conversations and prompts to token ids, and which of them are supervised.

One turn is ``{role}: {message}`` and a separator; separators alternate ``\\n\\n`` and end-of-sentence. An image stands
in the user's message as begin-of-image, N placeholders, end-of-image, then a line break. Messages lose their outer
blanks, as in the reference's processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.head import DropForm


@dataclass
class ChatConfig:
    """What a checkpoint expects around messages. Janus-Pro's roles are ``<|User|>`` and ``<|Assistant|>``."""

    user: str = "User"
    assistant: str = "Assistant"
    system: str = ""  # put first in understanding, followed by a blank line; generation uses none


class Tokens(NamedTuple):
    """Token ids and, aligned with them, whether each is supervised (an answer, or text-only data)."""

    ids: list[int]
    supervised: list[bool]


class ChatTemplate:
    """Formats everything the model reads.

    image_tokens: N, the number of placeholders of one image. dropped: what is left of a prompt that guidance drops.
    source_latents: what a prompt of an image shows stands in it twice, as understanding sees it and as clean latents.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        config: ChatConfig,
        image_tokens: int,
        dropped: DropForm = "gap",
        source_latents: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self.image_tokens = image_tokens
        self.dropped = dropped
        self.source_latents = source_latents

    def generation_prompt(self, prompt: str, instruction: bool = True, images: int = 0) -> list[int]:
        """Ids of the prompt of an image, begin-of-image last, which a flow head's time embedding replaces.

        ``instruction=False`` is the plain form of pre-training, ``<prompt><image>`` (Sec. 4.2). ``images``: how many
        the prompt shows in front of its words, as questions do. With ``source_latents`` a span of each one's latents
        stands behind all words, which no end-of-image closes: the drawn span's positions are then always as far from
        those that show the same place, whatever is said.
        """
        before, behind = (f"{self.config.user}: ", f"\n\n{self.config.assistant}:") if instruction else ("", "")
        prompt, encode = prompt.strip(), self.tokenizer.encode
        if images:
            ids = [*encode(before), *self._images(images), *encode(f"\n{prompt}".rstrip() + behind)]
            ids += [self.tokenizer.boi, *[self.tokenizer.image] * self.image_tokens] * (images * self.source_latents)
        else:
            ids = encode(before + prompt + behind)
        return [self.tokenizer.bos, *ids, self.tokenizer.boi]

    def _images(self, count: int) -> list[int]:
        """Images, with a line break between two."""
        special, ids = self.tokenizer, []
        for number in range(count):
            ids += special.encode("\n") if number else []
            ids += [special.boi, *[special.image] * self.image_tokens, special.eoi]
        return ids

    def spans(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Where the spans of images begin that understanding sees, and those of clean latents, in front of a drawn one.

        The former are closed by end-of-image.
        """
        special, und, source = self.tokenizer, list[int](), list[int]()
        for begin, token in enumerate(ids):
            if token == special.boi:
                end = begin + 1 + self.image_tokens
                closed = not self.source_latents or (end < len(ids) and ids[end] == special.eoi)
                (und if closed else source).append(begin)
        return und, source

    def dropped_prompt(self, prompt: Sequence[int]) -> list[int]:
        """What stands in front of the span in the place of ``prompt``, whose last token is the span's first.

        JanusFlow keeps the first token only, and the span where it was; Janus puts padding behind the first token.
        """
        return [prompt[0], *[self.tokenizer.pad] * (len(prompt) - 2 if self.dropped == "pad" else 0)]

    def question(self, question: str, images: int = 1) -> list[int]:
        """Ids that end with the assistant's role, so that the answer comes next."""
        return self.conversation([(question, None)], images).ids

    def conversation(
        self, turns: Sequence[tuple[str, str | None]], images: int = 1, system: str | None = None
    ) -> Tokens:
        """A conversation about ``images`` images, which stand in front of the first question.

        Answers and the end-of-sentence behind each are supervised. An answer of None leaves its turn open.
        system: in the place of the checkpoint's own system prompt; empty for none.
        """
        encode, special = self.tokenizer.encode, self.tokenizer
        ids = [special.bos]
        system = (self.config.system if system is None else system).lstrip()
        if system:
            ids += encode(f"{system}\n\n")
        supervised = [False] * len(ids)
        for number, (question, answer) in enumerate(turns):
            text = f"\n\n{self.config.assistant}:"
            if number == 0 and images:
                asked = [*encode(f"{self.config.user}: "), *self._images(images)]
                asked += encode(f"\n{question}".rstrip() + text)  # the message begins with the image
            else:
                asked = encode(f"{self.config.user}: {question.strip()}{text}")
            ids += asked
            supervised += [False] * len(asked)
            if answer is not None:
                answered = [*encode(f" {answer.strip()}"), special.eos]
                ids += answered
                supervised += [True] * len(answered)
        return Tokens(ids, supervised)

    def text(self, text: str) -> Tokens:
        """Text-only data: every token after the first is supervised."""
        return self.document([text])

    def document(self, segments: Sequence[str | None]) -> Tokens:
        """Texts, which are supervised, and images (None) in reading order."""
        special = self.tokenizer
        ids, supervised = [special.bos], [False]
        for segment in segments:
            if segment is None:
                image = self._images(1)
                ids += image
                supervised += [False] * len(image)
            else:
                tokens = special.encode(segment)
                ids += tokens
                supervised += [True] * len(tokens)
        return Tokens([*ids, special.eos], [*supervised, True])
