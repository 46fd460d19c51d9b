"""Commands of the project, run one behind the other by studies of several runs; what is finished is not done again."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

GUIDANCE = (1, 1.5, 2, 3, 4)
SCORES = (
    "GenEval rules: mean of the tags",
    "diversity of a prompt's pictures",
    "Fréchet distance, SigLIP features (not FID)",
    "answers: all",
)
SPLITS = ("", " (held out)")


def add_protocol(parser: argparse.ArgumentParser, questions: int) -> None:
    """Add the flags of what :func:`protocol` asks a model for."""
    parser.add_argument("--level", default="fixed", help="level of the world that the models were trained in")
    parser.add_argument("--prompts-per-tag", type=int, default=34)
    parser.add_argument("--images-per-prompt", type=int, default=4)
    parser.add_argument("--questions-per-kind", type=int, default=questions)


def protocol(args: argparse.Namespace) -> list[object]:
    """The options of the evaluation that the flags stand for."""
    asked: list[object] = ["--level", args.level, "--prompts-per-tag", args.prompts_per_tag]
    return [*asked, "--images-per-prompt", args.images_per_prompt, "--questions-per-kind", args.questions_per_kind]


def train(folder: Path, config: str, overrides: list[str]) -> None:
    """Have a run in ``folder``, from its last state if it has one."""
    if (folder / "scores.json").exists():
        return
    begun = (folder / "config.yaml").exists()
    new = [config, *overrides, f"out={folder.parent}", f"name={folder.name}"]
    call("train.py", *(["--resume", folder] if begun else new))


def call(words: str, *more: object) -> None:
    """Run Python with the words of a line and more arguments."""
    subprocess.run([sys.executable, *words.split(), *map(str, more)], check=True)


def score(out: Path, model: Path, *options: object) -> dict[str, float]:
    """A model's scores in the world, by ``python -m eval run world``."""
    call("-m eval run world --batch-size 32", "--model", model, "--out", out, *options)
    scores: dict[str, float] = read(out / "result.json")["scores"]
    return scores


def best_guidance(out: Path, model: Path, level: str, *options: object) -> str:
    """The weight with which a model's pictures follow development prompts best."""
    few = "--prompts-per-tag 16 --images-per-prompt 2 --questions-per-kind 0 --reference-images 256 --batch-size 32"
    swept = ["--out", out, *options, "--guidance", *GUIDANCE]
    call(f"-m eval sweep world --development {few}", "--level", level, "--model", model, *swept)
    best = max(read(out / "sweep.json")["points"], key=lambda point: point["scores"][SCORES[0]])
    return f"{best['setting']['guidance']:g}"


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
