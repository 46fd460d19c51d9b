"""All measurements of one model, each a file that a later run of the same comparison finds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from eval.compare.config import CompareConfig, short_name
from eval.compare.cost import measure_cost
from eval.compare.judging import judge_answers, judge_pictures
from eval.compare.points import Result, measured
from eval.compare.sweep import cost_prompts, measure_point
from eval.provenance import describe, machine
from eval.shapes.benchmark import BENCHMARK_SEED, SPLITS
from eval.shapes.prompts import benchmark_prompts
from janusflow.checkpoints.pretrained import Bundle
from janusflow.options import SamplingOptions
from janusflow.pictures import read_image, save_png

FORMAT = 2  # of the points; raised where a change of the code changes what they mean
SHOWN_PROMPTS = 2  # of each tag, side by side
SHOWN_SEEDS = 2
MAIN_SETTINGS = (
    "tasks",
    "prompts_per_tag",
    "images_per_prompt",
    "questions_per_kind",
    "reference_images",
    "batch_size",
)
SWEEP_SETTINGS = ("sweep_prompts_per_tag", "sweep_images_per_prompt", "reference_images", "batch_size")

Pictures = list[list[Image.Image]]  # of each shown prompt, seeds 0, 1, …


class Measured(NamedTuple):
    """Everything about one training seed of a model."""

    facts: Result  # what it is
    scores: Result
    cost: Result | None
    sweep: list[tuple[SamplingOptions, Result]]
    shown: Pictures


def measure_model(bundle: Bundle, config: CompareConfig, home: Path, label: str, with_cost: bool) -> Measured:
    """All points of one model, in the folder ``home``. Raises ``ValueError`` where that cannot be written."""
    main, swept = config.main_options(bundle.model.head), config.sweep_options(bundle.model.head)
    facts = describe(bundle)
    timed = {"machine": machine(bundle.model.llm.device)}
    with_cost = with_cost and config.generates
    with tqdm(total=1 + with_cost + len(swept), desc=label, unit="point") as bar:

        def point(name: str, protocol: Result, measure: Callable[[], Result]) -> Result:
            bar.set_postfix_str(name)
            result = measured(
                home / f"{name}.json",
                {"format": FORMAT, "benchmark_seed": BENCHMARK_SEED, **facts, **protocol},
                measure,
            )
            bar.update()
            return result

        files = shown_files(home / "pictures", config)
        if not all(path.exists() for row in files for path in row):
            (home / "scores.json").unlink(missing_ok=True)  # drawn anew
        asked = {"sampling": main.stated(), **{name: getattr(config, name) for name in MAIN_SETTINGS}}
        scores = point("scores", asked, partial(measure_scores, bundle, config, files))
        cost = None
        if with_cost:
            size, repeats = config.batch_size, config.repeats
            asked = {"sampling": main.stated(), "batch_size": size, "repeats": repeats, **timed}
            cost = point("cost", asked, partial(measure_cost, bundle, cost_prompts(), main, size, repeats))
        sweep = []
        for options in swept:
            asked = {"sampling": options.stated(), **timed, **{name: getattr(config, name) for name in SWEEP_SETTINGS}}
            measure = partial(measure_point, bundle, options, config)
            sweep.append((options, point(f"sweep/{short_name(options)}", asked, measure)))
    shown = [[read_image(path) for path in row] for row in files]
    return Measured({**facts, "sampling": main.describe()}, scores, cost, sweep, shown)


def measure_scores(bundle: Bundle, config: CompareConfig, files: list[list[Path]]) -> Result:
    """The scores of both splits, prompt by prompt; the pictures to show are written to ``files``."""
    result: Result = {}
    options = config.main_options(bundle.model.head)
    for name, split in SPLITS.items():
        result[name] = {}
        if config.generates:
            counts = config.prompts_per_tag, config.images_per_prompt
            judged, drawn = judge_pictures(bundle, options, split, *counts, config)
            result[name] |= judged
            if split == "train":
                settings = {"sampling": options.describe(), "checkpoint": bundle.digest}
                for (number, prompt), row in zip(shown_prompts(config).items(), files, strict=True):
                    for seed, path in enumerate(row):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        save_png(drawn[number][seed], path, {"prompt": prompt, "seed": seed, **settings})
        if "understanding" in config.tasks:
            result[name] |= judge_answers(bundle, split, config)
    return result


def shown_prompts(config: CompareConfig) -> dict[int, str]:
    """Number and text of the prompts whose pictures stand side by side; none where nothing is drawn."""
    if not config.generates:
        return {}
    prompts = benchmark_prompts(config.prompts_per_tag, "train", BENCHMARK_SEED)
    return {n: p["prompt"] for n, p in enumerate(prompts) if n % config.prompts_per_tag < SHOWN_PROMPTS}


def shown_files(folder: Path, config: CompareConfig) -> list[list[Path]]:
    """The files of these pictures, a row for each prompt."""
    seeds = range(min(config.images_per_prompt, SHOWN_SEEDS))
    return [[folder / f"{number}-{seed}.png" for seed in seeds] for number in shown_prompts(config)]
