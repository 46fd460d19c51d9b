"""A small whole folder of each understanding benchmark, and the task that reads it."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from eval.task import Question, Scored
from eval.tasks import find_task
from eval.understanding.benchmark import Benchmark
from eval.understanding.mme import SUBTASKS


def png(side: int = 4) -> bytes:
    buffer = BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(buffer, format="png")
    return buffer.getvalue()


def cell(side: int = 4) -> str:
    """An image as a table holds it."""
    return base64.b64encode(png(side)).decode()


def lines(*rows: Any) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def tsv(*rows: dict[str, str]) -> str:
    """A tab-separated table, quoted as CSV."""
    quoted = [["\t".join('"' + value.replace('"', '""') + '"' for value in row.values())] for row in rows]
    return "\n".join(["\t".join(rows[0]), *(line for [line] in quoted)]) + "\n"


PNG, CELL = png(), cell()
COCO = "COCO_val2014_000000000001.jpg"
POPE = {"question_id": 1, "image": COCO, "text": "Is there a dog? Please answer yes or no.", "label": "yes"}
MME = "Is it red? Please answer yes or no.\tYes\nIs it blue? Please answer yes or no.\tNo\n"
MMBENCH = {
    **{"index": "5", "question": "What is it?", "hint": "", "A": "a cat", "B": "a dog", "C": "a cow", "D": ""},
    **{"answer": "B", "category": "animals", "l2-category": "nature", "image": CELL},
}
SEED = {
    **{"answer": "B", "choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four"},
    **{"data_id": "7_8", "data_type": "image", "question": "How many?", "question_id": "1", "question_type_id": 5},
}
CHOICE = {
    **{"id": "validation_Basic_Medical_Science_3", "question": "See <image 2>, <image 1>?", "answer": "B"},
    **{"options": "['it\\'s', \"two\"]", "question_type": "multiple-choice"},
    **{"image_1": f"base64:{CELL}", "image_2": "two.png"},
}
OPEN = CHOICE | {
    **{"id": "validation_Chemistry_30", "options": "[]", "question_type": "open", "answer": "['$MgS$', 'MgS']"},
    "image_2": None,
}
VQA = [
    {"question_id": 420, "image_id": 42, "question": "What is it?"},
    {"question_id": 421, "image_id": 42, "question": "Is it red?"},
]
ANNOTATED = [
    {"question_id": 421, "answer_type": "yes/no", "question_type": "is it", "answers": [{"answer": "yes"}] * 10},
    {"question_id": 420, "answer_type": "other", "question_type": "what is", "answers": [{"answer": "cat"}] * 10},
]
GQA = {"imageId": "n1", "question": "Is it red?", "answer": "no", "types": {"structural": "verify", "semantic": "attr"}}
CHARTQA = {"imgname": "1.png", "query": "How many?", "label": "3"}
TEXTVQA = {
    "question_id": 7,
    "image_id": "0ab",
    "question": "what brand?",
    "answers": ["coke"] * 10,
    "ocr_tokens": ["X"],
}
MMVET = {"imagename": "v1_0.png", "question": "What is x?", "answer": "-1 <AND> -5", "capability": ["ocr", "math"]}

VQA_FILES = ("v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json")
TEST_FILE = "v2_OpenEnded_mscoco_test-dev2015_questions.json"
GQA_FILE, TEXTVQA_FILE = "testdev_balanced_questions.json", "TextVQA_0.5.1_val.json"
CHARTS = "ChartQA Dataset/test"
FOLDERS: dict[str, dict[str, Any]] = {  # by task: files by path
    "pope": {
        **{f"coco_pope_{split}.json": lines(POPE, POPE | {"question_id": 2, "label": "no"}) for split in
           ("random", "popular", "adversarial")},
        f"val2014/{COCO}": PNG,
    },
    "mme": {f"{subtask}/1.{suffix}": content for subtask in SUBTASKS for suffix, content in
            (("txt", MME), ("png", PNG))},
    "mmbench": {"MMBench_DEV_EN.tsv": tsv(MMBENCH)},
    "seed": {"SEED-Bench.json": {"questions": [SEED]}, "SEED-Bench-image/7_8": PNG},
    "mmmu": {"validation.jsonl": lines(CHOICE, OPEN), "two.png": png(5)},
    "vqav2": {
        VQA_FILES[0]: {"questions": VQA},
        VQA_FILES[1]: {"annotations": ANNOTATED},
        "val2014/COCO_val2014_000000000042.jpg": PNG,
    },
    "gqa": {GQA_FILE: {"2": GQA}, "images/n1.jpg": PNG},
    "chartqa": {
        f"{CHARTS}/test_human.json": [CHARTQA, CHARTQA],
        f"{CHARTS}/test_augmented.json": [CHARTQA | {"label": 14}],
        f"{CHARTS}/png/1.png": PNG,
    },
    "textvqa": {TEXTVQA_FILE: {"dataset_type": "val", "data": [TEXTVQA]}, "train_images/0ab.jpg": PNG},
    "mm-vet": {"mm-vet/mm-vet.json": {"v1_0": MMVET}, "mm-vet/images/v1_0.png": PNG},
}  # fmt: skip


def write(folder: Path, name: str, **changes: Any) -> Path:
    """The folder of the task ``name``; ``changes`` by path: other content, or None for no file."""
    for path, content in (FOLDERS[name] | changes).items():
        if content is None:
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def task(name: str, folder: Path | None = None, **options: Any) -> Benchmark:
    """The task with these options."""
    kind = find_task(name)
    found = kind(kind.options(data=None if folder is None else str(folder), **options))
    assert isinstance(found, Benchmark)
    return found


def score(name: str, golds: dict[str, Any], answers: dict[str, str], **options: Any) -> Scored:
    """The score of answers by question id, against what the questions' gold holds."""
    return task(name, **options).score_answers([Question(key, (), "?", gold) for key, gold in golds.items()], answers)
