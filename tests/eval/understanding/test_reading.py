"""The official files of each benchmark: what a model is asked, and what is refused in one line."""

import base64
import csv
import json
import sys

import pytest

from eval.__main__ import main
from eval.understanding.mmbench import STEP, rotate
from tests.eval.understanding.folders import (
    ANNOTATED,
    CELL,
    CHARTQA,
    CHARTS,
    CHOICE,
    COCO,
    FOLDERS,
    GQA,
    GQA_FILE,
    MMBENCH,
    MME,
    MMVET,
    OPEN,
    PNG,
    POPE,
    SEED,
    TEST_FILE,
    TEXTVQA,
    TEXTVQA_FILE,
    VQA,
    VQA_FILES,
    cell,
    lines,
    png,
    task,
    tsv,
    write,
)

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\n\nAnswer with the option's letter from the given choices directly."
TSV, VET, POPE_FILE = "MMBench_DEV_EN.tsv", "mm-vet/mm-vet.json", "coco_pope_random.json"


def questions(folder, name, **changes):
    return task(name, write(folder, name, **changes)).prepare().check().questions


@pytest.mark.parametrize(
    ("name", "first", "text", "gold", "count"),
    [
        ("pope", "random/1", f"Is there a dog?{SHORT}", {"split": "random", "label": "yes"}, 6),
        ("mme", "existence/1/1", f"Is it red? Please answer yes or no.{SHORT}",
         {"subtask": "existence", "image": "1", "label": "yes"}, 28),
        ("mmbench", "5", f"What is it?\nA. a cat\nB. a dog\nC. a cow{LETTER}",
         {"answer": "B", "options": {"A": "a cat", "B": "a dog", "C": "a cow"}, "rotations": 3,
          "groups": ["l2-category: nature", "category: animals"]}, 3),
        ("seed", "1", f"How many?\nA. One\nB. Two\nC. Three\nD. Four{LETTER}",
         {"type": 5, "answer": "B", "options": {"A": "One", "B": "Two", "C": "Three", "D": "Four"}}, 1),
        ("mmmu", CHOICE["id"], f"See <image 2>, <image 1>?\nA. it's\nB. two{LETTER}",
         {"subject": "Basic_Medical_Science", "choices": {"A": "it's", "B": "two"}, "answer": "B"}, 2),
        ("vqav2", "420", f"What is it?{SHORT}",
         {"answers": ["cat"] * 10, "answer_type": "other", "question_type": "what is"}, 2),
        ("gqa", "2", f"Is it red?{SHORT}", {"answer": "no", "structural": "verify", "semantic": "attr"}, 1),
        ("chartqa", "human/0", f"How many?{SHORT}", {"label": "3", "part": "human"}, 3),
        ("textvqa", "7", f"what brand?{SHORT}", ["coke"] * 10, 1),
        ("mm-vet", "v1_0", "What is x?", {"answer": "-1 <AND> -5", "capability": ["ocr", "math"]}, 1),
    ],
)  # fmt: skip
def test_files_are_read(tmp_path, name, first, text, gold, count):
    found = questions(tmp_path, name)
    assert (found[0].id, found[0].text, found[0].gold, len(found)) == (first, text, gold, count)
    assert found[0].read_images()[0].size == (4, 4)


# --- other layouts and forms ---


def test_pope_takes_lines_under_either_name_and_images_from_elsewhere(tmp_path):
    write(tmp_path, "pope", **{"other/coco_pope_random.jsonl": lines(POPE)})
    [one] = task("pope", tmp_path / "other", images_root=str(tmp_path)).prepare().questions
    assert one.id == "random/1" and one.images == (tmp_path / "val2014" / COCO,)


