"""``python -m eval run`` on a tiny random model: stages, resumption, shards, pictures and answers from elsewhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.pages.report import protocol_text
from eval.result import RESULT, score_lines
from eval.store import SETTINGS, Store, drawn_by
from janusflow.weights import ASSETS
from tests.conftest import ROOT

FEW = ["--prompts-per-tag", "2", "--images-per-prompt", "1", "--questions-per-kind", "1", "--reference-images", "8"]
FEW += ["--batch-size", "4", "--workers", "0"]
ANSWERS = "answers-0-of-1.jsonl"


def command(model: Path, out: Path, *more: str) -> list[str]:
    return ["run", "world", "--model", str(model), "--out", str(out), *FEW, "--steps", "2", *more]


def from_elsewhere(of: Path, out: Path, *more: str) -> list[str]:
    """The command that scores the pictures and answers in the result folder ``of`` without a model."""
    given = ["--images", str(of / "pictures"), "--answers", str(of / ANSWERS)]
    return ["run", "world", *given, "--out", str(out), *FEW, *more]


def result_of(out: Path) -> dict:
    return json.loads((out / RESULT).read_text())


def change_line(path: Path, number: int, change) -> str:
    """Change a stored line; returns its id."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines[number])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines[number]["id"]


def fails(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory) -> Path:
    """The result folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(command(models / "flow", out)) == 0
    return out


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def same(whole):
    """Fails unless a folder's result is that of the undisturbed run, bit for bit."""

    def check(out: Path) -> None:
        assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()

    return check


def test_a_result_holds_scores_items_protocol_and_provenance(whole):
    result = result_of(whole)
    assert result["complete"] and result["problems"] == {}
    assert result["scores"][result["headline"]] is not None
    assert len(result["items"]) == (12 + 6 + 12) + (8 + 8)  # pictures, also of reworded prompts, and questions
    drawn, asked = result["items"][0], result["items"][-1]
    assert {"id", "prompt", "seeds", "path", "picture", "verdict", "correct", "reason"} <= set(drawn)
    assert {"id", "question", "gold", "answer", "right"} <= set(asked)
    model = result["provenance"]["model"]
    assert len(model["checkpoint"]) == len(model["codec"]) == 12
    assert model["sampling"]["steps"] == 2 and model["dtype"] == "float32" and model["libraries"]["torch"]
    assert result["protocol"]["judge"]["detector"] == "shapes oracle" and result["provenance"]["machine"]
    picture = Image.open(whole / "pictures" / drawn["path"])
    assert picture.text["prompt"] == drawn["prompt"] and picture.text["model"] == model["checkpoint"]


def test_a_result_names_its_codecs_own_reconstruction(whole):
    """Of the world that it is about, as the codec's card has it, which the model's folder took over."""
    codec = result_of(whole)["codec"]
    assert codec["digest"] == result_of(whole)["provenance"]["model"]["codec"]
    card = json.loads((ASSETS / "shapes" / "card.json").read_text())["vae"]["reconstructions"]
    assert codec["reconstructions"] == {where: one for where, one in card.items() if where.startswith("shapes (free),")}
    assert len(codec["reconstructions"]) == 2 and "--cast shapes --level free" in codec["measured_by"]
    held_out = "shapes (free), held out"
    told = f"{held_out}: rules {card[held_out]['rules']:.3f}, PSNR in dB {card[held_out]['psnr_db']:.2f}"
    assert told in "\n".join(score_lines(result_of(whole)))


def test_a_finished_run_does_nothing_again(whole, models, monkeypatch):
    before = (whole / RESULT).read_bytes()
    monkeypatch.setattr(Store, "add", None)
    assert main(command(models / "flow", whole)) == 0
    assert (whole / RESULT).read_bytes() == before


def test_workers_do_not_change_a_result(whole, models, tmp_path, same):
    out = tmp_path / "out"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("judged*", "result.json", "scored.json"))
    assert main(command(models / "flow", out, "--workers", "2")) == 0
    same(out)


@pytest.mark.parametrize(("stage", "batches"), [("drawn", 2), ("answers", 1), ("judged", 2)])
def test_an_interrupted_run_goes_on_to_the_same_result(models, tmp_path, monkeypatch, same, stage, batches):
    kept, done = Store.add, []

    def interrupted(store, entries):
        if store.stage == stage:
            if len(done) == batches:
                raise KeyboardInterrupt
            done.append(1)
        kept(store, entries)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Store, "add", interrupted)
        assert main(command(models / "flow", out)) == 130
    assert not (out / RESULT).exists()
    (out / ".settings.json.host-1.part").write_text("{")  # killed while the settings were written
    assert main(command(models / "flow", out)) == 0
    same(out)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(models, tmp_path, same):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "eval", *command(models / "flow", out)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lines = out / "drawn-0-of-1.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines.exists()
    assert main(command(models / "flow", out)) == 0
    same(out)


