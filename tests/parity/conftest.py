"""What the references were made with."""

import json

import pytest

from janusflow.data.tokenizer import TextTokenizer

VOCABULARY = 512  # of the reference models


@pytest.fixture(scope="session")
def small_tokenizer(tokenizer, tmp_path_factory) -> TextTokenizer:
    """The shapes world's tokenizer without its last merges."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(path)
    content = json.loads(path.read_text())
    model = content["model"]
    model["vocab"] = {piece: number for piece, number in model["vocab"].items() if number < VOCABULARY}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    path.write_text(json.dumps(content))
    return TextTokenizer.from_file(path)
