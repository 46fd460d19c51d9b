"""What stands in the papers' columns: of every task the whole benchmark by the official judge, and nothing else."""

import json
from types import SimpleNamespace

import pytest

from eval.dpg_bench.judges import MPLUG
from eval.dpg_bench.task import DPGBench
from eval.fid.clip_score import DEFAULT_CLIP, CLIPScore
from eval.fid.task import COCO, MJHQ
from eval.geneval.detector import DETECTOR
from eval.geneval.task import GenEval
from eval.judge_weights import PUBLISHED
from eval.result import title_and_columns
from eval.task import Scored, Task
from eval.tasks import all_tasks
from eval.understanding.mm_vet import MMVet, MMVetOptions
from eval.understanding.mmbench import SIZES, MMBench

TASKS = all_tasks()
CLIP = {"name": "copies/clip", "sha256": PUBLISHED[DEFAULT_CLIP][0]}
RANDOM_CLIP = {"name": DEFAULT_CLIP, "sha256": "0123456789ab"}  # called like the official one
MASK2FORMER = {"name": DETECTOR, "sha256": "0123456789ab"}
RANDOM = {"name": "judges/random", "sha256": "0123456789ab"}
JUDGES = {  # the official ones, as judge_protocol describes them
    GenEval: {"detector": MASK2FORMER, "colours": CLIP},
    DPGBench: {"VQA model": {"name": MPLUG, "sha256": "0123456789ab"}},
    CLIPScore: {"clip": CLIP},
}
RANDOM_JUDGES = [  # task, options, its judges, what the title must say
    (GenEval, {}, {"detector": RANDOM, "colours": CLIP}, "GenEval (HF detector), random"),
    (
        GenEval,
        {},
        {"detector": MASK2FORMER, "colours": RANDOM_CLIP},
        "clip-vit-large-patch14 with weights 0123456789ab",
    ),
    (DPGBench, {"judge": "transformers"}, {"VQA model": RANDOM}, "judge Salesforce/blip-vqa-capfilt-large"),
    (DPGBench, {"judge_model": "judges/random"}, {"VQA model": RANDOM}, "judge judges/random"),
    (CLIPScore, {}, {"clip": RANDOM_CLIP}, "CLIP score, clip-vit-large-patch14 with weights 0123456789ab"),
    (CLIPScore, {}, {"clip": RANDOM}, "CLIP score, random"),
]


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    """A file of as many prompts as MJHQ has, and one of 110."""
    folder = tmp_path_factory.mktemp("captions")
    for name, count in (("meta_data.json", 30_000), ("few.json", 110)):
        (folder / name).write_text(json.dumps({f"{number:05}": f"photo {number}" for number in range(count)}))
    return folder


@pytest.fixture
def make(captions):
    """A task with the official options, or others; as if its files were there."""

    def make_it(kind: type[Task], **options: object) -> Task:
        if kind is CLIPScore:
            options = {"prompts": captions / "meta_data.json", "subset": 10_000, **options}
        task = kind(kind.options(**options))
        if kind in (MJHQ, COCO):  # the pictures, and the Inception
            vars(task)["real"] = (None, [""] * (task.given.reference_images or task.reference_count))
            if task.given.extractor == "inception":
                vars(task)["extractor"] = SimpleNamespace(is_inception=True, name="inception")
        if kind is MMBench:
            task.source, task.size = {"file": next(iter(SIZES))}, next(iter(SIZES.values()))
        return task

    return make_it


def stands(task: Task, judge: dict | None = None, held: int | None = None, done: int | None = None) -> tuple:
    """The title and the columns of a result of ``held`` items, ``done`` of which were judged or answered."""
    held = held or task.size or 30_000
    scored = Scored("the main score", {}, {})
    judge = JUDGES.get(type(task), {}) if judge is None else judge
    return title_and_columns(task, scored, judge, held, held if done is None else done)[:2]


@pytest.mark.parametrize("kind", TASKS)
def test_the_whole_benchmark_by_the_official_judge_alone_stands_in_the_papers_columns(make, kind):
    task = make(kind)
    assert stands(task) == (task.title, dict(kind.columns))
    assert stands(task, done=1) == (task.title, {}), "a limit"
    assert stands(task, done=(task.size or 30_000) - 1)[1] == {}, "a missing item"
    if kind.columns and kind not in (MJHQ, COCO, CLIPScore):  # whose scores' names or departures count
        assert stands(task, held=task.size - 1) == (f"{task.title}, {task.size - 1} of {task.size} items", {})


@pytest.mark.parametrize(("kind", "options", "judge", "said"), RANDOM_JUDGES)
def test_another_judge_is_named_and_keeps_out(make, kind, options, judge, said):
    title, columns = stands(make(kind, **options), judge)
    assert columns == {} and said in title


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (MJHQ, {"extractor": "shapes"}, "shapes features"),
        (MJHQ, {"resize": "clean"}, "resize clean"),
        (COCO, {"reference": "theirs.npz"}, "reference theirs.npz"),
        (COCO, {"reference_images": 110}, "110 reference pictures"),
        (GenEval, {"detector_edge": 64}, "64 px"),
        (GenEval, {"prompts_name": "GPT-4o"}, "GPT-4o prompts"),
        (DPGBench, {"protocol": "corrected"}, "corrected protocol"),
        (DPGBench, {"protocol": "corrected", "categories": "zeroed"}, "zeroed categories"),
        (DPGBench, {"pic_num": 1}, "one picture a prompt"),
        (CLIPScore, {"subset": 110}, "110 captions"),
        (CLIPScore, {"subset": None}, "30000 captions"),
        (CLIPScore, {"prompts": "few.json", "subset": None}, "captions of few.json, 110 captions"),
    ],
)
def test_options_that_depart_are_named_and_keep_out(make, captions, kind, options, said):
    if "prompts" in options:
        options = {**options, "prompts": captions / options["prompts"]}
    title, columns = stands(make(kind, **options))
    assert said in title and columns == {}


def test_another_version_of_mmbench_or_grader_of_mm_vet_keeps_out(make, tmp_path):
    task = make(MMBench)
    task.source, task.size = {"file": "MMBench_DEV_EN_V11.tsv"}, None
    assert stands(task, held=4876) == (f"{MMBench.title}, file MMBench_DEV_EN_V11.tsv", {})
    path = tmp_path / "grades.json"
    for models, said in (
        *((["gpt-4-0613"], ""), (["gpt-4"], "")),
        *((["gpt-4o"], ", graded by gpt-4o"), ([], ", graded by grades.json")),
    ):
        path.write_text(json.dumps({"v1_0": {"model": models, "content": ["0.5"], "score": [0.5]}}))
        title, columns = stands(MMVet(MMVetOptions(graded=str(path))))
        assert title == f"{MMVet.title}{said}" and bool(columns) == (not said)
