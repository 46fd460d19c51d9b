"""Pictures whose folder says in a listing which prompts they show, and folders that say nothing."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from eval.__main__ import main
from eval.listing import match_listing
from eval.task import Drawing, Work

WORK = Work([Drawing(f"{p}/{n}", f"a {p}", (n,), f"{p}/samples/{n}.png") for p in ("cat", "dog") for n in range(2)])
ROWS = [("3.png", "a cat"), ("x/1.png", "a dog"), ("1.png", " a cat"), ("2.png", "a cat"), ("9.png", "a cow")]


def folder_of(folder, rows, name="listing.jsonl", keys=("file", "prompt")):
    for file, _ in rows:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / file)
    if name.endswith(".jsonl"):
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    else:
        lines = [",".join(row) for row in (keys, *rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("name", "keys"), [("listing.jsonl", ("file", "prompt")), ("metadata.csv", ("file_name", "text"))]
)
def test_the_files_of_a_prompt_are_taken_in_turn(tmp_path, name, keys):
    folder = folder_of(tmp_path, ROWS, name, keys)
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    found = match_listing(folder, WORK)
    assert [one.path for one in found.drawings] == ["3.png", "1.png", "x/1.png", "dog/samples/1.png"]
    assert [one.id for one in found.drawings] == [one.id for one in WORK.drawings]
    assert found.problems == {"unexpected": ["2.png", "9.png", "other.png"]}
    assert found.protocol == {"pictures": f"listed in {name}"}


def test_other_files_are_no_listing(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat"}\n')
    (tmp_path / "scores.csv").write_text("file,score\na.png,1\n")
    assert match_listing(tmp_path, WORK) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("3.png", "a dog"), "row 2: 3.png is listed twice"),
        (("./3.png", "a dog"), "row 2: 3.png is listed twice"),
        (("../3.png", "a dog"), "row 2: there is no file of the folder"),
        (("4.png", ""), "row 2: there is no file of the folder with a prompt"),
    ],
)
def test_damaged_rows_are_refused(tmp_path, row, message):
    folder = folder_of(tmp_path / "pictures", [ROWS[0], row])
    with pytest.raises(ValueError, match=message):
        match_listing(folder, WORK)


def test_two_listings_are_refused(tmp_path):
    folder_of(tmp_path, ROWS)
    with pytest.raises(ValueError, match=r"several listings, listing.jsonl and metadata.csv"):
        match_listing(folder_of(tmp_path, ROWS, "metadata.csv"), WORK)


@pytest.mark.parametrize("listed", [False, True])
def test_a_folder_without_any_prompts_picture_is_refused_and_not_scored(tmp_path, capsys, listed):
    folder = folder_of(tmp_path / "theirs", [("1.png", "a cow on the moon")])
    if not listed:
        (folder / "listing.jsonl").unlink()
    geneval = {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"}
    (tmp_path / "geneval.jsonl").write_text(json.dumps(geneval) + "\n")
    (tmp_path / "prompts.txt").write_text("a dog\n")
    (tmp_path / "dpg_bench.csv").write_text(
        "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
        "question_natural_language\nitem,a dog,k,1,0,entity,whole,entity - whole (dog),Is there a dog?\n"
    )
    tasks = {
        "geneval": (["--data", "geneval.jsonl"], "00000/samples/00000.png"),
        "dpg-bench": (["--data", "dpg_bench.csv", "--pic-num", "1"], "item.png"),
        "clip-score": (["--prompts", "prompts.txt"], "00000.png"),
        "shapes": ([], "in_distribution/00000/0000.png"),
    }
    for task, (data, form) in tasks.items():
        files = [str(tmp_path / one) if "." in one else one for one in data]
        assert main(["run", task, *files, "--images", str(folder), "--out", str(tmp_path / task)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and form in error and "listing.jsonl" in error and "CSV" in error
        assert not (tmp_path / task).exists()