def test_mme_takes_both_layouts_at_any_depth_and_windows_line_ends(tmp_path):
    inner = tmp_path / "release" / "MME_Benchmark"
    write(inner, "mme")
    (tmp_path / "eval_tool" / "color").mkdir(parents=True)
    for kind, name in (("images", "1.png"), ("questions_answers_YN", "1.txt")):
        (inner / "artwork" / kind).mkdir()
        (inner / "artwork" / name).rename(inner / "artwork" / kind / name)
    (inner / "color" / "1.txt").write_bytes("\ufeffIs it red?\tYes\r\n\r\nIs it blue?\tNo \r\n".encode())
    found = task("mme", tmp_path).prepare().check().questions
    assert len(found) == 28
    assert [one.gold["label"] for one in found if one.id.startswith("color/")] == ["yes", "no"]


def test_seed_reads_pictures_alone_and_numbers_as_options(tmp_path):
    rows = [SEED | {"question_id": str(kind), "question_type_id": kind, "choice_b": 2} for kind in range(1, 13)]
    found = questions(tmp_path, "seed", **{"SEED-Bench.json": {"questions": rows}})
    assert [one.gold["type"] for one in found] == list(range(1, 10)) and found[0].gold["options"]["B"] == "2"


def test_mmmu_takes_images_inside_and_beside_and_several_forms_of_options_and_answers(tmp_path):
    choice, opened = questions(tmp_path, "mmmu")
    assert [one.size for one in choice.read_images()] == [(4, 4), (5, 5)]
    assert opened.text == "See <image 2>, <image 1>?\nAnswer the question directly."
    assert opened.gold == {"subject": "Chemistry", "choices": {}, "answer": ["$MgS$", "MgS"]}
    for answer in ("1.06", "[0, 1]", "[0, 1)", "[a"):  # no list of texts: itself
        [one] = questions(tmp_path, "mmmu", **{"validation.jsonl": lines(OPEN | {"answer": answer})})
        assert one.gold["answer"] == [answer]
    [one] = questions(tmp_path, "mmmu", **{"validation.jsonl": lines(CHOICE | {"options": ["x", "", "z"]})})
    assert one.gold["choices"] == {"A": "x", "B": "", "C": "z"}


def test_mmmus_parquet_files_of_every_subject(tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    from pyarrow.parquet import write_table

    images = {"image_1": {"bytes": png(4), "path": "x"}, "image_2": {"bytes": png(5), "path": "x"}}
    for subject, row in (("Chemistry", OPEN | images), ("Basic_Medical_Science", CHOICE | images)):
        (tmp_path / subject).mkdir()
        write_table(arrow.Table.from_pylist([row]), tmp_path / subject / "validation-00000-of-00001.parquet")
    found = task("mmmu", tmp_path).prepare().check().questions
    assert [one.id for one in found] == [CHOICE["id"], OPEN["id"]]
    assert [one.size for one in found[0].read_images()] == [(4, 4), (5, 5)]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install janusflow\[parquet\]"):
        task("mmmu", tmp_path).prepare()


# --- MMBench's table ---


def circle(index=5):
    """The three rows of a question with rotations, whose images are references."""
    rows = []
    for k in range(3):
        options, label = rotate({letter: MMBENCH[letter] for letter in "ABC"}, "B", k)
        cells = {"index": str(index + k * STEP), "answer": label, "image": CELL if k == 0 else str(index)}
        rows.append(MMBENCH | options | cells)
    return rows


def test_first_pass_alone_gets_rotations_and_those_of_the_file_stand_together_whatever_its_order(tmp_path):
    found = questions(tmp_path, "mmbench", **{TSV: tsv(MMBENCH, MMBENCH | {"index": "6", "D": "a fox"})})
    assert [one.id for one in found] == ["5", "1000005", "2000005", "6", "1000006", "2000006", "3000006"]
    assert [one.gold["answer"] for one in found[:3]] == ["B", "C", "A"]
    assert all(f"{one.gold['answer']}. a dog\n" in one.text for one in found)
    assert all(one.images == found[0].images for one in found)
    assert {one.gold["rotations"] for one in found[:3]} == {3}
    rows = [row for pair in zip(circle(5), circle(6), strict=True) for row in pair]
    found = questions(tmp_path, "mmbench", **{TSV: tsv(*rows[::-1])})
    assert sorted(one.id for one in found[:3]) in (["1000005", "2000005", "5"], ["1000006", "2000006", "6"])
    assert [int(one.id) // STEP for one in found] == [0, 1, 2, 0, 1, 2]
    assert [one.gold["answer"] for one in found[:3]] == ["B", "C", "A"], "taken as they are"
    assert task("mmbench", tmp_path).prepare().protocol["rotations"] == "the file's"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hint": "Look."}, "Hint: Look.\nWhat is it?\nA. a cat"),
        ({"hint": " "}, "What is it?\nA. a cat"),
        ({"A": "None", "C": "N/A"}, "What is it?\nA. None\nB. a dog\nC. N/A\n\n"),
        ({"C": "", "D": "a fox"}, "What is it?\nA. a cat\nB. a dog\nD. a fox\n\n"),
        ({"question": 'What does "this"\nsay?\tAnd why?', "A": '"quoted"'},
         'What does "this"\nsay?\tAnd why?\nA. "quoted"\nB. a dog'),
    ],
)  # fmt: skip
def test_cells_of_mmbench(tmp_path, changes, text):
    assert questions(tmp_path, "mmbench", **{TSV: tsv(MMBENCH | changes)})[0].text.startswith(text)