def test_shards_and_the_processes_of_torchrun_give_what_one_process_gives(models, tmp_path, capsys, monkeypatch, same):
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--shard", "1/2")) == 0
    assert "others are left" in capsys.readouterr().out and not (out / RESULT).exists()
    assert main(command(models / "flow", out)) == 0  # all that is left
    same(out)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(command(models / "flow", tmp_path / "other")) == 0
    same(tmp_path / "other")
    assert main(command(models / "flow", out, "--shard", "0/2")) == 2


def test_the_rest_of_a_limited_run_is_drawn_later(models, tmp_path, capsys, same):
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--limit", "4")) == 0
    limited = result_of(out)
    assert not limited["complete"] and list(limited["problems"]) == ["limited"]
    assert "INCOMPLETE" in capsys.readouterr().out
    assert main(command(models / "flow", out)) == 0
    same(out)


def test_a_folder_of_other_settings_or_of_something_else_is_not_touched(copy, models, tmp_path, capsys):
    def files():
        return {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    before = files()
    for head, more, message in (
        ("flow", ["--guidance", "1.5"], "other settings (model.sampling, model.sampling_text)"),
        ("flow", ["--batch-size", "3"], "(batch_size)"),  # shards would leave some items to nobody
        ("flow", ["--seed", "7"], "model.seed"),
        ("ar2", [], "model.checkpoint"),
    ):
        arguments = command(models / head, copy, *more)
        assert main(arguments if head == "flow" else arguments[:-2]) == 2  # which has no steps
        assert message in capsys.readouterr().err and files() == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    assert main(command(models / "flow", tmp_path / "thesis")) == 2
    assert "holds no results" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_pictures_and_answers_are_scored_without_a_model_and_settings_of_others_are_not_ours(whole, tmp_path, copy):
    assert main(from_elsewhere(whole, tmp_path / "out")) == 0
    ours, theirs = result_of(whole), result_of(tmp_path / "out")
    assert theirs["scores"] == ours["scores"]
    assert theirs["provenance"]["model"] is None
    assert theirs["provenance"]["drawn_by"]["checkpoint"] == ours["provenance"]["model"]["checkpoint"]
    assert drawn_by(copy / "pictures")["sampling"]["steps"] == 2
    for content in ("[1]", '{"model": "gpt"}', "{", '{"model": {"checkpoint": "0123"}}'):
        (copy / SETTINGS).write_text(content)
        assert drawn_by(copy / "pictures") is None


def test_wrong_pictures_are_named_and_count_as_wrong_until_they_are_mended(whole, copy, tmp_path, capsys):
    missing, torn, *_ = sorted((copy / "pictures").rglob("*.png"))
    missing.unlink()
    torn.write_bytes(torn.read_bytes()[:100])
    strangers = ["foreign.png", "in_distribution/00099/0000.png"]
    for stranger in strangers:
        path = copy / "pictures" / stranger
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 48)).save(path)
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    result = result_of(tmp_path / "out")
    names = [str(path.relative_to(copy / "pictures").with_suffix("")) for path in (missing, torn)]
    found = {kind: [line.split(":")[0] for line in lines] for kind, lines in result["problems"].items()}
    assert found == {"missing": names[:1], "unreadable": names[1:], "unexpected": strangers} and not result["complete"]
    told = capsys.readouterr()
    assert "INCOMPLETE" in told.out and names[0] in told.err and names[1] in told.err
    wrong = {item["id"]: item["reason"] for item in result["items"] if item["id"] in names}
    assert set(wrong.values()) == {"no picture"}

    shutil.rmtree(copy / "pictures")
    shutil.copytree(whole / "pictures", copy / "pictures")  # mended: judged again, and only these
    assert main(from_elsewhere(copy, tmp_path / "out")) == 0
    before = result_of(tmp_path / "out")
    assert before["scores"] == result_of(whole)["scores"]

    Image.new("RGB", (64, 64), "white").save(copy / "pictures" / before["items"][0]["path"])  # of another size, too
    assert main(from_elsewhere(copy, tmp_path / "out")) == 0
    after = result_of(tmp_path / "out")["items"][0]
    assert before["items"][0]["picture"] != after["picture"] and after["verdict"]["detections"] == []


