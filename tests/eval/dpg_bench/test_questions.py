"""The reader of DPG-Bench's files."""

import json
import re
from pathlib import Path

import pytest

from eval.dpg_bench.questions import check_rows, group_rows, prompts_of_json, read_prompts, read_rows

DPG_PROMPTS = Path(__file__).parents[3] / "../shared/data/prompts/dpg_prompts.json"
HEADER = (
    "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language"
)
LINES = (
    'p97,"A dog, red",,1,0,entity,whole,entity - whole (dog),Is there a dog?',
    'p97,"A dog, red",,2,1,attribute,color,"attribute - color (dog, red)",Is the dog red?',
    '12,A cat,,1,0,global,,global (photo),"Is this a ""photo""?"',
    '12,A cat,,2,"1, 1",entity,part,entity - part (cat),Is there a cat?',
)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "dpg_bench.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8-sig")
    return path


def test_rows_in_file_order_of_which_official_grouping_lacks_the_first(tmp_path):
    rows = read_rows(write(tmp_path, *LINES))
    assert [(row.number, row.item, row.id, row.parents, row.category) for row in rows] == [
        (0, "p97", 1, (), "entity - whole"),
        (1, "p97", 2, (1,), "attribute - color"),
        (2, "12", 1, (), "global"),
        (3, "12", 2, (1, 1), "entity - part"),
    ]
    assert rows[0].text == "A dog, red" and rows[2].question == 'Is this a "photo"?'
    assert check_rows(rows) == {}
    assert {item: list(ids) for item, ids in group_rows(rows, "corrected").items()} == {"p97": [1, 2], "12": [1, 2]}
    assert {item: list(ids) for item, ids in group_rows(rows, "official").items()} == {"p97": [2], "12": [1, 2]}


def test_damaged_rows_and_other_files_are_refused(tmp_path):
    for line, message in (
        ("a,t,,x,0,e,w,e (x),Is it?", "line 2: the column proposition_id holds 'x'"),
        ("a,t,,1,1;2,e,w,e (x),Is it?", "line 2: the column dependency holds '1;2'"),
        ("a,t,,1,,e,w,e (x),Is it?", "line 2 has no 'dependency'"),
        ("../a,t,,1,0,e,w,e (x),Is it?", "cannot be a file's name"),
        ("a,,,1,0,e,w,e (x),Is it?", "the item a has no prompt"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            read_prompts(read_rows(write(tmp_path, line)), tmp_path)
    (tmp_path / "dpg_bench.csv").write_text("item_id,text\na,b\n")
    with pytest.raises(ValueError, match="has no column proposition_id, dependency"):
        read_rows(tmp_path / "dpg_bench.csv")
    (tmp_path / "dpg_prompts.json").write_text('[{"prompt": "A dog"}]')
    with pytest.raises(ValueError, match="is no list of prompts"):
        prompts_of_json(tmp_path / "dpg_prompts.json")


def test_faults_that_do_not_stop_the_reader_are_named(tmp_path):
    lines = [*LINES, LINES[0], "12,A cow,,3,7,e,w,e (x),Is it?"]
    problems = check_rows(read_rows(write(tmp_path, *lines)))
    assert problems == {
        **{"duplicate question": ["p97/1"], "divided item": ["p97", "12"]},
        **{"unknown parent": ["12/3"], "several prompts": ["12"]},
    }


def test_prompts_come_from_the_mirror_from_files_or_else_from_the_csv(tmp_path):
    rows = read_rows(write(tmp_path, *LINES))
    ours = {"p97": "A dog, red", "12": "A cat"}
    assert read_prompts(rows, tmp_path) == (ours, {})
    (tmp_path / "dpg_prompts.json").write_text(json.dumps([{"prompt": "A dog, red", "prompt_file_name": "p97"}]))
    assert read_prompts(rows, tmp_path) == (ours, {"missing": ["prompt of 12"]})
    (tmp_path / "dpg_prompts.json").unlink()
    (tmp_path / "prompts").mkdir()
    for name, text in (("p97", "A  dog, red\n"), ("12", "A white cat"), ("13", "A cow")):  # space does not matter
        (tmp_path / "prompts" / f"{name}.txt").write_text(text)
    prompts, problems = read_prompts(rows, tmp_path)
    assert prompts == {"p97": "A  dog, red", "12": "A white cat"}
    assert problems == {"unexpected": ["prompt of 13"], "contradiction": ["prompt of 12"]}


@pytest.mark.skipif(not DPG_PROMPTS.exists(), reason=f"no DPG-Bench prompts at {DPG_PROMPTS}")
def test_all_1065_real_prompts_are_read():
    prompts = prompts_of_json(DPG_PROMPTS)
    assert len(prompts) == 1065 and all(prompts.values())
    assert prompts["countbench27"].startswith("Seven cylindrical brown glass beer bottles")
