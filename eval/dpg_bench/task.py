"""DPG-Bench as a task: a 2 x 2 grid of pictures for every one of 1,065 prompts, judged by questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from eval.dpg_bench.judges import MPLUG, VQA_MODEL, DPGJudge, find_answerer, load_answerer
from eval.dpg_bench.questions import PROTOCOLS, Item, Row, check_rows, group_rows, read_prompts, read_rows
from eval.dpg_bench.score import BROAD, CROPS, score_items
from eval.files import find_data, find_file
from eval.flags import flag
from eval.judge_weights import weight_files
from eval.prompt_lists import evenly
from eval.task import Drawing, Judged, Need, Question, Record, Scored, Task, Work, joined

QUESTION_FILES = ("dpg_bench.csv", "**/dpg_bench.csv")
JUDGES = {"mplug": "mPLUG-large", "transformers": VQA_MODEL}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class DPGOptions:
    """Where questions and judge are, and how answers become scores."""

    data: str | None = flag(None, "dpg_bench.csv, or a folder that holds it (and prompts/ or dpg_prompts.json)")
    protocol: str = flag("official", "official: the official script, its faults included; corrected", PROTOCOLS)
    judge: str = flag("mplug", "mplug: the benchmark's (extra dpg); transformers: a BLIP or ViLT", tuple(JUDGES))
    judge_model: str | None = flag(None, f"folder or id of the judge (default: {MPLUG} or {VQA_MODEL})")


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
        super().__init__(options)
        for what, value, known in (("--protocol", options.protocol, PROTOCOLS), ("--judge", options.judge, JUDGES)):
            if value not in known:
                raise ValueError(f"{what} must be one of {', '.join(known)}, not {value!r}")
        judge = options.judge_model or JUDGES[options.judge]
        self.title = f"DPG-Bench (judge {judge}, {options.protocol} protocol)"  # type: ignore[misc]

    @cached_property
    def question_file(self) -> Path:
        """The file behind ``--data``. Raises ``ValueError`` where there is none."""
        if self.given.data is not None and Path(self.given.data).is_file():
            return Path(self.given.data)
        return find_file(find_data(self.given.data, self.name, self.needs[:1]), *QUESTION_FILES)

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
        seeds = tuple(range(CROPS))
        drawings = [Drawing(item, prompts[item], seeds, f"{item}.png") for item in self.items]
        drawings = evenly(drawings, limit, self.place)
        protocol = {"question file": digest([self.question_file])}
        return Work(drawings=drawings, problems=joined(check_rows(self.rows), problems), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        """By the collection that a prompt is from, which begins its id: partiprompts12, midjourney3."""
        return "".join(takewhile(str.isalpha, item.id)), item.id

    def find_pictures(self, folder: Path, work: Work) -> Work:
        """Files of other image formats than PNG are found too; what is no item's picture is "unexpected"."""
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        files: dict[str, Path] = {}
        unexpected = []
        for path in sorted(folder.iterdir(), key=lambda path: (path.suffix.lower() != ".png", path.name)):
            if path.suffix.lower() in SUFFIXES and path.stem in self.items and path.stem not in files:
                files[path.stem] = path
            else:
                unexpected.append(path.name)
        missing = [drawing.id for drawing in work.drawings if drawing.id not in files]
        drawings = [
            drawing._replace(path=files[drawing.id].name) if drawing.id in files else drawing
            for drawing in work.drawings
        ]
        problems = joined(work.problems, {"missing": missing, "unexpected": sorted(unexpected)})
        return replace(work, drawings=drawings, problems=problems)

    def judge_protocol(self) -> Record:
        from janusflow.weights import digest

        folder = find_answerer(self.given.judge, self.given.judge_model)
        name = self.given.judge_model or {"mplug": MPLUG, "transformers": VQA_MODEL}[self.given.judge]
        return {"VQA model": {"name": name, "sha256": digest(weight_files(folder))}}

    def load_judge(self) -> DPGJudge:
        return DPGJudge(self.items, load_answerer(self.given.judge, self.given.judge_model, self.device))

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        names = [drawing.id for drawing in work.drawings]
        records = {name: judged[name].record for name in names if name in judged}
        damaged = [f"{name}: {record['problem']}" for name, record in records.items() if "problem" in record]
        said = {name: record["answers"] for name, record in records.items()}
        scored = score_items(self.rows, said, names, self.given.protocol)
        named = {line.split(":")[0] for line in damaged}
        missing = [name for name in scored.problems.get("missing", ()) if name not in named]
        return scored._replace(problems=joined({**scored.problems, "missing": missing}, {"damaged": damaged}))