def test_answers_that_are_missing_or_too_many_are_named(copy, tmp_path):
    """A line of ours that names a problem is no answer."""
    first, second, *lines = (copy / ANSWERS).read_text().splitlines()
    names = [json.loads(line)["id"] for line in (first, second)]
    failed = json.dumps({"id": names[0], "problem": "unanswerable", "reason": "too long"})
    (copy / ANSWERS).write_text("\n".join([failed, *lines, '{"id": "nobody", "answer": "yes"}']) + "\n")
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    problems = result_of(tmp_path / "out")["problems"]
    missing = [f"{name}: no answer" for name in names]
    assert problems == {"missing": missing, "unexpected": ["nobody: an answer to no question"]}


def test_stored_lines_that_do_not_say_what_was_asked_or_seen(copy, models, capsys, same):
    change_line(copy / ANSWERS, 0, lambda line: line.pop("seen"))  # answered again
    assert main(command(models / "flow", copy)) == 0
    same(copy)
    for stage, key in (("answers", "question"), ("drawn", "prompt")):
        name = change_line(copy / f"{stage}-0-of-1.jsonl", -1, lambda line, key=key: line.pop(key))
        fails(capsys, command(models / "flow", copy), f"item {name} has no {key}")


def test_a_limit_takes_a_part_of_what_is_elsewhere(copy, tmp_path):
    assert main(from_elsewhere(copy, tmp_path / "out", "--limit", "3")) == 0
    result = result_of(tmp_path / "out")
    assert list(result["problems"]) == ["limited"] and len(result["items"]) == 6
    (copy / "pictures" / result["items"][0]["path"]).unlink()
    assert main(from_elsewhere(copy, tmp_path / "second", "--limit", "3")) == 1


def test_answers_that_cannot_be_read_are_refused(whole, tmp_path, capsys):
    for content, message in (
        ('{"id": "a", "answer": "x"}\n{"id": "a", "answer": "y"}\n', "two answers to a"),
        ('{"id": "a"}\n', "every line must be"),
        ('{"id": "a", "answer": 3}\n', "not a text"),
        ("", "holds no answers"),
        ("nonsense", "line 1"),
    ):
        (tmp_path / "answers.jsonl").write_text(content)
        answers = ["--answers", str(tmp_path / "answers.jsonl")]
        fails(capsys, [*from_elsewhere(whole, tmp_path / "out"), *answers], message)
        assert not (tmp_path / "out").exists()


def test_bad_input_is_one_line(models, tmp_path, capsys):
    for more, message in (
        (["--limit", "0"], "limit must be at least 1"),
        (["--batch-size", "0"], "batch size must be at least 1"),
        (["--workers", "-1"], "workers must be at least 0"),
        (["--shard", "2/2"], "from 0 to N-1"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--prompts-per-tag", "-1"], "prompts_per_tag must be at least 0"),
        (["--prompts-per-tag", "0", "--questions-per-kind", "0"], "nothing to draw or to answer"),
        (["--temperature", "1"], "temperature does not go with a flow head"),
        (["--images", "nowhere"], "there is no folder nowhere"),
        (["--model", "nowhere/at/all"], "nowhere/at/all"),
    ):
        fails(capsys, [*command(models / "flow", tmp_path / "out"), *more], message)
        assert not (tmp_path / "out" / SETTINGS).exists()


def test_a_world_is_judged_at_another_size_which_the_protocol_names(models, tmp_path, capsys):
    """The pictures have it, the scenes that they are compared with too; what cannot be is one line."""
    out = tmp_path / "wide"
    assert main(command(models / "flow", out, "--size", "32x64", "--questions-per-kind", "0")) == 0
    result = result_of(out)
    assert result["protocol"]["picture_size"] == "32x64" and "picture size 32x64" in protocol_text(result)
    assert {Image.open(path).size for path in (out / "pictures").rglob("*.png")} == {(64, 32)}
    assert result["items"][0]["verdict"]["side"] == pytest.approx((32 * 64) ** 0.5)
    fails(capsys, command(models / "flow", tmp_path / "b", "--size", "30x64"), "multiples of 8 pixels")
    fails(capsys, command(models / "flow", tmp_path / "b", "--size", "wide"), "a size is HEIGHTxWIDTH in pixels")
    for more in (["--cast", "objects"], ["--level", "fixed"]):
        fails(
            capsys, command(models / "flow", tmp_path / "b", "--size", "32x64", *more), "the world shapes (free) alone"
        )
