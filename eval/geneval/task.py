"""GenEval as a task: 553 prompts, four pictures each, judged by a detector and a classifier of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from eval.clip import CLIP, DEFAULT_CLIP
from eval.files import find_data_file, read_json_lines
from eval.geneval.colors import ColorClassifier
from eval.geneval.detector import CLASSES, DETECTOR, LONGEST, SHORT_EDGE, Detector
from eval.geneval.layout import SAMPLES, find_samples, index_of, sample_id, sample_path, write_metadata
from eval.geneval.result import score_samples, to_record
from eval.geneval.score import MIN_SCORE, Detection, Prompt, check_prompt, score_image
from eval.judge_weights import describe_model, find_model, other_judge
from eval.subsets import evenly
from eval.task import Drawing, Judge, Judged, Need, Question, Record, Scored, Task, Work, first_part, joined
from janusflow.options import option

PROMPT_FILES = ("evaluation_metadata.jsonl", "geneval.jsonl", "**/evaluation_metadata.jsonl")


@dataclass(frozen=True)
class GenEvalOptions:
    """Where prompts and judges are."""

    data: str | None = option(None, "the prompt file (evaluation_metadata.jsonl), or a folder that holds it")
    prompts_name: str | None = option(None, "name of a rewriting of the prompts, which its scores are called by")
    detector: str = option(DETECTOR, "Mask2Former for COCO instances: a folder (a copy: called like it) or a hub id")
    detector_edge: int = option(SHORT_EDGE, "shorter edge of the detector's input in pixels; GenEval's is 800")
    color_model: str = option(DEFAULT_CLIP, "CLIP that names colours: a folder or a hub id")


class GenEval(Task):
    """GenEval (Ghosh, Hajishirzi and Schmidt 2023, arXiv:2310.11513) with the detector of transformers."""

    name = "geneval"
    title = "GenEval (HF detector)"
    of_a_part = ("tags without pictures",)
    size = 553 * SAMPLES  # the paper's prompts
    options = GenEvalOptions
    needs: ClassVar[tuple[Need, ...]] = (
        Need("prompts", "https://github.com/djghosh13/geneval (prompts/evaluation_metadata.jsonl)", "0.1 MB", "--data"),
        Need("detector", DETECTOR, "0.3 GB", "--detector FOLDER"),
        Need("classifier of colours", DEFAULT_CLIP, "1.7 GB", "--color-model FOLDER"),
    )
    columns: ClassVar[Mapping[str, str]] = {
        "GenEval": "overall",
        "single object": "single_object",
        "two objects": "two_object",
        "counting": "counting",
        "colors": "colors",
        "position": "position",
        "color attributes": "color_attr",
        "GenEval: overall": "overall",
    }
    given: GenEvalOptions

    def __init__(self, options: GenEvalOptions) -> None:
        super().__init__(options)
        if options.detector_edge < 1:
            raise ValueError(f"--detector-edge must be at least 1, not {options.detector_edge}")

    @cached_property
    def prompt_file(self) -> Path:
        """The file behind ``--data``. Raises ``ValueError`` where there is none."""
        return find_data_file(self.given.data, self.name, self.needs[:1], *PROMPT_FILES)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """All prompts, in the file's order. Raises ``ValueError`` with the line where one is not GenEval's."""
        return read_prompts(self.prompt_file)

    def prepare(self, limit: int | None = None) -> Work:
        """``limit`` counts prompts, which have four pictures each."""
        return self.prepare_prompts(limit, self.given.prompts_name or "original")

    def prepare_prompts(self, limit: int | None, prompt_set: str) -> Work:
        """The pictures of the prompts, which are a set of that name."""
        from janusflow.weights import digest

        drawings = [
            Drawing(sample_id(index, number), prompt["prompt"], (number,), sample_path(index, number))
            for index, prompt in enumerate(self.prompts)
            for number in range(SAMPLES)
        ]
        protocol = {
            "prompts": prompt_set,
            "prompt file": digest([self.prompt_file]),
            "pictures a prompt": SAMPLES,
        }
        pictures = None if limit is None else limit * SAMPLES
        return Work(drawings=evenly(drawings, pictures, self.place), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        return self.prompts[index_of(item.id)]["tag"], first_part(item.id)

    def write_layout(self, folder: Path, work: Work) -> None:
        """``metadata.jsonl`` of every prompt."""
        write_metadata(folder, self.prompts, dict.fromkeys(index_of(drawing.id) for drawing in work.drawings))

    def find_pictures(self, folder: Path, work: Work) -> Work:
        drawings, problems = find_samples(folder, self.prompts, work.drawings)
        return replace(work, drawings=drawings, problems=joined(work.problems, problems))

    def judge_protocol(self) -> Record:
        edge = self.given.detector_edge
        return {
            "detector": describe_model(self.given.detector),
            "detector's input": f"shorter edge {edge}, longer at most {round(edge * LONGEST)}",
            "colours": describe_model(self.given.color_model),
        }

    def departures(self, judge: Record) -> list[str]:
        """The official judges are the two of transformers, as the title says, at GenEval's input size."""
        told = [*other_judge(judge["detector"], DETECTOR), *other_judge(judge["colours"], DEFAULT_CLIP)]
        told += [] if self.given.detector_edge == SHORT_EDGE else [f"{self.given.detector_edge} px"]
        return told + ([f"{self.given.prompts_name} prompts"] if self.given.prompts_name else [])

    def load_judge(self) -> GenEvalJudge:
        return GenEvalJudge(self.prompts, self.given, self.device)

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        prompts = {drawing.id: self.prompts[index_of(drawing.id)] for drawing in work.drawings}
        records = {name: one.record for name, one in judged.items() if name in prompts}
        return score_samples(prompts, records, self.given.prompts_name)


