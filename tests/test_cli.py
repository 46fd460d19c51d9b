"""The command line, through the functions that users call: results, and bad input in one line with exit code 2."""

import dataclasses
import io
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.data.template import ChatConfig
from janusflow.models.unified import UnifiedModel
from janusflow.weights import SHIPPED
from janusflow.worlds.shapes import render, sample_scene
from tests.conftest import ROOT

FAST = ["--steps", "2", "--num-images", "2"]


def generate(tmp_path, *more):
    return main(["generate", "two red circles and a blue star", "--out", str(tmp_path / "out"), *FAST, *more])


def test_generate_writes_pictures_that_say_how_they_were_made(tmp_path, capsys):
    assert generate(tmp_path, "--seed", "3", "--guidance", "2.5", "--sampler", "heun") == 0
    paths = sorted((tmp_path / "out").glob("*.png"))
    assert [path.name for path in paths] == [f"two-red-circles-and-a-blue-star-{seed}.png" for seed in (3, 4)]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    with Image.open(paths[0]) as image:
        info = image.info
    assert info["prompt"] == "two red circles and a blue star"
    assert (info["seed"], info["guidance"], info["sampler"], info["steps"]) == ("3", "2.5", "heun", "2")


def test_no_two_prompts_share_a_file(tmp_path, capsys):
    long = "a red circle above " * 4
    prompts = ["a ring", "A ring!", "红色的圆", "蓝色的方块", "!", "?", f"{long} a blue star", f"{long} a green star"]
    assert main(["generate", *prompts, "a ring", "--out", str(tmp_path), "--steps", "1", "--num-images", "1"]) == 0
    drawn = {}
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            drawn[image.info["prompt"]] = path.name
    assert drawn.keys() == set(prompts) and len(set(drawn.values())) == len(prompts)
    assert set(capsys.readouterr().out.split()) == {str(tmp_path / name) for name in drawn.values()}
    assert [drawn[prompt] for prompt in prompts[:3]] == ["a-ring-0.png", "a-ring_2-0.png", "红色的圆-0.png"]


def test_same_seed_gives_the_same_file_in_any_batch(tmp_path):
    assert generate(tmp_path / "a", "--batch-size", "1") == 0
    assert generate(tmp_path / "b", "--batch-size", "2") == 0
    for first in (tmp_path / "a" / "out").glob("*.png"):
        second = tmp_path / "b" / "out" / first.name
        with Image.open(first) as a, Image.open(second) as b:
            assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


def test_chat_answers_right(tmp_path, capsys):
    scene = sample_scene(np.random.default_rng(4), "colors")
    group = scene.groups[0]
    render(scene).save(tmp_path / "picture.png")
    questions = [
        f"what color is the {group.shape}?",
        f"is there a {group.color} {group.shape}?",
        "what shape do you see?",
    ]
    assert main(["chat", str(tmp_path / "picture.png"), *questions]) == 0
    assert capsys.readouterr().out.split() == [group.color, "yes", group.shape]


@pytest.fixture
def picture(tmp_path):
    render(sample_scene(np.random.default_rng(0))).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def fails(capsys, arguments, value):
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("error: ") and value in line, captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--steps", "0"], "0"),
        (["--guidance", "-2"], "-2"),
        (["--guidance", "nan"], "nan"),
        (["--sampler", "rk9"], "rk9"),
        (["--num-images", "0"], "0"),
        (["--batch-size", "0"], "0"),
        (["--seed", "-1"], "-1"),
        (["--seed", str(2**64)], "seed"),
        (["--memory", "0"], "memory"),
        (["--memory", "inf"], "memory"),
        (["--shift", "0"], "0"),
        (["--model", "nowhere"], "nowhere"),
        (["--device", "quantum"], "quantum"),
    ],
)
def test_bad_flags_are_named(tmp_path, capsys, flags, value):
    fails(capsys, ["generate", "a circle", "--out", tmp_path, "--num-images", "1", "--steps", "1", *flags], value)


def test_overlong_and_empty_prompts_are_refused(tmp_path, capsys):
    fails(capsys, ["generate", "red " * 500, "--out", tmp_path], "positions")
    fails(capsys, ["generate", " ", "--out", tmp_path], "empty")


def test_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    fails(capsys, ["generate", "a circle", "--out", tmp_path / "file" / "out", *FAST], "file")


