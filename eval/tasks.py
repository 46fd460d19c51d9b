"""All tasks by name, in the order of ``python -m eval list``; others are named as ``module:Class``."""

from __future__ import annotations

from eval.task import Task
from janusflow.registry import Registry

TASKS: Registry[type[Task]] = Registry(
    "task",
    "janusflow.tasks",
    {
        "mjhq-fid": "eval.fid.task:MJHQ",
        "coco-fid": "eval.fid.task:COCO",
        "clip-score": "eval.fid.clip_score:CLIPScore",
        "geneval": "eval.geneval.task:GenEval",
        "dpg-bench": "eval.dpg_bench.task:DPGBench",
        "pope": "eval.understanding.pope:Pope",
        "mme": "eval.understanding.mme:Mme",
        "mmbench": "eval.understanding.mmbench:MMBench",
        "seed": "eval.understanding.seed:Seed",
        "vqav2": "eval.understanding.vqav2:VQAv2",
        "gqa": "eval.understanding.gqa:GQA",
        "mmmu": "eval.understanding.mmmu:Mmmu",
        "mm-vet": "eval.understanding.mm_vet:MMVet",
        "chartqa": "eval.understanding.chartqa:ChartQA",
        "textvqa": "eval.understanding.textvqa:TextVQA",
        "world": "eval.worlds.task:WorldTask",
        "world-edits": "eval.worlds.edits:EditsTask",
        "geneval-objects": "eval.worlds.geneval_objects:GenEvalObjects",
    },
)


def find_task(name: str) -> type[Task]:
    """The task of that name or ``module:Class``. Raises ``ValueError`` where there is none."""
    task = TASKS.load(name)
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ValueError(f"the task {name!r} is no class derived from eval.task.Task")
    return task


def all_tasks() -> list[type[Task]]:
    """Every task that has a name."""
    return [find_task(name) for name in TASKS.paths]
