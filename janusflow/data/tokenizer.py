"""The text tokenizer: a ``tokenizers`` file whose special tokens are found by name, never by number."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
PAD = "<｜▁pad▁｜>"
BEGIN_OF_IMAGE = "<begin_of_image>"
END_OF_IMAGE = "<end_of_image>"
IMAGE_PLACEHOLDER = "<image_placeholder>"
SPECIAL_TOKENS = (BOS, EOS, PAD, BEGIN_OF_IMAGE, END_OF_IMAGE, IMAGE_PLACEHOLDER)


class TextTokenizer:
    """Text to ids and back. Special tokens that the file lacks are added by name."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
        self.bos, self.eos, self.pad, self.boi, self.eoi, self.image = map(self.id_of, SPECIAL_TOKENS)

    @classmethod
    def from_file(cls, path: str | Path) -> TextTokenizer:
        """Read a ``tokenizer.json``. Raises ``ValueError`` with the path where that fails."""
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the tokenizers library raises plain Exception
            raise ValueError(f"cannot read the tokenizer {path}: {error}") from error

    def id_of(self, token: str) -> int:
        """The id of a token. Raises ``KeyError`` with it where there is none."""
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise KeyError(token)
        return number

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json``."""
        self.tokenizer.save(str(path))

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, nothing put around it.

        Raises ``ValueError`` for text that holds a special token, or halves of characters (surrogates, as JSON can).
        """
        reserved = next((token for token in SPECIAL_TOKENS if token in text), None)
        if reserved is not None:
            raise ValueError(f"the text holds the reserved token {reserved}")
        text.encode()  # raises the latter
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Text of ``ids`` without special tokens, stripped of outer blanks."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()