def test_a_disk_that_is_full_is_named(tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        fails(capsys, ["export", SHIPPED, tmp_path / "model"], f"cannot write the model to {tmp_path / 'model'}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize("size", ["0GB", "0.0MB", "5", "5XB"])
def test_shards_have_a_size(tmp_path, capsys, size):
    fails(capsys, ["export", SHIPPED, tmp_path / "model", "--shard-size", size], size)


def test_damaged_model_is_named(tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_bytes((SHIPPED["shapes-flow"] / "config.json").read_bytes())
    (model / "model.safetensors").write_bytes((SHIPPED["shapes-flow"] / "model.safetensors").read_bytes()[:1000])
    fails(capsys, ["generate", "a circle", "--model", model, "--out", tmp_path], "model.safetensors")


def test_unreadable_images_are_named(tmp_path, capsys, picture):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:200])
    for path in (tmp_path / "text.png", tmp_path / "cut.png", tmp_path / "missing.png", tmp_path):
        fails(capsys, ["chat", path, "what is it?"], str(path))


def test_overlong_question_is_refused(capsys, picture):
    fails(capsys, ["chat", picture, "red " * 500], "positions")


def test_a_model_that_sees_codes_can_be_asked(tmp_path, capsys, tiny_janus_config, tiny_vq, tokenizer):
    torch.manual_seed(0)
    model = UnifiedModel(dataclasses.replace(tiny_janus_config, und_encoder="shared")).eval()
    save_pretrained(Bundle(model, tiny_vq, tokenizer), tmp_path / "model")
    render(sample_scene(np.random.default_rng(0))).save(tmp_path / "picture.png")
    arguments = ["chat", str(tmp_path / "picture.png"), "what?", "--model", str(tmp_path / "model")]
    assert main([*arguments, "--max-new-tokens", "2"]) == 0


def test_a_system_prompt_is_the_models_own_or_another(tmp_path, capsys, monkeypatch, tiny_janus, tokenizer, picture):
    save_pretrained(Bundle(tiny_janus, None, tokenizer, ChatConfig(system="a red ring")), tmp_path / "model")
    asked = ["chat", str(picture), "what?", "--model", str(tmp_path / "model"), "--max-new-tokens", "8"]
    answers = []
    for more in ([], ["--system", "a red ring"], ["--system", ""]):
        assert main([*asked, *more]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] != answers[2]
    monkeypatch.setattr(sys, "stdin", io.StringIO(" what? \n\n"))
    assert main([*asked[:2], *asked[3:], "--system", ""]) == 0
    assert capsys.readouterr().out == answers[2]


def test_exports_are_in_one_type(tmp_path, capsys, tiny_janus, tiny_vq, tokenizer):
    save_pretrained(Bundle(tiny_janus, tiny_vq, tokenizer), tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0
    assert {value.dtype for value in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}


def test_a_model_without_a_codec_is_exported_and_asked_but_draws_nothing(
    tmp_path, capsys, tiny_model, tokenizer, picture
):
    """A released JanusFlow has none beside it, and the layout holds none: nothing is looked for on the hub."""
    save_pretrained(Bundle(tiny_model, None, tokenizer), tmp_path / "model", "deepseek")
    model = ["--model", str(tmp_path / "model")]
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "out")]) == 0
    assert load_pretrained(tmp_path / "out", vae="stored").codec is None
    assert main(["chat", str(picture), "what?", *model, "--max-new-tokens", "2"]) == 0
    fails(capsys, ["generate", "a ring", "--out", tmp_path / "png", *model, "--vae", "none"], "--vae none")
    assert not (tmp_path / "png").exists()


def test_pictures_are_drawn_with_the_models_own_guidance(tmp_path, tiny_janus, tiny_vq, tokenizer):
    drawn = {}
    for guidance, expected in ((3.0, "3.0"), (None, "5.0")):
        folder = tmp_path / str(guidance)
        save_pretrained(Bundle(tiny_janus, tiny_vq, tokenizer, guidance=guidance), folder / "model")
        assert main(["generate", "a ring", "--model", str(folder), "--out", str(folder), "--num-images", "1"]) == 0
        with Image.open(folder / "a-ring-0.png") as image:
            drawn[guidance] = image.info["guidance"]
        assert drawn[guidance] == expected


@pytest.mark.parametrize(("flag", "value"), [("--steps", "3"), ("--sampler", "heun"), ("--shift", "2")])
def test_options_of_the_other_head_are_refused(tmp_path, capsys, tiny_janus, tiny_vq, tokenizer, flag, value):
    save_pretrained(Bundle(tiny_janus, tiny_vq, tokenizer), tmp_path / "model")
    arguments = ["generate", "a ring", "--out", tmp_path, "--num-images", "1"]
    fails(capsys, [*arguments, "--model", tmp_path / "model", flag, value], "autoregressive")
    fails(capsys, [*arguments, "--temperature", "0.5"], "temperature does not go with a flow head")


@pytest.mark.parametrize("command", [["janusflow.cli", "generate", "a red circle", *FAST, "--out"], ["eval", "list"]])
def test_a_reader_that_goes_away_is_no_fault(command, tmp_path):
    command = [*command, str(tmp_path)] if command[-1] == "--out" else command
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read() and process.wait(60) == 128 + signal.SIGPIPE
