"""Who answers DPG-Bench's questions: mPLUG-large, as published numbers have it, or a VQA model of transformers.

mPLUG (Li et al. 2022, arXiv:2205.12005) comes by modelscope, an optional extra. The default of transformers is BLIP
fine-tuned on VQAv2 (Li et al. 2022, arXiv:2201.12086): like mPLUG it was taught VQAv2's short lower-case answers, so it
says "yes" or "no" without being told to, and it is small. Its scores are not those of mPLUG.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from eval.dpg_bench.grids import check_size, split
from eval.dpg_bench.questions import Item
from eval.dpg_bench.score import CROPS
from eval.judge_weights import find_model
from eval.task import Drawing, Judge, Judged, Record

MPLUG = "damo/mplug_visual-question-answering_coco_large_en"
VQA_MODEL = "Salesforce/blip-vqa-capfilt-large"
ANSWER_TOKENS = 10


class Answerer(ABC):
    """A model that answers a question about pictures."""

    @abstractmethod
    def ask(self, images: Sequence[Image.Image], question: str) -> list[str]:
        """The answer about each RGB image, without special tokens or space around it."""


class TransformersAnswerer(Answerer):
    """BLIP, which writes its answer, or ViLT, which chooses one; greedily."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Raises ``ValueError`` for another kind of model."""
        from transformers import AutoConfig, AutoProcessor, BlipForQuestionAnswering, ViltForQuestionAnswering

        classes: dict[str, Any] = {"blip": BlipForQuestionAnswering, "vilt": ViltForQuestionAnswering}
        self.kind = AutoConfig.from_pretrained(folder).model_type
        if self.kind not in classes:
            raise ValueError(f"{folder} is a {self.kind}; the judge must be a {' or a '.join(classes)}")
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = classes[self.kind].from_pretrained(folder).to(device).eval()
        self.device = device

    def ask(self, images: Sequence[Image.Image], question: str) -> list[str]:
        import torch

        # One question at a time: BLIP attends to the padding of shorter questions, so a batch would change answers.
        inputs = self.processor(
            images=list(images), text=[question] * len(images), truncation=True, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            if self.kind == "vilt":
                chosen = self.model(**inputs).logits.argmax(dim=-1).tolist()
                return [self.model.config.id2label[index].strip().lower() for index in chosen]
            tokens = self.model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, num_beams=1, do_sample=False)
        # The first token is the decoder's start.
        return [text.strip().lower() for text in self.processor.batch_decode(tokens[:, 1:], skip_special_tokens=True)]


class MplugAnswerer(Answerer):
    """mPLUG-large by modelscope's pipeline, picture by picture as in the official script."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Raises ``ValueError`` without modelscope."""
        with _extra():
            from modelscope.pipelines import pipeline
            from modelscope.utils.constant import Tasks

            self.pipeline = pipeline(Tasks.visual_question_answering, model=str(folder), device=device)

    def ask(self, images: Sequence[Image.Image], question: str) -> list[str]:
        return [str(self.pipeline({"image": image, "question": question})["text"]) for image in images]


class DPGJudge(Judge):
    """Asks all questions about each of the ``count`` pictures in a file, squares of ``resolution`` pixels if given."""

    def __init__(
        self, items: Mapping[str, Item], answerer: Answerer, count: int = CROPS, resolution: int | None = None
    ) -> None:
        self.items = items
        self.answerer = answerer
        self.count, self.resolution = count, resolution

    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        """Raises ``ValueError`` for an image of another size."""
        for drawing, image in zip(drawings, images, strict=True):
            check_size(drawing.path, image.size, self.count, self.resolution)
        return [
            Judged(self._record(self.items[drawing.id], split(image, self.count)))
            for drawing, image in zip(drawings, images, strict=True)
        ]

    def _record(self, item: Item, crops: Sequence[Image.Image]) -> Record:
        answers: list[dict[str, str]] = [{} for _ in crops]  # JSON has no numbers as keys
        for number, row in item.items():
            for crop, answer in zip(answers, self.answerer.ask(crops, row.question), strict=True):
                crop[str(number)] = answer
        return {"answers": answers}


def find_answerer(kind: str, given: str | None) -> Path:
    """The folder of the judge ``kind``: ``given``, or the download of it or of the kind's default.

    Raises ``ValueError`` where that is none, and for mPLUG without modelscope.
    """
    if kind == "transformers":
        return find_model(given or VQA_MODEL)
    if given is not None and Path(given).is_dir():
        return Path(given)
    name = given or MPLUG
    with _extra():
        from modelscope.hub.snapshot_download import snapshot_download

        try:
            return Path(snapshot_download(name))
        except (OSError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"{name} is no folder, and no model that modelscope gives: {reason}") from error


def load_answerer(kind: str, given: str | None, device: str) -> Answerer:
    """The model; see :func:`find_answerer`."""
    folder = find_answerer(kind, given)
    return TransformersAnswerer(folder, device) if kind == "transformers" else MplugAnswerer(folder, device)


@contextmanager
def _extra() -> Iterator[None]:
    """Imports of modelscope, which loads a model's own modules late."""
    try:
        yield
    except ImportError as error:
        raise ValueError(
            f"the judge mPLUG needs the extra dpg: pip install 'janusflow[dpg]' ({error}); "
            "--judge transformers does without it"
        ) from error
