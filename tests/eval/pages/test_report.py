"""``python -m eval report`` from result files."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.pages.page import Table
from eval.pages.report import find_results, overview_table, papers_tables
from eval.result import read_result, score_lines, show

MODEL = {"checkpoint": "0123", "resolution": 96, "dtype": "float32"}
CONTENT = {
    **{"task": "geneval", "title": "GenEval (HF detector)", "headline": "overall", "overview": ["overall"]},
    **{"complete": True, "scores": {"overall": 0.613, "counting": None}, "columns": {"GenEval": "overall"}},
    "protocol": {"prompts": "0123456789ab", "judge": {"detector": "Mask2Former"}, "limit": None},
    "provenance": {
        **{"model": None, "drawn_by": None, "images": None, "libraries": {"torch": "2.0"}, "machine": "a laptop"},
    },
    **{"problems": {}, "details": {}},
}


def write_result(folder: Path, **changes: object) -> Path:
    """A result of GenEval with four pictures; ``changes`` may be of a part's part."""
    (folder / "pictures").mkdir(parents=True)
    items = [{"prompt": prompt, "verdict": {}} for prompt in ("a bench", "two dogs") for _ in range(2)]
    for number, item in enumerate(items):
        item |= {"id": f"{item['prompt']}-{number % 2}", "path": f"{number}.png"}
        Image.new("RGB", (96, 96), "red").save(folder / "pictures" / item["path"])
    content = {**CONTENT, "items": items}
    for name, value in changes.items():
        part, _, key = name.partition(".")
        content[part] = {**content[part], key: value} if key else value
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_the_page_holds_scores_pictures_and_the_papers_rows(tmp_path, capsys):
    write_result(tmp_path / "mine" / "geneval")
    assert main(["report", str(tmp_path / "mine"), "--out", str(tmp_path / "out"), "--title", "Mine"]) == 0
    assert "| GenEval (HF detector): overall | 0.613 |" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.md").read_text()
    assert page.startswith("# Mine\n") and "| counting | – |" in page
    assert "| JanusFlow | 0.63 |" in page and "| mine (here) | 0.613 |" in page
    picture = "mine-GenEval-HF-detector-overall.png"
    assert f"]({picture})" in page
    Image.open(tmp_path / "out" / picture).verify()
    assert "data:image/png;base64," in (tmp_path / "out" / "report.html").read_text()
    assert r"mine (here) & 0.613 \\" in (tmp_path / "out" / "report.tex").read_text()


