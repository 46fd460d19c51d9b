"""CLIP score: the mean of 100 x cosine between pictures and their captions (Hessel et al. 2021, arXiv:2104.08718).

Not multiplied by their 2.5 and not clipped at 0, as the JanusFlow paper's Table 5 with OpenAI's ViT-L/14. A caption is
cut at CLIP's 77 tokens. ``torchmetrics``' CLIPScore expects tensors of features, which newer transformers do not give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from eval.clip import CLIP, DEFAULT_CLIP, MAX_TOKENS
from eval.files import read_json, read_json_lines, read_text
from eval.judge_weights import describe_model, find_model, other_judge
from eval.picture_folder import match_pictures, no_match
from eval.subsets import choose, list_hash
from eval.task import Drawing, Judge, Judged, Need, Record, Scored, Task, Work
from janusflow.options import option

TEXT_KEYS = ("prompt", "caption")
MJHQ_PROMPTS, PAPERS_PROMPTS = 30_000, 10_000  # of the file, and of the JanusFlow paper's Table 5 among them


@dataclass(frozen=True)
class CLIPScoreOptions:
    """The prompts and the judge."""

    prompts: str | None = option(None, "JSON lines with prompt or caption, MJHQ's meta_data.json, or lines of text")
    subset: int | None = option(None, "number of prompts, chosen as mjhq-fid chooses them (default: all)")
    subset_seed: int = option(0, "fixes which prompts a smaller number means")
    clip: str = option(DEFAULT_CLIP, "the CLIP model: hub id or folder in transformers' layout")


class CLIPJudge(Judge):
    """100 x cosine of a picture and its prompt."""

    def __init__(self, clip: CLIP) -> None:
        self.clip = clip

    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        from torch.nn.functional import cosine_similarity

        pictures, texts = self.clip.embed_images(images), self.clip.embed_texts([one.prompt for one in drawings])
        return [Judged({"score": 100 * one}) for one in cosine_similarity(pictures.double(), texts.double()).tolist()]


class CLIPScore(Task):
    """Mean of 100 x cosine between CLIP's embeddings of each picture and its prompt."""

    name: ClassVar[str] = "clip-score"
    title: ClassVar[str] = "CLIP score"
    options: ClassVar[type] = CLIPScoreOptions
    needs = (
        Need("prompts", "any file of them, such as meta_data.json of playgroundai/MJHQ-30K", "9 MB", "--prompts FILE"),
        Need("CLIP ViT-L/14", DEFAULT_CLIP, "1.7 GB", "--clip FOLDER"),
    )
    columns: ClassVar[Mapping[str, str]] = {"CLIP": "CLIP score"}
    given: CLIPScoreOptions

    def prepare(self, limit: int | None = None) -> Work:
        if self.given.prompts is None:
            raise ValueError("clip-score needs --prompts: a file with a prompt for each picture")
        everything = [
            Drawing(name, text, (index,), f"{name}.png") for index, (name, text) in enumerate(self.everything.items())
        ]
        drawings = choose(everything, self.given.subset, self.given.subset_seed)
        texts = list_hash([one.prompt for one in drawings])
        protocol = {"prompts": len(drawings), "texts": texts, "tokens": MAX_TOKENS}
        return Work(drawings=drawings[:limit], protocol=protocol)

    @cached_property
    def everything(self) -> dict[str, str]:
        """All prompts of the file."""
        assert self.given.prompts is not None, "prepare() looks"
        return read_prompts(Path(self.given.prompts))

    def find_pictures(self, folder: Path, work: Work) -> Work:
        found = match_pictures(folder, work, self.everything)
        if not any(one.prompt for one in found.drawings):
            raise ValueError(no_match(folder, work))
        return found

    def judge_protocol(self) -> dict[str, Any]:
        return {"clip": describe_model(self.given.clip)}

    def departures(self, judge: Record) -> list[str]:
        """The paper's is ViT-L/14's over 10,000 of MJHQ's prompts."""
        told = other_judge(judge["clip"], DEFAULT_CLIP)
        if Path(str(self.given.prompts)).suffix != ".json" or len(self.everything) != MJHQ_PROMPTS:
            told.append(f"captions of {Path(str(self.given.prompts)).name}")
        count = self.given.subset or len(self.everything)
        return told + ([] if count == PAPERS_PROMPTS else [f"{count} captions"])

    def load_judge(self) -> Judge:
        return CLIPJudge(CLIP(find_model(self.given.clip), self.device))

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        values = {one.id: judged[one.id].record["score"] for one in work.drawings if one.id in judged}
        return Scored(self.title, {self.title: mean(list(values.values()))}, {}, details={"pictures": len(values)})


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def read_prompts(path: Path) -> dict[str, str]:
    """Prompts by the stem of their picture: MJHQ's stems, a line's "id", or its number from 00000.

    Raises ``ValueError``, with the line, where one has no prompt, an id that is no file name, or an id twice.
    """
    if path.suffix == ".json":
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold an object of prompts by name")
        entries = [(str(name), content[name]) for name in sorted(content)]  # as mjhq-fid numbers its seeds
    elif path.suffix == ".jsonl":
        lines = read_json_lines(path)
        entries = [(_id_of(line, index), line) for index, line in enumerate(lines)]
    else:
        texts = [line.strip() for line in read_text(path).split("\n") if line.strip()]
        entries = [(f"{index:05d}", line) for index, line in enumerate(texts)]
    prompts: dict[str, str] = {}
    for number, (name, entry) in enumerate(entries, 1):
        text = entry if isinstance(entry, str) else _text_of(entry)
        if text is None or not text.strip():
            raise ValueError(f"{path}, entry {number}: there is no {' or '.join(TEXT_KEYS)} in {entry!r}")
        if not name or name != Path(name).name:
            raise ValueError(f"{path}, entry {number}: the id {name!r} is no file name")
        if name in prompts:
            raise ValueError(f"{path}, entry {number}: the id {name} is there twice")
        prompts[name] = text
    if not prompts:
        raise ValueError(f"{path} holds no prompts")
    return prompts


def _id_of(line: Any, index: int) -> str:
    return str(line["id"]) if isinstance(line, dict) and "id" in line else f"{index:05d}"


def _text_of(entry: Any) -> str | None:
    found = [entry.get(key) for key in TEXT_KEYS] if isinstance(entry, dict) else []
    return next((text for text in found if isinstance(text, str)), None)