class GenEvalJudge(Judge):
    """Detects objects, and names the colours of those whose colour the prompt asks for."""

    def __init__(self, prompts: Sequence[Prompt], options: GenEvalOptions, device: str) -> None:
        self.prompts = prompts
        self.detector = Detector(find_model(options.detector), device, options.detector_edge)
        self.colors = ColorClassifier(CLIP(find_model(options.color_model), device))

    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        return [
            Judged(self.look(self.prompts[index_of(drawing.id)], image))
            for drawing, image in zip(drawings, images, strict=True)
        ]

    def look(self, prompt: Prompt, image: Image.Image) -> Record:
        """What is seen on a picture, with the colours that the prompt asks about."""
        found = self.detector.detect(image, MIN_SCORE)
        detections = [one.detection for one in found]
        asked: dict[int, str] = {}  # place among the detections -> colour

        def color_of(detection: Detection) -> str:
            # By identity: two detections may be equal, with different masks.
            place = next(i for i, one in enumerate(detections) if one is detection)
            if place not in asked:
                asked[place] = self.colors.name_color(image, found[place].mask, detection.box, detection.label)
            return asked[place]

        score_image(detections, prompt, color_of)  # which objects are judged is the scorer's matter
        return to_record(one._replace(color=asked.get(place)) for place, one in enumerate(detections))


def read_prompts(path: Path) -> list[Prompt]:
    """GenEval's prompts. Raises ``ValueError``, with the file's name, for other content or an unknown class."""
    prompts: list[Any] = read_json_lines(path)
    if not prompts:
        raise ValueError(f"{path} holds no prompts")
    for number, prompt in enumerate(prompts, 1):
        try:
            if not isinstance(prompt, dict) or not isinstance(prompt.get("prompt"), str):
                raise ValueError(f"this is no prompt: {prompt!r}")
            check_prompt(prompt)
            for condition in (*prompt["include"], *(prompt.get("exclude") or ())):
                if condition["class"] not in CLASSES:
                    raise ValueError(f"the detector knows no class {condition['class']!r}")
        except ValueError as error:
            raise ValueError(f"{path}, prompt {number}: {error}") from error
    return prompts
