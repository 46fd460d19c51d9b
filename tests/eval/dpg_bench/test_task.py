"""DPG-Bench from the question file to scores, with the real classes of tiny models."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from eval.__main__ import main
from eval.dpg_bench.grids import split
from eval.dpg_bench.judges import Answerer, DPGJudge, MplugAnswerer, TransformersAnswerer
from eval.dpg_bench.task import DPGBench, DPGOptions
from eval.task import Drawing, Judged

CSV = """\
item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language
p97,A red dog,,1,0,entity,whole,entity - whole (dog),Is there a dog?
p97,A red dog,,2,1,attribute,color,"attribute - color (dog, red)",Is it red?
12,A dog,,1,0,entity,whole,entity - whole (dog),Is there a dog?
13,A yes,,1,0,global,,global (yes),Is it yes?
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "dpg_bench.csv").write_text(CSV)
    return str(tmp_path)


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8))


class Colour(Answerer):
    """Says yes about pictures of one colour only."""

    def __init__(self, color):
        self.color, self.asked = color, []

    def ask(self, images, question):
        self.asked.append(question)
        return ["yes" if image.getpixel((0, 0)) == self.color else "no" for image in images]


def four(*colors):
    """A grid of four plain pictures, row by row."""
    grid = Image.new("RGB", (8, 6))
    for place, color in enumerate(colors):
        grid.paste(Image.new("RGB", (4, 3), color), (place % 2 * 4, place // 2 * 3))
    return grid


def test_one_grid_a_prompt_with_four_seeds_or_one_picture_where_it_is_asked_for(data):
    work = DPGBench(DPGOptions(data)).prepare().check()
    assert work.drawings[0] == Drawing("p97", "A red dog", (0, 1, 2, 3), "p97.png")
    assert [drawing.id for drawing in work.drawings] == ["p97", "12", "13"] and work.problems == {}
    assert len(DPGBench(DPGOptions(f"{data}/dpg_bench.csv")).prepare(limit=2).drawings) == 2
    assert "pictures in a file" not in work.protocol, "as in older folders"
    one = DPGBench(DPGOptions(data, pic_num=1)).prepare()
    assert one.drawings[0].seeds == (0,) and one.protocol["pictures in a file"] == 1


def test_grid_is_cut_row_by_row():
    crops = split(four("red", "green", "blue", "white"), 4)
    assert [crop.size for crop in crops] == [(4, 3)] * 4
    assert [crop.getpixel((3, 2)) for crop in crops] == [(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)]


@pytest.fixture
def run(data, blip_folder, tmp_path):
    """Scores three pictures of these sizes with these flags: exit code and result, None without one."""

    def run_it(*flags, sizes=((8, 8), (8, 8), (8, 8))):
        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        for name, size in zip(("p97", "12", "13"), sizes, strict=True):
            Image.new("RGB", size, "red").save(folder / f"{name}.png")
        out = tmp_path / "out"
        judge = ["--judge", "transformers", "--judge-model", str(blip_folder), "--workers", "0"]
        code = main(["run", "dpg-bench", "--data", data, *judge, "--images", str(folder), "--out", str(out), *flags])
        path = out / "result.json"
        return code, json.loads(path.read_text()) if path.exists() else None

    return run_it


@pytest.mark.parametrize(
    ("flags", "count"), [(["--pic-num", "1"], 1), (["--resolution", "8"], 1), (["--resolution", "4"], 4)]
)
def test_the_number_of_pictures_is_said_by_option_or_by_size(run, flags, count):
    code, result = run(*flags)
    assert code == 0 and result["protocol"]["pic_num"] == result["details"]["pictures in a file"] == count
    assert [len(item["verdict"]["answers"]) for item in result["items"]] == [count] * 3
    assert result["items"][0]["seeds"] == list(range(count))
    assert ("one picture a prompt" in result["title"]) == (count == 1)


def test_files_of_another_size_are_refused_in_one_line(run, capsys):
    others = {"sizes": ((8, 8), (8, 8), (8, 7))}, {"sizes": ((8, 8), (8, 8), (16, 16))}
    for flags, sizes, message in (
        (["--pic-num", "4", "--resolution", "8"], {}, "12.png is 8 x 8 pixels, not a 2 x 2 grid of four of 16 x 16 ("),
        (["--pic-num", "1", "--resolution", "4"], {}, "12.png is 8 x 8 pixels, not one picture of 4 x 4 ("),
        (["--pic-num", "4"], others[0], "13.png is 8 x 7 pixels, not a 2 x 2 grid of four"),
        (["--resolution", "6"], {}, "12.png is 8 x 8 pixels, not one picture of 6 x 6"),
        (["--resolution", "8"], others[1], "13.png is 16 x 16 pixels"),
        ([], {}, "say which by --pic-num 1 or 4, or by --resolution"),
        (["--pic-num", "2"], {}, "--pic-num must be one of 1, 4, not 2"),
        (["--resolution", "0"], {}, "--resolution must be at least 1, not 0"),
        (["--categories", "zeroed", "--pic-num", "1"], {}, "--categories zeroed goes with --protocol corrected"),
    ):
        assert run(*flags, **sizes) == (2, None)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_folder_of_grids_takes_no_single_pictures(run, capsys):
    assert run("--pic-num", "4")[0] == 0
    code, kept = run("--pic-num", "1")
    assert code == 2 and kept["protocol"]["pic_num"] == 4, "the first result stays"
    assert "holds results of other settings (work.pictures in a file)" in capsys.readouterr().err
    assert run("--pic-num", "4", "--protocol", "corrected", "--categories", "zeroed")[0] == 0, "scored anew"


@pytest.mark.parametrize(("protocol", "overall"), [("official", 62.5), ("corrected", 200 / 3)])
def test_judged_grids_are_scored_from_their_json(data, protocol, overall):
    task = DPGBench(DPGOptions(data, protocol=protocol))
    work, red = task.prepare(), (255, 0, 0)
    answerer = Colour(red)
    grids = [four("red", "red", "red", "blue"), four("red", "blue", "blue", "blue"), four("red", "red", "red", "red")]
    judged = DPGJudge(task.items, answerer).judge(work.drawings, grids)
    assert answerer.asked == ["Is there a dog?", "Is it red?", "Is there a dog?", "Is it yes?"]  # all, once a grid
    stored = {
        drawing.id: Judged(json.loads(json.dumps(one.record)))
        for drawing, one in zip(work.drawings, judged, strict=True)
    }
    scored = task.score(work, stored, {})
    assert scored.scores["overall"] == pytest.approx(overall)
    assert scored.problems == ({"left out": ["p97"]} if protocol == "official" else {})


def test_folder_of_pictures(data, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("p97.png", "p97.jpg", "12.jpg", "99.png", "results.txt"):
        (folder / name).write_bytes(b"")
    task = DPGBench(DPGOptions(data, pic_num=4))
    found = task.find_pictures(folder, task.prepare())
    assert [drawing.path for drawing in found.drawings] == ["p97.png", "12.jpg", "13.png"]
    assert found.problems == {"missing": ["13"], "unexpected": ["99.png", "p97.jpg", "results.txt"]}


@pytest.mark.parametrize("kind", ["blip", "vilt"])
def test_transformers_judge_end_to_end(data, picture, kind, request):
    folder = request.getfixturevalue(f"{kind}_folder")
    task = DPGBench(DPGOptions(data, protocol="corrected", judge="transformers", judge_model=str(folder)))
    assert len(task.judge_protocol()["VQA model"]["sha256"]) == 12
    work, judge = task.prepare(), task.load_judge()
    judged = judge.judge(work.drawings, [picture] * 3)
    answers = judged[0].record["answers"]
    assert len(answers) == 4 and all(set(crop) == {"1", "2"} for crop in answers)
    assert all(isinstance(answer, str) and "[" not in answer for crop in answers for answer in crop.values())
    assert judge.judge(work.drawings[:1], [picture]) == judged[:1]
    [asked] = [judge.answerer.ask([crop], "Is there a dog?")[0] for crop in split(picture, 4)[:1]]
    assert asked == answers[0]["1"], "whatever else is asked about"
    scored = task.score(work, dict(zip(["p97", "12", "13"], judged, strict=True)), {})
    assert scored.scores["overall"] is not None and scored.problems == {}


def test_judges_that_are_not_there_are_refused(data, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for name in ("modelscope", "modelscope.pipelines", "modelscope.hub", "modelscope.hub.snapshot_download"):
        monkeypatch.setitem(sys.modules, name, None)
    for call, message in (
        (lambda: TransformersAnswerer(tmp_path), "is a bert; the judge must be a blip or a vilt"),
        (DPGBench(DPGOptions(data)).judge_protocol, r"needs the extra dpg: pip install 'janusflow\[dpg\]'"),
        (lambda: MplugAnswerer(tmp_path), "--judge transformers does without it"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_mplug_is_asked_by_modelscopes_pipeline(monkeypatch, tmp_path, picture):
    calls = []

    def pipeline(task, model, device):
        assert (task, model, device) == ("vqa", str(tmp_path), "cpu")
        return lambda given: calls.append(given) or {"text": " yes"}

    pipelines, constant = ModuleType("modelscope.pipelines"), ModuleType("modelscope.utils.constant")
    pipelines.pipeline = pipeline
    constant.Tasks = type("Tasks", (), {"visual_question_answering": "vqa"})
    for name in ("modelscope", "modelscope.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "modelscope.pipelines", pipelines)
    monkeypatch.setitem(sys.modules, "modelscope.utils.constant", constant)
    assert MplugAnswerer(tmp_path).ask([picture, picture], "Is it red?") == [" yes", " yes"]
    assert [set(call) for call in calls] == [{"image", "question"}] * 2 and calls[0]["question"] == "Is it red?"
