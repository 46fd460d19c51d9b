"""All tasks, in the order of ``python -m eval list``."""

from __future__ import annotations

from eval.dpg_bench.task import DPGBench
from eval.fid.clip_score import CLIPScore
from eval.fid.task import COCO, MJHQ
from eval.geneval.task import GenEval
from eval.shapes.task import ShapesTask
from eval.task import Task
from eval.understanding.chartqa import ChartQA
from eval.understanding.gqa import GQA
from eval.understanding.mm_vet import MMVet
from eval.understanding.mmbench import MMBench
from eval.understanding.mme import Mme
from eval.understanding.mmmu import Mmmu
from eval.understanding.pope import Pope
from eval.understanding.seed import Seed
from eval.understanding.textvqa import TextVQA
from eval.understanding.vqav2 import VQAv2

TASKS: tuple[type[Task], ...] = (
    MJHQ,
    COCO,
    CLIPScore,
    GenEval,
    DPGBench,
    Pope,
    Mme,
    MMBench,
    Seed,
    VQAv2,
    GQA,
    Mmmu,
    MMVet,
    ChartQA,
    TextVQA,
    ShapesTask,
)


def find_task(name: str) -> type[Task]:
    """The task of that name. Raises ``ValueError`` with the names there are."""
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(f"unknown task {name!r}; choose from {', '.join(task.name for task in TASKS)}")
