"""``python -m eval run`` on a tiny random model: stages, resumption, shards, pictures and answers from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from eval.__main__ import main
from eval.result import RESULT
from eval.store import SETTINGS, Store, drawn_by
from tests.conftest import ROOT

FEW = ["--prompts-per-tag", "2", "--images-per-prompt", "1", "--questions-per-kind", "1", "--reference-images", "8"]
STAGES = ("drawn", "answers", "judged")


def command(model: Path, out: Path, *more: str) -> list[str]:
    return ["run", "shapes", "--model", str(model), "--out", str(out), *FEW, "--steps", "2", "--batch-size", "4", *more]


def result_of(out: Path) -> dict:
    return json.loads((out / RESULT).read_text())


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory) -> Path:
    """The result folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(command(models / "flow", out)) == 0
    return out


def test_a_result_holds_scores_items_protocol_and_provenance(whole):
    result = result_of(whole)
    assert result["complete"] and result["problems"] == {}
    assert result["scores"][result["headline"]] is not None
    assert len(result["items"]) == 12 + 6 + 5 + 5  # pictures and questions, in distribution and held out
    drawn, asked = result["items"][0], result["items"][-1]
    assert {"id", "prompt", "seeds", "path", "picture", "verdict", "correct", "reason"} <= set(drawn)
    assert {"id", "question", "gold", "answer", "right"} <= set(asked)
    model = result["provenance"]["model"]
    assert len(model["checkpoint"]) == len(model["codec"]) == 12
    assert model["sampling"]["steps"] == 2 and model["dtype"] == "float32" and model["libraries"]["torch"]
    assert result["protocol"]["judge"]["detector"] == "shapes oracle" and result["provenance"]["machine"]
    picture = Image.open(whole / "pictures" / drawn["path"])
    assert picture.text["prompt"] == drawn["prompt"] and picture.text["model"] == model["checkpoint"]


def test_a_finished_run_does_nothing_again(whole, models, monkeypatch):
    before = (whole / RESULT).read_bytes()
    monkeypatch.setattr(Store, "add", None)
    assert main(command(models / "flow", whole)) == 0
    assert (whole / RESULT).read_bytes() == before