def test_the_codecs_own_reconstruction_stands_beside_a_result(tmp_path):
    """As its card has it, or the command that measures it."""
    measured = {"photos, 384 pixels": {"psnr_db": 31.26, "pictures": 500}}
    first = {"digest": "0f0f", "reconstructions": measured, "measured_by": "janusflow measure-codec"}
    write_result(tmp_path / "a" / "geneval", codec=first)
    write_result(tmp_path / "b" / "geneval", codec={**first, "reconstructions": {}})
    assert main(["report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.md").read_text()
    assert "a: The image codec 0f0f alone: photos, 384 pixels: PSNR in dB 31.26, pictures 500." in page
    assert "b: The image codec 0f0f alone: not measured (janusflow measure-codec)." in page
    write_result(tmp_path / "c" / "geneval")
    assert "alone" not in "\n".join(score_lines(read_result(tmp_path / "c" / "geneval" / "result.json")))


def test_models_stand_side_by_side_and_what_is_incomplete_is_marked(tmp_path):
    write_result(tmp_path / "a" / "geneval")
    problems = {"missing": ["a bench-0: there is no file"]}
    write_result(tmp_path / "b" / "geneval", scores={"overall": 0.5}, complete=False, problems=problems)
    write_result(tmp_path / "b" / "pope", task="pope", title="POPE", columns={}, scores={"overall": 88.0})
    folders = [str(tmp_path / "a"), f"other={tmp_path / 'b'}"]
    found = find_results(folders)
    rows = [["GenEval (HF detector): overall", "0.613", "0.500*"], ["POPE: overall", "", "88.00"]]
    assert overview_table(found) == Table(["score", "a", "other"], rows)
    assert all(table.rows[-1][-1] == "0.500*" for _, _, table in papers_tables(found))
    main(["report", *folders, "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.md").read_text()
    assert "* incomplete:" in page and "missing (1): a bench-0: there is no file" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["empty"], "holds no result.json"),
        (["none"], "holds no result.json"),
        (["full", "full"], "two models are called full"),
        (["=full"], "no name in '=full'"),
        (["twice"], "two results of GenEval (HF detector)"),
        (["m" * 300], "too long"),
        (["full", "--out", "full/geneval/result.json"], "cannot write to "),
    ],
)
def test_folders_that_cannot_be_reported_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("full/geneval", "twice/first", "twice/second"):
        write_result(tmp_path / folder)
    assert main(["report", "--out", "out", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_model_has_the_name_that_it_is_given_or_its_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("m", "a=b"):
        write_result(tmp_path / folder / "geneval")
    for folder in ("m", "./m", "m/", "./m/"):
        assert list(find_results([f"mine={folder}", folder])) == ["mine", "m"]
    assert list(find_results(["a=b/"])) == ["a=b"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"title": "x", "headline": "y"}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_what_is_no_result_is_one_line(tmp_path, capsys, content):
    (tmp_path / "result.json").write_text(content)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "result.json") in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        *(({"scores": {"overall": bad}}, "scores.overall") for bad in ("0.6", True)),
        ({"overview": [["overall"]]}, "overview.0"),
        ({"columns": {"GenEval": ["overall"]}}, "columns.GenEval"),
        ({"problems": {"missing": [3]}}, "problems.missing.0"),
        ({"problems": {"missing": "a bench"}}, "problems.missing"),
        *(({"protocol": bad}, "protocol.judge") for bad in ({}, {"judge": "a human"})),
        ({"provenance": {}}, "provenance.model"),
        ({"items": [3]}, "items.0"),
        ({"items": [{}, {"verdict": {}, "prompt": "a dog"}]}, "items.1.path"),
        ({"items": [{"verdict": {}, "path": "a.png", "prompt": []}]}, "items.0.prompt"),
        *(({"provenance.model": {**MODEL, name: None}}, f"provenance.model.{name}") for name in MODEL),
        ({"provenance.drawn_by": {"checkpoint": "0123"}}, "provenance.drawn_by.resolution"),
        ({"provenance.model": "ours"}, "provenance.model"),
        ({"provenance.images": 3}, "provenance.images"),
        ({"provenance.machine": None}, "provenance.machine"),
    ],
)
def test_a_part_that_pages_cannot_read_is_named(tmp_path, changes, wrong):
    path = write_result(tmp_path / "m", **changes) / "result.json"
    with pytest.raises(ValueError, match=f"{path} is no result .* it has no {re.escape(wrong)},"):
        read_result(path)


def test_a_model_of_few_words_and_a_damaged_picture_are_shown(tmp_path):
    write_result(tmp_path / "m", **{"provenance.model": {**MODEL, "sampling_text": None}})
    (tmp_path / "m" / "pictures" / "0.png").write_bytes(b"\x89PNG")
    assert main(["report", str(tmp_path / "m"), "--out", str(tmp_path / "out")]) == 0
    assert "96 px, float32" in (tmp_path / "out" / "report.md").read_text()


def test_points_of_a_sweep_are_no_results_and_other_main_scores_stand_apart(tmp_path):
    for folder, name, value in (("a", "MJHQ FID-30k", 9.5), ("b", "MJHQ FID-10k", 11.25)):
        changed = {"title": "MJHQ-30K", "headline": name, "overview": [name], "scores": {name: value}}
        write_result(tmp_path / "m" / folder, **changed)
    write_result(tmp_path / "m" / "geneval-sweep" / "guidance=1")
    (tmp_path / "m" / "geneval-sweep" / "sweep.json").write_text("{}")
    assert overview_table(find_results([str(tmp_path / "m")])).rows == [
        *(["MJHQ-30K: MJHQ FID-30k", "9.500"], ["MJHQ-30K: MJHQ FID-10k", "11.25"]),
    ]
    assert len(find_results([str(tmp_path / "m" / "geneval-sweep")])["geneval-sweep"]) == 1


def test_small_scores_keep_their_digits():
    assert [show(value) for value in (0.00041, -0.0003, 0.0123, 0.613, 9.51, 80.09, 1333.1)] == [
        *("0.00041", "-0.0003", "0.012", "0.613", "9.510", "80.09", "1333.1"),
    ]
