"""Models released as pickles, rewritten once: the same tensors, and nothing but tensors is unpickled."""

import json

import pytest
import torch
from safetensors.torch import load_file

from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.cli import main
from janusflow.weights import INDEX, SHIPPED

MODEL = SHIPPED["shapes-flow"]


class Malicious:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.fixture
def pickled(tmp_path):
    """The shipped model as if it were released in two pickled shards."""
    folder = tmp_path / "released"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((MODEL / name).read_bytes())
    weights = list(load_file(MODEL / "model.safetensors").items())
    for number, part in enumerate((weights[:100], weights[100:]), start=1):
        torch.save(dict(part), folder / f"pytorch_model-0000{number}-of-00002.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {}}))
    return folder


def test_a_rewritten_model_loads_and_has_the_same_weights(pickled, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(pickled), str(out), "--shard-size", "5MB"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert (out / INDEX).exists() and not list(out.glob("*.bin*"))
    found = load_pretrained(out, vae=None).model.state_dict()
    expected = load_pretrained(MODEL, vae=None).model.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_tensors_that_share_memory_are_written_one_by_one(pickled, tmp_path):
    shared = torch.arange(6.0)
    first = pickled / "pytorch_model-00001-of-00002.bin"
    torch.save({"a": shared, "b": shared, "c": shared[2:].view(2, 2), "d": shared.view(2, 3).T}, first)
    assert main(["convert", str(pickled), str(tmp_path / "out")]) == 0
    found = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in (("a", shared), ("b", shared), ("c", shared[2:].view(2, 2)), ("d", shared.view(2, 3).T)):
        assert torch.equal(found[name], value), name


def fails(capsys, arguments, words):
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and words in captured.err and "code ran" not in captured.out


def test_code_in_a_pickle_does_not_run(pickled, tmp_path, capsys):
    torch.save({"weight": Malicious()}, pickled / "pytorch_model-00001-of-00002.bin")
    fails(capsys, ["convert", pickled, tmp_path / "out"], "pytorch_model-00001-of-00002.bin")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_rewritten_is_named(pickled, tmp_path, capsys):
    fails(capsys, ["convert", MODEL, tmp_path / "out"], "*.bin")
    fails(capsys, ["convert", tmp_path / "nowhere", tmp_path / "out"], "nowhere")
    fails(capsys, ["convert", pickled, pickled], "not empty")
    (pickled / "pytorch_model-00002-of-00002.bin").write_bytes(b"cut off")
    fails(capsys, ["convert", pickled, tmp_path / "out"], "pytorch_model-00002-of-00002.bin")
    torch.save([1, 2], pickled / "pytorch_model-00002-of-00002.bin")
    fails(capsys, ["convert", pickled, tmp_path / "out"], "something else than named tensors")


def test_loading_says_how_to_rewrite(pickled, tmp_path, capsys):
    fails(capsys, ["generate", "a ring", "--model", pickled, "--out", tmp_path], "janusflow convert")