@pytest.mark.parametrize("workers", ["0", "2"])
def test_workers_do_not_change_a_result(whole, models, tmp_path, workers):
    out = tmp_path / "out"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("judged*", "result.json", "scored.json"))
    assert main(command(models / "flow", out, "--workers", workers)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("batches", [0, 2])
def test_an_interrupted_run_goes_on_to_the_same_result(whole, models, tmp_path, monkeypatch, stage, batches):
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
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_goes_on_to_the_same_result(whole, models, tmp_path, stage):
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "eval", *command(models / "flow", out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lines = out / f"{stage}-0-of-1.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines.exists()
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_two_shards_give_what_one_gives(whole, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--shard", "1/2")) == 0
    assert "others are left" in capsys.readouterr().out and not (out / RESULT).exists()
    assert main(command(models / "flow", out, "--shard", "0/2")) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_the_processes_of_torchrun_are_shards(whole, models, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()
    with pytest.raises(SystemExit):
        main(["run"])
    assert main(command(models / "flow", out, "--shard", "0/2")) == 2


@pytest.mark.slow
def test_torchrun_itself_gives_the_same_result(whole, models, tmp_path):
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "eval"]
    threads = str(torch.get_num_threads())  # as many as behind ``whole``: rounding depends on it
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}
    done = subprocess.run(
        [*torchrun, *command(models / "flow", out)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_the_rest_of_a_limited_run_is_drawn_later(whole, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--limit", "4")) == 0
    limited = result_of(out)
    assert not limited["complete"] and list(limited["problems"]) == ["limited"]
    assert "INCOMPLETE" in capsys.readouterr().out
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_a_folder_of_other_settings_is_not_touched(whole, models, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main([*command(models / "flow", out), "--guidance", "1.5"]) == 2
    assert "other settings (model.sampling, model.sampling_text)" in capsys.readouterr().err
    assert main(command(models / "ar", out)[:-4]) == 2
    assert "model.checkpoint" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_not_touched(models, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("chapter one")
    assert main(command(models / "flow", tmp_path)) == 2
    assert "holds no results" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_batch_size_is_another_setting(whole, models, tmp_path, capsys):
    """Shards that cut the work into other batches would leave some to nobody."""
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--shard", "0/2")) == 0
    assert main(command(models / "flow", out, "--shard", "1/2", "--batch-size", "3")) == 2
    assert "(batch_size)" in capsys.readouterr().err


def test_a_kill_while_the_settings_were_written_is_no_obstacle(whole, models, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".settings.json.host-1.part").write_text("{")
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_fewer_shards_go_on_where_more_began(whole, models, tmp_path):
    out = tmp_path / "out"
    assert main(command(models / "flow", out, "--shard", "1/2")) == 0
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def from_elsewhere(whole: Path, out: Path) -> list[str]:
    """The command that scores the pictures and answers of ``whole`` without a model."""
    answers = whole / "answers-0-of-1.jsonl"
    pictures = whole / "pictures"
    return [
        "run",
        "shapes",
        "--images",
        str(pictures),
        "--answers",
        str(answers),
        "--out",
        str(out),
        *FEW,
        "--batch-size",
        "4",
    ]


def test_pictures_and_answers_are_scored_without_a_model(whole, tmp_path):
    assert main(from_elsewhere(whole, tmp_path / "out")) == 0
    ours, theirs = result_of(whole), result_of(tmp_path / "out")
    assert theirs["scores"] == ours["scores"]
    assert theirs["provenance"]["model"] is None
    assert theirs["provenance"]["drawn_by"]["checkpoint"] == ours["provenance"]["model"]["checkpoint"]


def test_missing_and_truncated_pictures_are_named_and_count_as_wrong(whole, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    missing, torn, *_ = sorted((copy / "pictures").rglob("*.png"))
    missing.unlink()
    torn.write_bytes(torn.read_bytes()[:100])
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    result = result_of(tmp_path / "out")
    assert not result["complete"]
    names = [str(path.relative_to(copy / "pictures").with_suffix("")) for path in (missing, torn)]
    assert [line.split(":")[0] for line in result["problems"]["missing"]] == names[:1]
    assert [line.split(":")[0] for line in result["problems"]["unreadable"]] == names[1:]
    told = capsys.readouterr()
    assert "INCOMPLETE" in told.out and names[0] in told.err and names[1] in told.err
    wrong = {item["id"]: item["reason"] for item in result["items"] if item["id"] in names}
    assert set(wrong.values()) == {"no picture"}

    shutil.copytree(whole / "pictures", copy / "pictures", dirs_exist_ok=True)  # mended: judged again, and only these
    assert main(from_elsewhere(copy, tmp_path / "out")) == 0
    assert result_of(tmp_path / "out")["scores"] == result_of(whole)["scores"]


def test_pictures_that_nobody_asked_for_are_named(whole, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for stranger in ("foreign.png", "in_distribution/00099/0000.png"):
        path = copy / "pictures" / stranger
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 48)).save(path)
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    result = result_of(tmp_path / "out")
    assert result["problems"] == {"unexpected": ["foreign.png", "in_distribution/00099/0000.png"]}
    assert result["scores"] == result_of(whole)["scores"] and not result["complete"]


def test_a_picture_that_changes_is_judged_again(whole, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    assert main(from_elsewhere(copy, tmp_path / "out")) == 0
    before = result_of(tmp_path / "out")["items"][0]
    Image.new("RGB", (48, 48), "white").save(copy / "pictures" / before["path"])
    assert main(from_elsewhere(copy, tmp_path / "out")) == 0
    after = result_of(tmp_path / "out")["items"][0]
    assert before["picture"] != after["picture"] and after["verdict"]["detections"] == []


def test_answers_that_are_missing_or_too_many_are_named(whole, tmp_path):
    lines = (whole / "answers-0-of-1.jsonl").read_text().splitlines()
    gone = json.loads(lines[0])["id"]
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    (copy / "answers-0-of-1.jsonl").write_text("\n".join([*lines[1:], '{"id": "nobody", "answer": "yes"}']) + "\n")
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    problems = result_of(tmp_path / "out")["problems"]
    assert problems == {"missing": [f"{gone}: no answer"], "unexpected": ["nobody: an answer to no question"]}


@pytest.mark.parametrize(("stage", "key"), [("answers", "question"), ("drawn", "prompt")])
def test_a_stored_line_that_does_not_say_what_was_asked_is_one_line(whole, models, tmp_path, capsys, stage, key):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    path = out / f"{stage}-0-of-1.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    name = lines[1]["id"]
    del lines[1][key]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(command(models / "flow", out)) == 2
    error = capsys.readouterr().err
    assert f"item {name} has no {key}" in error and error.count("\n") == 1


def test_an_answer_whose_picture_is_not_known_is_given_again(whole, models, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    path = out / "answers-0-of-1.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[0]["seen"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(command(models / "flow", out)) == 0
    assert (out / RESULT).read_bytes() == (whole / RESULT).read_bytes()


def test_a_limit_takes_a_part_of_what_is_elsewhere(whole, tmp_path, capsys):
    assert main([*from_elsewhere(whole, tmp_path / "out"), "--limit", "3"]) == 0
    result = result_of(tmp_path / "out")
    assert list(result["problems"]) == ["limited"] and len(result["items"]) == 6
    first = next(item["path"] for item in result["items"])
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    (copy / "pictures" / first).unlink()
    assert main([*from_elsewhere(copy, tmp_path / "second"), "--limit", "3"]) == 1


def test_answers_with_our_own_problems_among_them_are_read(whole, tmp_path):
    lines = (whole / "answers-0-of-1.jsonl").read_text().splitlines()
    name = json.loads(lines[0])["id"]
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    failed = json.dumps({"id": name, "problem": "unanswerable", "reason": "too long"})
    (copy / "answers-0-of-1.jsonl").write_text("\n".join([failed, *lines[1:]]) + "\n")
    assert main(from_elsewhere(copy, tmp_path / "out")) == 1
    assert result_of(tmp_path / "out")["problems"] == {"missing": [f"{name}: no answer"]}


def test_somebody_elses_settings_beside_pictures_are_not_ours(whole, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for content in ("[1]", '{"model": "gpt"}', "{", '{"model": {"checkpoint": "0123"}}'):
        (copy / SETTINGS).write_text(content)
        assert drawn_by(copy / "pictures") is None
    assert drawn_by(whole / "pictures")["sampling"]["steps"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a", "answer": "x"}\n{"id": "a", "answer": "y"}\n', "two answers to a"),
        ('{"id": "a"}\n', "every line must be"),
        ('{"id": "a", "answer": 3}\n', "not a text"),
        ("", "holds no answers"),
        ("nonsense", "line 1"),
    ],
)
def test_answers_that_cannot_be_read_are_refused(whole, tmp_path, capsys, content, message):
    file = tmp_path / "answers.jsonl"
    file.write_text(content)
    arguments = from_elsewhere(whole, tmp_path / "out")
    arguments[arguments.index("--answers") + 1] = str(file)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--limit", "0"], "limit must be at least 1"),
        (["--batch-size", "0"], "batch size must be at least 1"),
        (["--shard", "2/2"], "from 0 to N-1"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--prompts-per-tag", "-1"], "prompts_per_tag must be at least 0"),
        (["--prompts-per-tag", "0", "--questions-per-kind", "0"], "nothing to draw or to answer"),
        (["--temperature", "1"], "temperature does not go with a flow head"),
        (["--images", "nowhere"], "there is no folder nowhere"),
        (["--model", "nowhere/at/all"], "nowhere/at/all"),
    ],
)
def test_bad_input_is_one_line(models, tmp_path, capsys, more, message):
    assert main([*command(models / "flow", tmp_path / "out"), *more]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / SETTINGS).exists()


def test_the_list_says_what_every_task_needs(capsys):
    assert main(["list"]) == 0
    assert "shapes: shapes world\n    needs nothing" in capsys.readouterr().out


def test_help_of_a_task_shows_its_flags_and_those_of_the_model(capsys):
    with pytest.raises(SystemExit):
        main(["run", "shapes", "--help"])
    told = capsys.readouterr().out
    assert "--prompts-per-tag" in told and "--guidance" in told and "--shard" in told
