"""Somebody's folder of pictures against a benchmark's prompts: by the files' names, or by a listing."""

import itertools
import json

import pytest

from eval.__main__ import main
from eval.picture_folder import match_listing, match_pictures
from eval.task import Drawing, Work

WORK = Work([Drawing(stem, f"a {stem}", (i,), f"art/{stem}.png") for i, stem in enumerate("abc")])
PAIRS = Work([Drawing(f"{p}/{n}", f"a {p}", (n,), f"{p}/samples/{n}.png") for p in ("cat", "dog") for n in range(2)])
ROWS = [("3.png", "a cat"), ("x/1.png", "a dog"), ("1.png", " a cat"), ("2.png", "a cat"), ("9.png", "a cow")]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "paths", "problems"),
    [
        (("a.jpg", "b.PNG", "c.webp", "notes.txt", ".hidden.png"), ("a.jpg", "b.PNG", "c.webp"), {}),
        (("x/a.png", "y/b.png", "x/z/c.png"), ("x/a.png", "y/b.png", "x/z/c.png"), {}),
        # a stem twice: the first counts
        (("a.png", "a.jpg", "old/b.png", "new/b.png", "c.png"), ("a.jpg", "new/b.png", "c.png"),
         {"duplicate": ["a.png", "old/b.png"]}),
        (("b.jpg",), ("art/a.png", "b.jpg", "art/c.png"), {}),  # missing ones stay among the drawings
        (("a.png", "b.png", "c.png", "d.png"), ("a.png", "b.png", "c.png"), {"unexpected": ["d.png"]}),
        # where no name is a prompt's, all are scored
        (("animals/0.png", "art/0.png", "art/1.png"), ("animals/0.png", "art/0.png", "art/1.png"), {}),
        (("0.png", "1.png"), ("0.png", "1.png"), {"missing": ["1 of 3 pictures"]}),
        (("0.png", "1.png", "2.png", "3.png", "0.jpg"), ("0.jpg", "1.png", "2.png", "3.png"),
         {"duplicate": ["0.png"], "unexpected": ["4 pictures, where there are 3 prompts"]}),
    ],
)  # fmt: skip
def test_pictures_are_matched_by_stem_or_else_all_taken(tmp_path, names, paths, problems):
    found = match_pictures(touch(tmp_path, *names), WORK)
    assert [one.path for one in found.check().drawings] == list(paths) and found.problems == problems
    matched = found.protocol["pictures"] == "matched by name"
    assert matched == any(one.prompt for one in found.drawings)
    assert not matched or [one[:3] for one in found.drawings] == [one[:3] for one in WORK.drawings]


def test_the_benchmarks_own_problems_are_kept_and_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        match_pictures(touch(tmp_path, "notes.txt"), WORK)
    work = Work(WORK.drawings, problems={"duplicate": ["z"], "damaged": ["y"]})
    found = match_pictures(touch(tmp_path, "a.png", "a.jpg"), work)
    assert found.problems == {"duplicate": ["z", "a.png"], "damaged": ["y"]}
    assert work.problems == {"duplicate": ["z"], "damaged": ["y"]}


# --- listings ---


def listed(folder, rows, name="listing.jsonl", keys=("file", "prompt")):
    touch(folder, *(file for file, _ in rows))
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
    found = match_listing(touch(listed(tmp_path, ROWS, name, keys), "other.png"), PAIRS)
    assert [one.path for one in found.drawings] == ["3.png", "1.png", "x/1.png", "dog/samples/1.png"]
    assert [one.id for one in found.drawings] == [one.id for one in PAIRS.drawings]
    assert found.problems == {"unexpected": ["2.png", "9.png", "other.png"]}
    assert found.protocol == {"pictures": f"listed in {name}"}


def test_other_files_are_no_listing_and_damaged_ones_are_refused(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat"}\n')
    (tmp_path / "scores.csv").write_text("file,score\na.png,1\n")
    assert match_listing(tmp_path, PAIRS) is None
    for row, message in (
        (("3.png", "a dog"), "row 2: 3.png is listed twice"),
        (("./3.png", "a dog"), "row 2: 3.png is listed twice"),
        (("../3.png", "a dog"), "row 2: there is no file of the folder"),
        (("4.png", ""), "row 2: there is no file of the folder with a prompt"),
    ):
        with pytest.raises(ValueError, match=message):
            match_listing(listed(tmp_path, [ROWS[0], row]), PAIRS)
    listed(tmp_path, ROWS, "metadata.csv")
    with pytest.raises(ValueError, match=r"several listings, listing\.jsonl and metadata\.csv"):
        match_listing(tmp_path, PAIRS)


def test_a_folder_without_any_prompts_picture_is_refused_and_not_scored(tmp_path, capsys):
    folders = listed(tmp_path / "theirs", [("1.png", "a cow on the moon")]), touch(tmp_path / "unlisted", "1.png")
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
        "world": ([], "in_distribution/00000/0000.png"),
    }
    for (task, (data, form)), folder in itertools.product(tasks.items(), folders):
        files = [str(tmp_path / one) if "." in one else one for one in data]
        assert main(["run", task, *files, "--images", str(folder), "--out", str(tmp_path / task)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and form in error and "listing.jsonl" in error and "CSV" in error
        assert not (tmp_path / task).exists()
