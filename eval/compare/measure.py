"""All measurements of one model: results of the world task, one a setting, and what drawing costs.

Results are folders that ``eval/runner.py`` resumes, costs are files; a later run of the same comparison finds both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from eval.candidate import Candidate, describe, machine
from eval.compare.config import CompareConfig
from eval.compare.cost import TimedCandidate, count_work, measure_cost
from eval.result import Result, codec_line, problem_lines
from eval.runner import RunOptions, run_anew
from eval.store import JUDGED, PICTURES, read_stage, write_json
from eval.task import Record
from eval.worlds.benchmark import BENCHMARK_SEED, IN_DISTRIBUTION, benchmark_prompts
from eval.worlds.judge import frechet
from eval.worlds.report import shown_prompts, world_task
from eval.worlds.task import WorldOptions, WorldTask
from janusflow.checkpoints.pretrained import Bundle
from janusflow.options import SamplingOptions
from janusflow.worlds.scenes import World

FORMAT = 4  # of the costs; raised where a change of the code changes what they mean
SHOWN_PROMPTS = 2  # of each tag, side by side
SHOWN_SEEDS = 2


class Measured(NamedTuple):
    """Everything about one training seed of a model."""

    facts: Record  # what it is
    scores: dict[str, Record]  # of each split, prompt by prompt
    cost: Record | None
    sweep: list[tuple[SamplingOptions, Record]]
    shown: list[tuple[str, list[Path]]]  # prompts with their pictures, seeds 0, 1, …


def measure_model(bundle: Bundle, config: CompareConfig, home: Path, label: str, with_cost: bool) -> Measured:
    """All points of one model, in the folder ``home``. Raises ``ValueError`` where that cannot be written."""
    main, swept = config.main_options(bundle.model.head), config.sweep_options(bundle.model.head)
    facts = describe(bundle)
    kept = {name: fact for name, fact in facts.items() if name != "reconstructions"}
    protocol = {"format": FORMAT, "benchmark_seed": BENCHMARK_SEED, **kept, "batch_size": config.batch_size}
    protocol |= {"machine": machine(bundle.model.llm.device)}
    with_cost = with_cost and config.generates
    with tqdm(total=1 + with_cost + len(swept), desc=label, unit="point") as bar:
        side = bundle.model.config.vision.image_size
        task = world_task(config.world, config, config.tasks, side=side)
        result = score(task, Candidate(bundle, main, config.batch_size), home / "scores")
        shown = shown_prompts(result, config.prompts_per_tag, SHOWN_PROMPTS)
        scores = by_prompt(result, home / "scores", config.world, config.reference_images)
        bar.update()
        cost = None
        if with_cost:
            asked = {**protocol, "sampling": main.stated(), "repeats": config.repeats}
            measure = partial(measure_cost, bundle, cost_prompts(config.world), main, config.batch_size, config.repeats)
            cost = measured(home / "cost.json", asked, measure)
            bar.update()
        sweep = []
        for options in swept:
            bar.set_postfix_str(options.short)
            sweep.append((options, measure_point(bundle, options, config, home / "sweep", protocol)))
            bar.update()
    pictures = home / "scores" / PICTURES
    files = [(prompt, [pictures / path for path in paths[:SHOWN_SEEDS]]) for prompt, paths in shown]
    facts |= {"sampling": main.describe(), "codec_alone": codec_line(result)}
    return Measured(facts, scores, cost, sweep, files)


def measure_point(
    bundle: Bundle, options: SamplingOptions, config: CompareConfig, home: Path, protocol: Record
) -> Record:
    """Scores in distribution and cost of a picture at one setting; the seconds are those of drawing the scores."""
    counts = config.sweep_prompts_per_tag, config.sweep_images_per_prompt
    given = WorldOptions(
        config.cast, config.level, *counts, questions_per_kind=0, reference_images=config.reference_images
    )
    task = WorldTask(given, splits=(IN_DISTRIBUTION,))
    candidate = TimedCandidate(bundle, options, config.batch_size)
    folder = home / options.short
    point = by_prompt(score(task, candidate, folder), folder, config.world)[IN_DISTRIBUTION]

    def measure() -> Record:
        return {**candidate.timing(task.drawings()), **count_work(bundle, cost_prompts(config.world), options)}

    asked = {**protocol, "sampling": options.stated(), "counts": counts}
    return {**point, **measured(folder.with_suffix(".json"), asked, measure)}


def score(task: WorldTask, candidate: Candidate, folder: Path) -> Result:
    """The result, complete. Raises ``ValueError`` where it is not."""
    place = RunOptions(folder, candidate.batch_size, device=str(candidate.bundle.model.llm.device), workers=0)
    result = run_anew(task, place, lambda: candidate)
    if not result["complete"]:
        raise ValueError(f"{folder} is incomplete: {'; '.join(problem_lines(result))}")
    return result


def by_prompt(result: Result, folder: Path, world: World, references: int | None = None) -> dict[str, Record]:
    """What intervals and differences are made of: the values of every prompt and question, in their order.

    With ``references`` also the Fréchet distance with each prompt's pictures left out in turn.
    """
    features = {name: one.features for name, one in read_stage(folder, JUDGED).items()} if references else {}
    found: dict[str, Record] = {}
    for split, details in result["details"].items():
        items = [one for one in result["items"] if one["id"].startswith(f"{split}/")]
        prompts: dict[str, list[Record]] = {}
        for item in items:
            if "prompt" in item:
                prompts.setdefault(item["id"].split("/")[1], []).append(item)
        asked = [one for one in items if "question" in one]
        values: Record = {}
        if prompts:
            cosines = [torch.tensor([one["verdict"]["cosine"] for one in of_prompt]) for of_prompt in prompts.values()]
            values |= {
                "tags": [of_prompt[0]["tag"] for of_prompt in prompts.values()],
                "correct": [[one["correct"] for one in of_prompt] for of_prompt in prompts.values()],
                "similarity": [(100 * of_prompt).tolist() for of_prompt in cosines],
                "frechet": details["frechet_siglip"],
                "frechet_floor": details["frechet_siglip_floor"],
                "diversity": details["diversity"].get("overall"),
                **{name: details.get(name) for name in ("recall", "recall_floor", "nearest", "nearest_floor")},
            }
        if prompts and references:
            rows = [np.array([features[one["id"]] for one in of_prompt]) for of_prompt in prompts.values()]
            values["frechet_without"] = [
                frechet(np.concatenate(rows[:left_out] + rows[left_out + 1 :]), world, split, references)
                for left_out in tqdm(range(len(rows)), "Fréchet distances", leave=False, disable=None)
            ]
        if asked:
            values |= {"kinds": [one["kind"] for one in asked], "right": [[one["right"]] for one in asked]}
        found[split] = values
    return found


def cost_prompts(world: World) -> list[str]:
    """The prompts whose pictures' operations are counted: the first of every tag."""
    return [prompt["prompt"] for prompt in benchmark_prompts(world, 1, IN_DISTRIBUTION)]


def measured(path: Path, protocol: Record, measure: Callable[[], Record]) -> Record:
    """What ``path`` holds, where it was measured under this very ``protocol``; else ``measure()``, kept there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None  # there is none, or it is damaged
    if isinstance(content, dict) and content.get("protocol") == json.loads(json.dumps(protocol)):
        found: Record = content["result"]
        return found
    found = measure()
    write_json(path, {"protocol": protocol, "result": found})
    return found
