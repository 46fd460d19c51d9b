"""The official files of each benchmark: what a model is asked, and what is refused in one line."""

from __future__ import annotations

import builtins
import csv
import json

import pytest

from eval.__main__ import main
from eval.files import read_csv
from eval.understanding.mm_vet import SYSTEM_PROMPT
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
TSV, VET = "MMBench_DEV_EN.tsv", "mm-vet/mm-vet.json"


def questions(folder, name, **changes):
    return task(name, write(folder, name, **changes)).prepare().check().questions


def damaged(row, *names):
    return {key: value for key, value in row.items() if key not in names}


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


def test_a_prompts_system_prompt_is_empty_but_for_mm_vet(tmp_path):
    work = task("gqa", write(tmp_path, "gqa")).prepare()
    assert work.protocol["system prompt"] == "none" and work.protocol["split"] == "testdev-balanced"
    vet = task("mm-vet", write(tmp_path, "mm-vet"))
    assert vet.system_prompt == SYSTEM_PROMPT == vet.prepare().protocol["system prompt"] and vet.max_new_tokens > 48


# --- other layouts and forms ---


def test_pope_takes_lines_under_either_name_and_images_from_elsewhere(tmp_path, tmp_path_factory):
    write(tmp_path, "pope")
    other = tmp_path_factory.mktemp("questions")
    (other / "coco_pope_random.jsonl").write_text(lines(POPE))
    [one] = task("pope", other, images_root=str(tmp_path)).prepare().questions
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


def test_mmmu_asks_open_questions_directly_and_takes_images_inside_and_beside(tmp_path):
    choice, opened = questions(tmp_path, "mmmu")
    assert [one.size for one in choice.read_images()] == [(4, 4), (5, 5)]
    assert opened.text == "See <image 2>, <image 1>?\nAnswer the question directly."
    assert opened.gold == {"subject": "Chemistry", "choices": {}, "answer": ["$MgS$", "MgS"]}


@pytest.mark.parametrize("answer", ["1.06", "[0, 1]", "[0, 1)", "[a"])
def test_mmmus_open_answer_that_is_no_list_of_texts_is_itself(tmp_path, answer):
    [one] = questions(tmp_path, "mmmu", **{"validation.jsonl": lines(OPEN | {"answer": answer})})
    assert one.gold["answer"] == [answer]


def test_mmmus_options_may_be_a_list_and_may_be_empty_texts(tmp_path):
    [one] = questions(tmp_path, "mmmu", **{"validation.jsonl": lines(CHOICE | {"options": ["x", "", "z"]})})
    assert one.gold["choices"] == {"A": "x", "B": "", "C": "z"}


