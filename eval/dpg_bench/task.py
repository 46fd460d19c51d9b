"""DPG-Bench as a task: for each of 1,065 prompts four pictures as a 2 x 2 grid, or one; judged by questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from eval.dpg_bench.grids import SIDES, count_pictures
from eval.dpg_bench.judges import MPLUG, VQA_MODEL, DPGJudge, find_answerer, load_answerer
from eval.dpg_bench.questions import PROTOCOLS, Item, Row, check_rows, group_rows, read_prompts, read_rows
from eval.dpg_bench.score import BROAD, CATEGORIES, CROPS, score_items
from eval.files import find_data_file
from eval.judge_weights import other_judge, weight_files
from eval.subsets import evenly
from eval.task import Drawing, Judged, Need, Question, Record, Scored, Task, Work, joined
from janusflow.options import option

QUESTION_FILES = ("dpg_bench.csv", "**/dpg_bench.csv")
JUDGES = {"mplug": "mPLUG-large", "transformers": VQA_MODEL}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class DPGOptions:
    """Where questions and judge are, and how answers become scores."""

    data: str | None = option(None, "dpg_bench.csv, or a folder that holds it (and prompts/ or dpg_prompts.json)")
    protocol: str = option("official", "official: the official script, its faults included; corrected", PROTOCOLS)
    judge: str = option("mplug", "mplug: the benchmark's (extra dpg); transformers: a BLIP or ViLT", tuple(JUDGES))
    judge_model: str | None = option(None, f"folder or id of the judge (default: {MPLUG} or {VQA_MODEL})")
    pic_num: int | None = option(None, "pictures in a file, 4 as a 2 x 2 grid (default: 4; --images: by --resolution)")
    resolution: int | None = option(None, "side of one picture in pixels; files of another size are refused")
    categories: str = option(
        "raw",
        "what categories are means of; raw: the answers, as in the official script; zeroed: without what a failed "
        "parent takes away (with --protocol corrected)",
        CATEGORIES,
    )


class DPGBench(Task):
    """DPG-Bench (Hu et al. 2024, "ELLA", arXiv:2403.05135). The title names judge and protocol."""

    name = "dpg-bench"
    title = "DPG-Bench"
    size = 1065  # a grid for each of the paper's prompts
    options = DPGOptions
    needs: ClassVar[tuple[Need, ...]] = (
        Need("questions and prompts", "https://github.com/TencentQQGYLab/ELLA (folder dpg_bench)", "10 MB", "--data"),
        Need("judge", f"{MPLUG} by modelscope, or {VQA_MODEL}", "3 GB, or 1.5 GB", "--judge-model FOLDER"),
    )
    columns: ClassVar[Mapping[str, str]] = {"DPG-Bench": "overall"} | {
        f"DPG-Bench: {name}": name for name in (*BROAD, "overall")
    }
    tolerated = ("unparseable", "left out")  # the official script loses an item of the real file
    given: DPGOptions

    def __init__(self, options: DPGOptions) -> None:
        super().__init__(replace(options, pic_num=CROPS if options.pic_num is None else options.pic_num))
        self.said = options.pic_num  # of files that are there already
        if self.given.pic_num not in SIDES:
            raise ValueError(f"--pic-num must be one of {', '.join(map(str, SIDES))}, not {options.pic_num}")
        if options.resolution is not None and options.resolution < 1:
            raise ValueError(f"--resolution must be at least 1, not {options.resolution}")
        if options.protocol == "official" and options.categories != "raw":
            raise ValueError("--categories zeroed goes with --protocol corrected: the official script's are raw")
        judge = options.judge_model or JUDGES[options.judge]
        self.title = f"DPG-Bench (judge {judge}, {options.protocol} protocol)"  # type: ignore[misc]

    @cached_property
    def question_file(self) -> Path:
        """The file behind ``--data``. Raises ``ValueError`` where there is none."""
        return find_data_file(self.given.data, self.name, self.needs[:1], *QUESTION_FILES)

    @cached_property
    def rows(self) -> list[Row]:
        """All questions."""
        return read_rows(self.question_file)

    @cached_property
    def items(self) -> dict[str, Item]:
        """All questions by item. They are all asked; the protocol chooses among the answers."""
        return group_rows(self.rows, "corrected")

    def prepare(self, limit: int | None = None) -> Work:
        from janusflow.weights import digest

        prompts, problems = read_prompts(self.rows, self.question_file.parent)
        drawings = [Drawing(item, prompts[item], self.seeds, f"{item}.png") for item in self.items]
        drawings = evenly(drawings, limit, self.place)
        protocol = {"question file": digest([self.question_file]), **self.pictures}
        return Work(drawings=drawings, problems=joined(check_rows(self.rows), problems), protocol=protocol)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the pictures in a file."""
        return tuple(range(self.given.pic_num or CROPS))

    @property
    def pictures(self) -> Record:
        """What the settings of a result folder say of them; one that says nothing holds grids of four."""
        return {} if len(self.seeds) == CROPS else {"pictures in a file": len(self.seeds)}

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        """By the collection that a prompt is from, which begins its id: partiprompts12, midjourney3."""
        return "".join(takewhile(str.isalpha, item.id)), item.id

    def find_pictures(self, folder: Path, work: Work) -> Work:
        """Files of other image formats than PNG are found too; what is no item's picture is "unexpected".

        Raises ``ValueError`` for a file whose size is not what ``--pic-num`` and ``--resolution`` say.
        """
        files: dict[str, Path] = {}
        unexpected = []
        for path in sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() != ".png", path.name)):
            if path.suffix.lower() in SUFFIXES and path.stem in self.items and path.stem not in files:
                files[path.stem] = path
            else:
                unexpected.append(path.name)
        count = count_pictures(files.values(), self.said, self.given.resolution)
        self.given = replace(self.given, pic_num=count)
        missing = [drawing.id for drawing in work.drawings if drawing.id not in files]
        drawings = [
            one._replace(seeds=self.seeds, path=files[one.id].name if one.id in files else one.path)
            for one in work.drawings
        ]
        problems = joined(work.problems, {"missing": missing, "unexpected": sorted(unexpected)})
        return replace(work, drawings=drawings, problems=problems, protocol={**work.protocol, **self.pictures})

    def judge_protocol(self) -> Record:
        from janusflow.weights import digest

        folder = find_answerer(self.given.judge, self.given.judge_model)
        name = self.given.judge_model or {"mplug": MPLUG, "transformers": VQA_MODEL}[self.given.judge]
        return {"VQA model": {"name": name, "sha256": digest(weight_files(folder))}}

    def departures(self, judge: Record) -> list[str]:
        """The official judge is mPLUG-large, with the official script's rules over four pictures a prompt."""
        names = (MPLUG, MPLUG.replace("damo/", "iic/"))  # modelscope calls it by both
        usual = self.given.judge == "mplug" and not all(other_judge(judge["VQA model"], name) for name in names)
        told = [] if usual else [f"judge {self.given.judge_model or JUDGES[self.given.judge]}"]
        told += [] if self.given.protocol == "official" else [f"{self.given.protocol} protocol"]
        told += [] if self.given.categories == "raw" else [f"{self.given.categories} categories"]
        return told + ([] if len(self.seeds) == CROPS else ["one picture a prompt"])

    def load_judge(self) -> DPGJudge:
        answerer = load_answerer(self.given.judge, self.given.judge_model, self.device)
        return DPGJudge(self.items, answerer, len(self.seeds), self.given.resolution)

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        names = [drawing.id for drawing in work.drawings]
        records = {name: judged[name].record for name in names if name in judged}
        said = {name: record["answers"] for name, record in records.items()}
        return score_items(self.rows, said, names, self.given.protocol, len(self.seeds), self.given.categories)