def test_references_to_references_and_images_above_the_csv_modules_limit(tmp_path):
    large, before = cell(300), csv.field_size_limit()
    assert len(large) > before
    rows = [MMBENCH | {"image": "6"}, MMBENCH | {"index": "6", "image": "7"}, MMBENCH | {"index": "7", "image": large}]
    found = questions(tmp_path, "mmbench", **{TSV: tsv(*rows)})
    assert len({one.images for one in found}) == 1 and found[0].read_images()[0].size == (300, 300)
    assert csv.field_size_limit() == before
    noise = base64.b64encode(b"no picture at all, only some bytes of text that are long enough").decode()
    [one, *_] = questions(tmp_path, "mmbench", **{TSV: tsv(MMBENCH | {"image": noise})})
    with pytest.raises(ValueError, match="5 is not an image"):  # when it is looked at
        one.read_images()


# --- what is refused ---

DAMAGED = [  # what every reader refuses stands with one benchmark
    ("pope", {POPE_FILE: lines(POPE, POPE)}, "the id 'random/1'"),
    ("pope", {POPE_FILE: lines(POPE | {"label": "maybe"})}, "'maybe'"),
    ("pope", {POPE_FILE: lines({**POPE, "label": None})}, "record 1 has no 'label'"),
    ("pope", {POPE_FILE: lines(POPE | {"text": " "})}, "has no 'text'"),
    ("pope", {POPE_FILE: lines(POPE, 1)}, "record 2 is no object"),
    ("pope", {POPE_FILE: ""}, "holds no list of records"),
    ("pope", {f"{POPE_FILE}l": lines(POPE)}, "the split random twice"),
    ("pope", dict.fromkeys(FOLDERS["pope"]) | {"x": ""}, "coco_pope_random"),
    ("pope", {f"val2014/{COCO}": None}, "--images-root"),
    ("pope", {POPE_FILE: lines(POPE | {"image": "gone.jpg"})}, "1 of 2 images are missing"),
    ("mme", {"color/1.txt": "\nIs it red?\tperhaps\n"}, "line 2 is not a question, a tab and Yes or No"),
    *(("mme", {"color/1.txt": text}, "line 1 is not a question") for text in ("Is it?\n", "Is it?\t\n", "\tYes\n")),
    ("mme", {"color/1.txt": "\n\n"}, "holds no questions"),
    ("mme", {"color/1.txt": None}, "color holds no questions"),
    ("mme", {"color/1.png": None}, "1.txt has no picture"),
    ("mme", {"color/1.jpg": PNG}, "two pictures called 1"),
    ("mme", {"color/questions_answers_YN/1.txt": MME}, "the id 'color/1/1'"),
    ("mme", dict.fromkeys(FOLDERS["mme"]) | {"x": ""}, "none of MME's subtasks"),
    *(("mmbench", {TSV: tsv(*(MMBENCH | row for row in rows))}, message) for rows, message in (
        (({}, {"index": "05"}), "the index 5 stands there twice"),
        (({"index": "five"},), "'five'"),
        (({"answer": ""},), "line 2 has no 'answer'"),
        (({"answer": "D"},), "'D' is none of its options A, B, C"),
        (({"A": "", "C": ""},), "has 1 options"),
        (({"image": ""},), "has no 'image'"),
        *((({"image": CELL[:-end] + more},), "line 2 is no base64") for end, more in ((2, "!!"), (3, ""))),
        (({"image": "8"},), "points at row 8"),
        (({"image": "5"},), "points at row 5"),
        (({"index": "6"}, *circle()[1:]), "line 3 is a rotation of row 5"),
    )),
    ("mmbench", {TSV: None, "x": ""}, TSV),
    *(("seed", {"SEED-Bench.json": {"questions": [SEED | row]}}, message) for row, message in (
        ({"answer": "E"}, "not 'E'"),
        ({"question_type_id": 13}, "unknown type 13"),
        ({"question_type_id": "5"}, "unusable 'question_type_id'"),
        ({"question_type_id": 10}, "no questions about pictures"),
        ({"data_id": "gone"}, "such as gone"),
    )),
    ("seed", {"SEED-Bench.json": "{"}, "cannot read"),
    ("seed", {"SEED-Bench.json": "[]"}, "no list of questions"),
    *(("mmmu", {"validation.jsonl": lines(row)}, message) for row, message in (
        (CHOICE | {"id": "validation_Cooking_1"}, "validation_SUBJECT_NUMBER"),
        (CHOICE | {"answer": "?"}, "'?' is none of its options A, B"),
        (CHOICE | {"question_type": "essay"}, "'essay'"),
        *((CHOICE | {"options": bad}, "options are a list") for bad in ("[]", "['a', 'b'", None)),
        (CHOICE | {"image_1": None, "image_2": None}, "has no image"),
        (CHOICE | {"image_1": "gone.png"}, "there is no image"),
        (CHOICE | {"image_1": "base64:!"}, "no base64"),
        (CHOICE | {"image_1": 7}, "not int"),
        (CHOICE | {"image_1": "iVBORw0KGgo" * 900}, "an image is a path, or base64: and its content"),
        (OPEN | {"answer": "[]"}, "open question's answer"),
    )),
    ("mmmu", {"validation-2.jsonl": lines(CHOICE)}, "Basic_Medical_Science_3'"),
    ("mmmu", {"validation.jsonl": None, "dev.jsonl": lines(CHOICE)}, "no questions of MMMU"),
    ("mmmu", {"validation-0.parquet": b"PAR1 nothing PAR1"}, "cannot read"),
    ("vqav2", {VQA_FILES[0]: {"questions": [VQA[0], VQA[0]]}, VQA_FILES[1]: {"annotations": ANNOTATED[1:]}},
     "the id '420'"),
    ("vqav2", {VQA_FILES[1]: {"annotations": [*ANNOTATED, ANNOTATED[0]]}}, "(question 421) stands there twice"),
    ("vqav2", {VQA_FILES[1]: {"annotations": ANNOTATED[:1]}}, "question 420 stands in only one"),
    ("vqav2", {VQA_FILES[0]: {"questions": VQA[:1]}}, "question 421 stands in only one"),
    ("vqav2", {VQA_FILES[1]: None}, "holds no v2_mscoco_val2014_annotations.json"),
    ("vqav2", {VQA_FILES[1]: {"annotations": [ANNOTATED[0] | {"answers": []}]}}, "has no answers"),
    ("vqav2", {"val2014/COCO_val2014_000000000042.jpg": None}, "000042.jpg"),
    ("gqa", {GQA_FILE: [GQA]}, "holds no object of records"),
    ("gqa", {GQA_FILE: {"2": GQA | {"types": {}}}}, "'2', types has no 'structural'"),
    ("gqa", {GQA_FILE: {"2": GQA | {"imageId": "gone"}}}, "gone.jpg"),
    ("chartqa", {f"{CHARTS}/test_augmented.json": None}, "holds no test_augmented.json"),
    *(("chartqa", {f"{CHARTS}/test_human.json": [CHARTQA | {"label": value}]}, "unusable 'label'")
      for value in (True, float("nan"), [])),
    ("chartqa", {f"{CHARTS}/test_human.json": [CHARTQA | {"imgname": "2.png"}]}, "2.png"),
    *(("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"answers": bad}]}}, "has no list of answers")
      for bad in ([], [1] * 10)),
    ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"image_id": "gone"}]}}, "gone.jpg"),
    ("mm-vet", {VET: {"v1_0": MMVET | {"capability": []}}}, "has no list of capability"),
    ("mm-vet", {VET: {"v1_0": MMVET | {"imagename": "gone.png"}}}, "gone.png"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "message"), DAMAGED)
