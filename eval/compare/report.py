"""The report of a comparison: what each table says, from ``comparison.json``'s content and the pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.compare.plots import COST_NAMES, QUALITY_NAMES
from eval.compare.summary import COSTS, GENEVAL, MEAN, QUALITIES
from eval.pages.page import Part, Picture, Section, Table, Text
from eval.pages.papers import as_printed, family_rows, published_tables
from eval.worlds.report import number
from janusflow.worlds.vocabulary import GENEVAL_TAGS

SPLIT_NAMES = {"in_distribution": "In distribution", "held_out": "Held out", "reworded": "Reworded"}
INTERVALS = (
    "In brackets: 95 % intervals over prompts; a second sample of prompts from the same world would move the scores "
    "within them. Accuracies and similarities: percentile bootstrap of {bootstrap} resamples, prompts resampled within "
    "their tag (questions within their kind) with all of their images. Fréchet distances: stratified jackknife over "
    "prompts, since a resample that repeats pictures is always farther away. Where all prompts agree, an interval has "
    "no width, which is no certainty."
)
NO_INTERVAL = "[–] is no interval: a tag's only prompt (a kind's only question) cannot tell how much others differ."
SPREAD = "After ±: the sample standard deviation over training seeds; the score in front of it is their mean."
SEED_NOTE = "A model with one training seed says nothing about how much another training would differ."
PAIRED = (
    "Paired: both models are judged on the same resampled prompts. A star marks an interval without 0; among this many "
    "rows, some have one by chance. The intervals hold for these checkpoints; other training seeds would differ more."
)
NOT_COMPARABLE = (
    "These numbers are of other models at another scale (billions of parameters, 256 or 384 pixels, photographs and "
    "open prompts) on the real benchmarks. They are not comparable to a toy world's above, which only share "
    "GenEval's rules with them; they are here for the papers' orderings."
)


def build_sections(comparison: dict[str, Any], pictures: dict[str, Path]) -> list[Section]:
    """The page. ``pictures`` are files by name: samples, losses, and ``overall-flops`` … of the sweep."""
    names = list(comparison["models"])
    sections = [Section(" against ".join(names), [_models(comparison)], level=1), *score_sections(comparison)]
    if "samples" in pictures:
        said = Text(
            "Rows: the benchmark's first prompts of each tag. Every model drew them with the same seeds, 0 first."
        )
        sections.append(Section("Side by side", [said, Picture(pictures["samples"], "The same prompts and seeds")]))
    if comparison["cost"]:
        sections.append(_cost(comparison))
    if any(comparison["sweep"].values()):
        sections.append(_sweep(comparison, pictures))
    if "losses" in pictures:
        sections.append(Section("Losses", [Picture(pictures["losses"], "Training losses, smoothed")]))
    return [*sections, *_papers(comparison), _protocol(comparison)]


def _models(comparison: dict[str, Any]) -> Table:
    rows = [
        [
            name,
            model["head"],
            f"{model['parameters'] / 1e6:.2f} M",
            model["sampling"],
            str(len(model["checkpoints"])),
            ", ".join(model["checkpoints"]),
        ]
        for name, model in comparison["models"].items()
    ]
    return Table(["model", "drawn by", "parameters", "settings", "training seeds", "checkpoints"], rows)


def score_tables(comparison: dict[str, Any]) -> list[tuple[str, Table]]:
    """A table for each split, under its title: a score a row, a model a column."""
    names = list(comparison["models"])
    return [
        (
            SPLIT_NAMES[split],
            Table(["score", *names], [[row["label"], *(cell(row["models"][name]) for name in names)] for row in rows]),
        )
        for split, rows in comparison["scores"].items()
    ]


def score_sections(comparison: dict[str, Any]) -> list[Section]:
    """The scores and their differences between models, and what their intervals mean."""
    parts: list[Part] = []
    for title, table in score_tables(comparison):
        parts += [Text(f"{title}:"), table]
    several = any(len(model["checkpoints"]) > 1 for model in comparison["models"].values())
    said = [INTERVALS.format(bootstrap=comparison["protocol"]["bootstrap"])]
    cells = [one for rows in comparison["scores"].values() for row in rows for one in row["models"].values()]
    said += [NO_INTERVAL] if lacks_interval(cells) else []
    said.append(SPREAD if several else SEED_NOTE)
    return [Section("Scores", [*parts, Text(" ".join(said))]), *_differences(comparison)]


def _differences(comparison: dict[str, Any]) -> list[Section]:
    parts: list[Part] = []
    for split, rows in comparison["scores"].items():
        compared = [row for row in rows if row["differences"]]
        if compared:
            table = [[row["label"], *(gap(one) for one in row["differences"].values())] for row in compared]
            parts += [Text(f"{SPLIT_NAMES[split]}:"), Table(["score", *compared[0]["differences"]], table)]
    return [Section("Differences", [Text(PAIRED), *parts])] if parts else []


def _cost(comparison: dict[str, Any]) -> Section:
    costs: dict[str, dict[str, Any]] = comparison["cost"]
    batch = comparison["protocol"]["batch_size"]
    columns = {
        "seconds, batch 1": lambda c: digits(c["seconds_alone"]),
        f"seconds, batch {batch}": lambda c: digits(c["seconds"]),
        "LLM passes (rows)": lambda c: digits(c["llm_rows"]),
        "LLM positions": lambda c: digits(c["llm_positions"]),
        "GFLOPs": lambda c: digits(c["flops"] / 1e9),
        "… codec's decoder": lambda c: digits(c["flops_codec"] / 1e9),
        f"peak MiB, batch {batch}": lambda c: digits(c["memory"] / 2**20),
        "parameters (M)": lambda c: digits(c["parameters"] / 1e6),
        "… codec (M)": lambda c: digits(c["parameters_codec"] / 1e6),
    }
    rows = [[label, *(read(cost) for cost in costs.values())] for label, read in columns.items()]
    said = (
        "Per image at the main table's settings, by measurement. Passes: rows that the LLM runs, the prompt's and "
        "guidance's included, and the positions in all of them. Operations: two for each multiply-add of matrix "
        "products, attention and convolutions in a real draw. Memory: weights and live tensors at the peak"
        f"{', as the CUDA allocator counts' if comparison['protocol']['device'].startswith('cuda') else ''}. Seconds: "
        f"medians of {comparison['protocol']['repeats']} draws on {comparison['protocol']['machine']}; they belong to "
        "that machine and to what else it was doing."
    )
    return Section("Cost of an image", [Text(said), Table(["", *costs], rows)])


def _sweep(comparison: dict[str, Any], pictures: dict[str, Path]) -> Section:
    protocol = comparison["protocol"]
    images = protocol["sweep_prompts_per_tag"] * protocol["sweep_images_per_prompt"] * len(GENEVAL_TAGS)
    batch = next(point["timed_batch"] for points in comparison["sweep"].values() for point in points)
    said = (
        f"Each point is {images} images in distribution (prompts of each tag: {protocol['sweep_prompts_per_tag']}, "
        f"seeds of each prompt: {protocol['sweep_images_per_prompt']}), timed at batch {batch} "
        "after one picture to warm up. Its Fréchet distance is comparable to other points' and not to the main "
        "table's: few images lie farther away. Labels: 30w4 is 30 steps at guidance 4, T1w4 is temperature 1 at "
        "guidance 4. Lines are Pareto fronts of the values as they are, noise included. Labels without room are left "
        "out; the tables have all."
    )
    if lacks_interval([point for points in comparison["sweep"].values() for point in points]):
        said += f" {NO_INTERVAL}"
    parts: list[Part] = [Text(said)]
    for quality in QUALITIES:
        for cost in COSTS:
            caption = f"{QUALITY_NAMES[quality]} against {COST_NAMES[cost]}"
            parts.append(Picture(pictures[f"{quality}-{cost}"], caption))
    header = [
        "",
        "GenEval rules",
        "diversity",
        "Fréchet distance",
        "similarity",
        "GFLOPs",
        "seconds",
        "LLM passes (rows)",
        "front of",
    ]
    for name, points in comparison["sweep"].items():
        rows = [
            [
                point["setting"],
                cell({"value": point["overall"], "low": point["low"], "high": point["high"], "sd": None}),
                number(point["diversity"]),
                number(point["frechet"]),
                number(point["similarity"]),
                digits(point["flops"] / 1e9),
                digits(point["seconds"]),
                digits(point["llm_rows"]),
                ", ".join(f"{SHORT[quality]}/{cost}" for quality, cost in point["fronts"]),
            ]
            for point in points
        ]
        parts += [Text(f"{name}:"), Table(header, rows)]
    return Section("Quality against compute", parts)


SHORT = {"overall": "GenEval", "frechet": "Fréchet", "diversity": "diversity"}


def _papers(comparison: dict[str, Any]) -> list[Section]:
    parts: list[Part] = [Text(NOT_COMPARABLE)]
    ours = {row["label"]: row["models"] for row in comparison["scores"].get("in_distribution", [])}
    for table in published_tables():
        rows = as_printed(table, family_rows(table))
        if table["title"] == "GenEval":
            rows += [
                _our_geneval(name, ours, len(table["columns"]))
                for name in comparison["models"]
                if f"{GENEVAL}: {MEAN}" in ours
            ]
        said = f"{table['paper']}, Table {table['table']}: {table['title']}. Protocol: {table['protocol']}."
        parts += [Text(said), Table(table["columns"], rows)]
    return [Section("The papers' numbers", parts)]


def _our_geneval(name: str, ours: dict[str, Any], columns: int) -> list[str]:
    values = [number(ours[f"{GENEVAL}: {tag}"][name]["value"]) for tag in (*GENEVAL_TAGS, MEAN)]
    return [f"toy world: {name}", *["–"] * (columns - 1 - len(values)), *values]


def _protocol(comparison: dict[str, Any]) -> Section:
    protocol = comparison["protocol"]
    rows = [[key.replace("_", " "), _plain(value)] for key, value in protocol.items()]
    rows += [
        [f"{name}: {key.replace('_', ' ')}", _plain(value)]
        for name, model in comparison["models"].items()
        for key, value in model.items()
    ]
    said = (
        "GenEval's rules run over the cast's detector; held out are compositions that training "
        "never shows, in the tags that can show one, reworded are constructions of sentences that it never shows. "
        "Diversity: how much a prompt's pictures differ in what it leaves open, over that of "
        "rendered scenes. Fréchet distances are on the small SigLIP's features and no FID. "
        "Answers are greedy and judged by exact match."
    )
    return Section("Protocol", [Text(said), Table(["", "value"], rows)])


def cell(entry: dict[str, Any]) -> str:
    """A score: its value, spread over training seeds and interval, as far as it has them; [–] where it should."""
    spread = "" if entry["sd"] is None else f" ± {entry['sd']:.3f}"
    if "low" not in entry:
        return number(entry["value"]) + spread
    ends = "–" if entry["low"] is None else f"{number(entry['low'])}, {number(entry['high'])}"
    return f"{number(entry['value'])}{spread} [{ends}]"


def gap(entry: dict[str, Any]) -> str:
    """A difference with its interval, and a star where that is on one side of 0."""
    if entry["low"] is None:
        return f"{entry['value']:+.3f} [–]"
    star = " *" if entry["low"] > 0 or entry["high"] < 0 else ""
    return f"{entry['value']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]{star}"


def lacks_interval(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an interval could not be computed."""
    return any("low" in entry and entry["low"] is None for entry in entries)


def digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    if value is None or value == "":
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
