"""The command line, through the functions that users call: results, and bad input in one line with exit code 2."""

import dataclasses
import io
import json
import re
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
from janusflow.worlds.scenes import World, render, sample_scene
from janusflow.worlds.vocabulary import indefinite
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
    assert generate(tmp_path, "--seed", "3", "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["path"], first["seed"], second["seed"]) == (str(paths[0]), 3, 4) and first["steps"] == 2


def test_generate_draws_other_sizes(tmp_path, capsys):
    assert generate(tmp_path, "--size", "32x64", "--shift-scale", "tokens") == 0
    paths = sorted((tmp_path / "out").glob("*.png"))
    with Image.open(paths[0]) as image:
        assert image.size == (64, 32) and image.info["size"] == "32x64" and image.info["shift_scale"] == "tokens"
    capsys.readouterr()
    for size, fault in (("32", "a size is HEIGHTxWIDTH"), ("30x64", "multiples of 8 pixels, got the size 30x64")):
        assert generate(tmp_path, "--size", size) == 2
        error = capsys.readouterr().err
        assert fault in error and error.count("\n") == 1


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


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_models_answer_right(tmp_path, capsys, model):
    scene = sample_scene(np.random.default_rng(4), "colors", world=World("shapes", "fixed"))
    group = scene.groups[0]
    render(scene).save(tmp_path / "picture.png")
    questions = [
        f"what color is the {group.name}?",
        f"is there {indefinite(f'{group.color} {group.name}')}?",
        "what shape do you see?",
    ]
    assert main(["chat", str(tmp_path / "picture.png"), *questions, "--model", model]) == 0
    assert capsys.readouterr().out.split() == [group.color, "yes", group.name]
    assert main(["chat", str(tmp_path / "picture.png"), questions[1], "--model", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"question": questions[1], "answer": "yes"}


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


DRAW = ["generate", "a circle", "--out", "OUT"]
FAULTS = [  # arguments, and what the line names
    *(
        ([*DRAW, "--num-images", "1", "--steps", "1", *flags.split()], value)
        for flags, value in (
            ("--steps 0", "0"),
            ("--guidance -2", "-2"),
            ("--guidance nan", "nan"),
            ("--sampler rk9", "rk9"),
            ("--num-images 0", "0"),
            ("--batch-size 0", "0"),
            ("--seed -1", "-1"),
            (f"--seed {2**64}", "seed"),
            ("--memory 0", "memory"),
            ("--memory inf", "memory"),
            ("--shift 0", "0"),
            ("--model nowhere", "nowhere"),
            ("--device quantum", "quantum"),
            ("--option loud", "'loud' is not of the form NAME=VALUE"),
            ("--temperature 0.5", "temperature does not go with a flow head"),
            ("--model shapes-ar", "steps does not go with an autoregressive head"),
            ("--out FILE/out", "file"),
        )
    ),
    (["generate", "red " * 500, "--out", "OUT"], "positions"),
    (["generate", " ", "--out", "OUT"], "empty"),
    *((["export", "shapes-flow", "OUT", "--shard-size", size], size) for size in ("0GB", "0.0MB", "5", "5XB")),
    (["chat", "PICTURE", "red " * 500], "positions"),
    *((["chat", name, "what is it?"], name) for name in ("TEXT", "CUT", "MISSING", "OUT")),
]


@pytest.mark.parametrize(("arguments", "value"), FAULTS)
def test_what_is_impossible_is_named_in_one_line(tmp_path, capsys, picture, arguments, value):
    files = {"FILE": b"", "TEXT": b"not a picture", "CUT": picture.read_bytes()[:200]}
    for name, content in files.items():
        (tmp_path / name.lower()).write_bytes(content)
    (tmp_path / "out").mkdir()
    places = {name: str(tmp_path / name.lower()) for name in (*files, "MISSING", "OUT")} | {"PICTURE": str(picture)}
    filled = [re.sub("^(" + "|".join(places) + ")", lambda found: places[found[0]], word) for word in arguments]
    fails(capsys, filled, places.get(value, value))


def test_a_disk_that_is_full_is_named(tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        fails(capsys, ["export", "shapes-flow", tmp_path / "model"], f"cannot write the model to {tmp_path / 'model'}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "model" / "config.json").exists()


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
    for given, expected in (({"guidance": 3.0}, "3.0"), ({}, "5.0")):
        folder = tmp_path / expected
        save_pretrained(Bundle(tiny_janus, tiny_vq, tokenizer, sampling=given), folder / "model")
        assert main(["generate", "a ring", "--model", str(folder), "--out", str(folder), "--num-images", "1"]) == 0
        with Image.open(folder / "a-ring-0.png") as image:
            assert image.info["guidance"] == expected


@pytest.mark.parametrize("command", [["janusflow.cli", "generate", "a red circle", *FAST, "--out"], ["eval", "list"]])
def test_a_reader_that_goes_away_is_no_fault(command, tmp_path):
    command = [*command, str(tmp_path)] if command[-1] == "--out" else command
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read() and process.wait(60) == 128 + signal.SIGPIPE