def test_mmmus_parquet_files_of_every_subject(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    from pyarrow.parquet import write_table

    images = {"image_1": {"bytes": png(4), "path": "x"}, "image_2": {"bytes": png(5), "path": "x"}}
    for subject, row in (("Chemistry", OPEN | images), ("Basic_Medical_Science", CHOICE | images)):
        (tmp_path / subject).mkdir()
        write_table(arrow.Table.from_pylist([row]), tmp_path / subject / "validation-00000-of-00001.parquet")
    found = task("mmmu", tmp_path).prepare().check().questions
    assert [one.id for one in found] == [CHOICE["id"], OPEN["id"]]
    assert [one.size for one in found[0].read_images()] == [(4, 4), (5, 5)]


def test_mmmus_parquet_without_pyarrow(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "validation-0.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pip install janusflow\[parquet\]"):
        task("mmmu", tmp_path).prepare()


# --- MMBench's table ---


def circle(index=5, **changes):
    """The three rows of a question with rotations, whose images are references."""
    rows = []
    for k in range(3):
        options, label = rotate({letter: MMBENCH[letter] for letter in "ABC"}, "B", k)
        cells = {"index": str(index + k * STEP), "answer": label, "image": CELL if k == 0 else str(index)}
        rows.append(MMBENCH | options | cells | changes)
    return rows


def test_rotation_moves_options_and_answer_together():
    options = {"A": "cat", "B": "dog", "C": "cow"}
    assert rotate(options, "B", 0) == (options, "B")
    for k in range(1, 7):
        moved, label = rotate(options, "B", k)
        assert list(moved) == ["A", "B", "C"] and moved[label] == "dog"
    assert {rotate(options, "B", k)[1] for k in range(3)} == {"A", "B", "C"}


def test_first_pass_alone_gets_its_rotations(tmp_path):
    found = questions(tmp_path, "mmbench", **{TSV: tsv(MMBENCH, MMBENCH | {"index": "6", "D": "a fox"})})
    assert [one.id for one in found] == ["5", "1000005", "2000005", "6", "1000006", "2000006", "3000006"]
    assert [one.gold["answer"] for one in found[:3]] == ["B", "C", "A"]
    assert all(f"{one.gold['answer']}. a dog\n" in one.text for one in found)
    assert all(one.images == found[0].images for one in found)
    assert {one.gold["rotations"] for one in found[:3]} == {3}


def test_rotations_of_the_file_stand_together_whatever_its_order(tmp_path):
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


# --- what is refused ---

DAMAGED = [
    ("pope", {"coco_pope_random.json": lines(POPE, POPE)}, "the id 'random/1'"),
    ("pope", {"coco_pope_random.json": lines(POPE | {"label": "maybe"})}, "'maybe'"),
    ("pope", {"coco_pope_random.json": lines(damaged(POPE, "label"))}, "record 1 has no 'label'"),
    ("pope", {"coco_pope_random.json": lines(POPE | {"text": " "})}, "has no 'text'"),
    ("pope", {"coco_pope_random.json": lines([1])}, "is no object"),
    ("pope", {"coco_pope_random.json": ""}, "holds no list of records"),
    ("pope", {"coco_pope_random.jsonl": lines(POPE)}, "the split random twice"),
    ("pope", dict.fromkeys(FOLDERS["pope"]) | {"x": ""}, "coco_pope_random"),
    ("pope", {f"val2014/{COCO}": None}, "--images-root"),
    ("pope", {"coco_pope_random.json": lines(POPE | {"image": "gone.jpg"})}, "1 of 2 images are missing"),
    ("mme", {"color/1.txt": "Is it red?\n"}, "line 1 is not a question"),
    ("mme", {"color/1.txt": "\nIs it red?\tperhaps\n"}, "line 2 is not a question, a tab and Yes or No"),
    ("mme", {"color/1.txt": "Is it red?\t\n"}, "line 1"),
    ("mme", {"color/1.txt": "\tYes\n"}, "line 1"),
    ("mme", {"color/1.txt": "\n\n"}, "holds no questions"),
    ("mme", {"color/1.png": None}, "1.txt has no picture"),
    ("mme", {"color/1.jpg": PNG}, "two pictures called 1"),
    ("mme", {"color/questions_answers_YN/1.txt": MME}, "the id 'color/1/1'"),
    ("mme", dict.fromkeys(FOLDERS["mme"]) | {"x": ""}, "none of MME's subtasks"),
    ("mme", {"color/1.txt": None}, "color holds no questions"),
    ("mmbench", {TSV: "index\n"}, "holds no rows"),
    ("mmbench", {TSV: tsv(MMBENCH, MMBENCH)}, "the index 5 stands there twice"),
    ("mmbench", {TSV: tsv(MMBENCH, MMBENCH | {"index": "05"})}, "the index 5 stands there twice"),
    ("mmbench", {TSV: tsv(MMBENCH | {"index": "five"})}, "'five'"),
    ("mmbench", {TSV: tsv(MMBENCH | {"index": ""})}, "has no 'index'"),
    ("mmbench", {TSV: tsv(MMBENCH | {"answer": ""})}, "line 2 has no 'answer'"),
    ("mmbench", {TSV: tsv(MMBENCH | {"answer": "D"})}, "'D' is none of its options A, B, C"),
    ("mmbench", {TSV: tsv(MMBENCH | {"question": ""})}, "has no 'question'"),
    ("mmbench", {TSV: tsv(MMBENCH | {"A": "", "C": ""})}, "has 1 options"),
    ("mmbench", {TSV: tsv(MMBENCH | {"image": ""})}, "has no 'image'"),
    ("mmbench", {TSV: tsv(MMBENCH | {"image": CELL[:-2] + "!!"})}, "line 2 is no base64"),
    ("mmbench", {TSV: tsv(MMBENCH | {"image": CELL[:-3]})}, "is no base64"),
    ("mmbench", {TSV: tsv(MMBENCH | {"image": "8"})}, "points at row 8"),
    ("mmbench", {TSV: tsv(MMBENCH | {"image": "5"})}, "points at row 5"),
    ("mmbench", {TSV: tsv(MMBENCH | {"index": "6"}, *circle()[1:])}, "line 3 is a rotation of row 5"),
    ("mmbench", {TSV: None, "x": ""}, TSV),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"answer": "E"}]}}, "not 'E'"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"answer": None}]}}, "has no 'answer'"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"choice_c": ""}]}}, "has no 'choice_c'"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"question_type_id": 13}]}}, "unknown type 13"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"question_type_id": "5"}]}}, "unusable 'question_type_id'"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"question_type_id": 10}]}}, "no questions about pictures"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED | {"data_id": "gone"}]}}, "such as gone"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED, SEED]}}, "the id '1'"),
    ("seed", {"SEED-Bench.json": {"questions": [SEED, "text"]}}, "record 2 is no object"),
    ("seed", {"SEED-Bench.json": "{"}, "cannot read"),
    ("seed", {"SEED-Bench.json": "[]"}, "no list of questions"),
    ("seed", {"SEED-Bench.json": None, "x": ""}, "SEED-Bench.json"),
    *(
        ("mmmu", {"validation.jsonl": lines(row)}, message)
        for row, message in (
            (CHOICE | {"id": "validation_Cooking_1"}, "validation_SUBJECT_NUMBER"),
            (CHOICE | {"id": None}, "has no 'id'"),
            (CHOICE | {"question": ""}, "has no 'question'"),
            (CHOICE | {"question": 5}, "unusable 'question'"),
            (CHOICE | {"answer": ""}, "has no 'answer'"),
            (CHOICE | {"answer": "?"}, "'?' is none of its options A, B"),
            (CHOICE | {"question_type": "essay"}, "'essay'"),
            (CHOICE | {"options": "[]"}, "options are a list"),
            (CHOICE | {"options": "['a', 'b'"}, "options are a list"),
            (CHOICE | {"options": None}, "options are a list"),
            (CHOICE | {"image_1": None, "image_2": None}, "has no image"),
            (CHOICE | {"image_1": "gone.png"}, "there is no image"),
            (CHOICE | {"image_1": "base64:!"}, "no base64"),
            (CHOICE | {"image_1": 7}, "not int"),
            (CHOICE | {"image_1": "iVBORw0KGgo" * 900}, "an image is a path, or base64: and its content"),
            (OPEN | {"answer": "[]"}, "open question's answer"),
        )
    ),
    ("mmmu", {"validation-2.jsonl": lines(CHOICE)}, "Basic_Medical_Science_3'"),
    ("mmmu", {"validation.jsonl": None, "dev.jsonl": lines(CHOICE)}, "no questions of MMMU"),
    ("mmmu", {"validation-0.parquet": b"PAR1 nothing PAR1"}, "cannot read"),
    ("vqav2", {VQA_FILES[0]: {"questions": [VQA[0], VQA[0]]}, VQA_FILES[1]: {"annotations": ANNOTATED[1:]}},
     "the id '420'"),
    ("vqav2", {VQA_FILES[1]: {"annotations": [*ANNOTATED, ANNOTATED[0]]}}, "(question 421) stands there twice"),
    ("vqav2", {VQA_FILES[1]: {"annotations": ANNOTATED[:1]}}, "question 420 stands in only one"),
    ("vqav2", {VQA_FILES[0]: {"questions": VQA[:1]}}, "question 421 stands in only one"),
    ("vqav2", {VQA_FILES[1]: None}, "holds no v2_mscoco_val2014_annotations.json"),
    ("vqav2", {VQA_FILES[0]: {"questions": [damaged(VQA[0], "question")]}}, "record 1 has no 'question'"),
    ("vqav2", {VQA_FILES[0]: {"questions": [VQA[0] | {"question_id": "x"}]}}, "unusable 'question_id': 'x'"),
    ("vqav2", {VQA_FILES[1]: {"annotations": [ANNOTATED[0] | {"answers": []}]}}, "has no answers"),
    ("vqav2", {VQA_FILES[0]: {"questions": []}}, "holds no list of questions"),
    ("vqav2", {VQA_FILES[0]: {"questions": ["x"]}}, "is no object: 'x'"),
    ("vqav2", {"val2014/COCO_val2014_000000000042.jpg": None}, "000042.jpg"),
    ("gqa", {GQA_FILE: {}}, "holds no object of records"),
    ("gqa", {GQA_FILE: [GQA]}, "holds no object of records"),
    ("gqa", {GQA_FILE: {"2": GQA | {"types": {}}}}, "'2', types has no 'structural'"),
    ("gqa", {GQA_FILE: {"2": damaged(GQA, "answer")}}, "'2' has no 'answer'"),
    ("gqa", {GQA_FILE: {"2": GQA | {"imageId": "gone"}}}, "gone.jpg"),
    ("chartqa", {f"{CHARTS}/test_augmented.json": None}, "holds no test_augmented.json"),
    ("chartqa", {f"{CHARTS}/test_human.json": []}, "holds no list of records"),
    *(("chartqa", {f"{CHARTS}/test_human.json": [CHARTQA | {"label": value}]}, "unusable 'label'")
      for value in (True, float("nan"), [], {})),
    ("chartqa", {f"{CHARTS}/test_human.json": [CHARTQA | {"imgname": "2.png"}]}, "2.png"),
    ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA, TEXTVQA]}}, "the id '7'"),
    ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"answers": []}]}}, "has no list of answers"),
    ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"answers": [1] * 10}]}}, "has no list of answers"),
    ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"image_id": "gone"}]}}, "gone.jpg"),
    ("mm-vet", {VET: {"v1_0": MMVET | {"capability": []}}}, "has no list of capability"),
    ("mm-vet", {VET: {"v1_0": MMVET | {"imagename": "gone.png"}}}, "gone.png"),
    ("mm-vet", {VET: {"v1_0": damaged(MMVET, "question")}}, "'v1_0' has no 'question'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "message"), DAMAGED)
def test_damaged_files_are_refused_in_one_line(tmp_path, capsys, name, changes, message):
    write(tmp_path / "data", name, **changes)
    (tmp_path / "answers.json").write_text('{"1": "yes"}')
    files = ["--data", str(tmp_path / "data"), "--answers", str(tmp_path / "answers.json")]
    assert main(["run", name, *files, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"v1_0": {"model": []}}', '{"v1_0": [0.5]}', None])
def test_damaged_grades_are_refused_before_anything_is_answered(tmp_path, content):
    path = tmp_path / "grades.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"grades\.json"):
        task("mm-vet", graded=str(path))


@pytest.mark.parametrize(("name", "flag"), [("vqav2", "--split"), ("seed", "--matching"), ("dpg-bench", "--judge")])
def test_impossible_options_are_refused_in_one_line(capsys, name, flag):
    with pytest.raises(SystemExit):
        main(["run", name, flag, "gpt"])
    assert f"argument {flag}: invalid choice: 'gpt'" in capsys.readouterr().err
    assert main(["run", "vqav2"]) == 2
    assert "vqav2 needs --data: VQAv2 questions and annotations: visualqa.org" in capsys.readouterr().err


def test_a_damaged_image_is_named_when_it_is_looked_at(tmp_path):
    noise = "bm8gcGljdHVyZSBhdCBhbGwsIG9ubHkgc29tZSBieXRlcyBvZiB0ZXh0IHRoYXQgYXJlIGxvbmcgZW5vdWdo"
    [one, *_] = questions(tmp_path, "mmbench", **{TSV: tsv(MMBENCH | {"image": noise})})
    with pytest.raises(ValueError, match="5 is not an image"):
        one.read_images()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column names"),
        (b"a\ta\n", "one twice"),
        (b"a\tb\n1\n", "line 2 has 1 cells for 2 columns"),
        (b'a\tb\n1\t"open\n2\t3\n', "cannot read"),
        (b"a\tb\n\xff\t1\n", r"cannot read .*table\.tsv"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, content, message):
    (tmp_path / "table.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / "table.tsv", "\t")


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


@pytest.mark.parametrize(
    ("name", "changes", "answers", "code"),
    [
        ("mmmu", {}, {CHOICE["id"]: "B"}, 0),  # subjects beyond a limit are no fault
        ("textvqa", {}, {"7": "coke"}, 0),
        ("textvqa", {TEXTVQA_FILE: {"data": [TEXTVQA | {"answers": ["coke"] * 3}]}}, {"7": "coke"}, 1),
    ],
)
def test_a_limit_does_not_hide_what_is_wrong(tmp_path, name, changes, answers, code):
    write(tmp_path, name, **changes)
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    files = ["--data", str(tmp_path), "--answers", str(tmp_path / "answers.json")]
    assert main(["run", name, *files, "--limit", "1", "--out", str(tmp_path / "out")]) == code
    if name == "mmmu":
        assert main(["run", name, *files, "--out", str(tmp_path / "all")]) == 1, "most subjects are missing"