def test_damaged_files_are_refused_in_one_line(tmp_path, capsys, name, changes, message):
    write(tmp_path / "data", name, **changes)
    (tmp_path / "answers.json").write_text('{"1": "yes"}')
    files = ["--data", str(tmp_path / "data"), "--answers", str(tmp_path / "answers.json")]
    assert main(["run", name, *files, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


# --- what is written for others ---


def test_vqav2s_test_split_has_no_score_but_a_file_to_submit(tmp_path):
    (tmp_path / "test2015").mkdir()
    (tmp_path / "test2015" / "COCO_test2015_000000000042.jpg").write_bytes(PNG)
    (tmp_path / TEST_FILE).write_text(json.dumps({"questions": VQA}))
    vqav2 = task("vqav2", tmp_path, split="test-dev")
    work = vqav2.prepare()
    scored = vqav2.score(work, {}, {"420": "two cats — é"})
    assert scored.scores == {"test accuracy": None}
    assert "submit" in scored.problems["not scored"][0] and scored.problems["missing"] == ["421"]
    [path] = vqav2.export(tmp_path, work, {"420": "two cats — é"})
    assert path.name == "v2_OpenEnded_mscoco_test-dev2015_janusflow_results.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert rows == [{"question_id": 420, "answer": "two cats — é"}, {"question_id": 421, "answer": ""}]


def test_mm_vets_answers_go_to_a_judge_and_its_grades_are_read(tmp_path):
    vet = task("mm-vet", write(tmp_path, "mm-vet"))
    for answers in ({"v1_0": "x = −1 é"}, {}):
        [path] = vet.export(tmp_path, vet.prepare(), answers)
        assert json.loads(path.read_text(encoding="utf-8")) == {"v1_0": answers.get("v1_0", "")}
    graded = tmp_path / "grades.json"
    graded.write_text(json.dumps({"v1_0": {"model": ["gpt-4"], "content": ["0.5"], "score": [0.5]}}))
    vet = task("mm-vet", tmp_path, graded=str(graded))
    scored = vet.score(vet.prepare(), {}, {"v1_0": "x = -1"})
    assert scored.scores["total"] == 50 and vet.departures({}) == []
    assert scored.details["graded"]["file"] == "grades.json" and len(scored.details["graded"]["sha256"]) == 64
    for content in ("{", "[]", "{}", '{"v1_0": {"model": []}}', '{"v1_0": [0.5]}', None):
        graded.unlink() if content is None else graded.write_text(content)
        with pytest.raises(ValueError, match=r"grades\.json"):  # before anything is answered
            task("mm-vet", graded=str(graded))


@pytest.mark.parametrize(
    ("name", "changes", "answers", "code"),
    [
        ("mmmu", {}, {CHOICE["id"]: "B"}, 0),  # subjects beyond a limit are no fault
        ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"answers": ["coke"] * 3}]}}, {"7": "coke"}, 1),
    ],
)
def test_a_limit_does_not_hide_what_is_wrong(tmp_path, name, changes, answers, code):
    write(tmp_path, name, **changes)
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    files = ["--data", str(tmp_path), "--answers", str(tmp_path / "answers.json")]
    assert main(["run", name, *files, "--limit", "1", "--out", str(tmp_path / "out")]) == code
    assert main(["run", name, *files, "--out", str(tmp_path / "all")]) == 1
