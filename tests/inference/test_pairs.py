"""Pairs of noise and drawings: what is stored, that it goes on, what a student trains on, and what is refused."""

import json

import pytest
import torch

from janusflow.checkpoints.pretrained import Bundle
from janusflow.cli import main
from janusflow.codecs.vae import LatentCodec
from janusflow.data.config import source_config
from janusflow.data.latents import read_header
from janusflow.data.rows import RowBuilder
from janusflow.data.sources import open_reader
from janusflow.inference import pairs as module
from janusflow.inference.images import sample_latents
from janusflow.inference.pairs import PairMaker, make_pairs
from janusflow.inference.prompts import read_prompts
from janusflow.options import CodeSampling, FlowSampling
from janusflow.weights import ASSETS

PROMPTS = ["a red circle", "two stars", "a ring", "a blue cross", "a circle"]
OPTIONS = FlowSampling(steps=2, guidance=3.0)


@pytest.fixture
def teacher(tiny_model, tokenizer):
    return Bundle(tiny_model, codec_of_flow(), tokenizer, digest="abc")


def codec_of_flow():
    return LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")


@pytest.fixture
def stored(teacher, tmp_path):
    make_pairs(teacher, PROMPTS, 40, OPTIONS, tmp_path / "pairs", batch_size=2)
    return tmp_path / "pairs"


def test_a_pair_is_a_prompt_a_seed_and_what_was_drawn(stored, teacher):
    reader = open_reader(source_config("pairs", path=str(stored)))
    assert len(reader) == 5 and reader.tasks == ("generation",)
    wanted = torch.cat([*sample_latents(teacher, PROMPTS, list(range(40, 45)), OPTIONS)])
    for item, prompt in enumerate(PROMPTS):
        sample = reader.generation(item, None)
        assert (sample.image, sample.prompt, sample.noise) == (None, prompt, 40 + item)
        torch.testing.assert_close(sample.latent, wanted[item])
    made_by = read_header(stored / "00000.safetensors").made_by
    assert made_by["model"] == "abc" and json.loads(made_by["sampling"])["guidance"] == 3.0


def test_training_starts_from_the_pairs_noise(stored, teacher):
    reader = open_reader(source_config("pairs", path=str(stored)))
    samples = [reader.generation(item, None) for item in (3, 1)]
    builder = RowBuilder(teacher.template, 16, 96)
    batch = builder.collate([builder.generation(one, True, False) for one in samples], [], samples, seeds=[7, 8])
    assert batch.noise.tolist() == [43, 41]
    head = teacher.model.head
    _, state = head.prepare(batch.gen_latents, batch.seeds, {"noise": batch.noise})
    torch.testing.assert_close(state.z_0, head.start([43, 41], torch.device("cpu")))
    _, free = head.prepare(batch.gen_latents, batch.seeds, {"noise": torch.tensor([-1, 41])})
    assert torch.equal(free.t, state.t) and torch.equal(free.z_0[1], state.z_0[1])
    assert not torch.equal(free.z_0[0], state.z_0[0])


def test_interrupted_it_goes_on_with_the_batch_at_hand(stored, teacher, tmp_path, monkeypatch):
    made = []
    make = PairMaker.make

    def interrupted(self, batch):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(list(batch.items))
        return make(self, batch)

    monkeypatch.setattr(PairMaker, "make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_pairs(teacher, PROMPTS, 40, OPTIONS, tmp_path / "again", batch_size=2)
    monkeypatch.setattr(PairMaker, "make", lambda self, batch: made.append(list(batch.items)) or make(self, batch))
    counts = []
    make_pairs(teacher, PROMPTS, 40, OPTIONS, tmp_path / "again", 2, lambda done, total: counts.append((done, total)))
    assert made == [[0, 1], [2, 3], [4]] and counts[-1] == (5, 5)
    name = "00000.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (stored / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [name, "pairs.jsonl"]


def test_what_cannot_be_is_refused(stored, teacher, janus_bundle, tmp_path):
    with pytest.raises(ValueError, match="pairs of other prompts or seeds"):
        make_pairs(teacher, PROMPTS, 41, OPTIONS, stored)
    with pytest.raises(ValueError, match="pairs are noise and latents of a flow, and the model has an autoreg"):
        make_pairs(janus_bundle, PROMPTS, 0, CodeSampling(), tmp_path / "codes")
    with pytest.raises(ValueError, match=r"cannot read the pairs .*pairs\.jsonl"):
        open_reader(source_config("pairs", path=str(tmp_path / "none")))
    (stored / "pairs.jsonl").write_text('{"prompt": "a ring"}\n')
    with pytest.raises(ValueError, match=r"pairs\.jsonl, line 1: no prompt with a seed"):
        open_reader(source_config("pairs", path=str(stored)))


def test_pictures_without_latents_do_not_go_with_pairs(stored, teacher):
    from PIL import Image

    from janusflow.data.sample import GenerationSample

    reader = open_reader(source_config("pairs", path=str(stored)))
    samples = [reader.generation(0, None), GenerationSample(Image.new("RGB", (16, 16)), "a ring")]
    builder = RowBuilder(teacher.template, 16, 96)
    with pytest.raises(ValueError, match="encode those first"):
        builder.collate([builder.generation(one, True, False) for one in samples], [], samples)


def test_files_of_prompts(tmp_path):
    (tmp_path / "a.txt").write_text("a ring\n\n two stars \n")
    (tmp_path / "a.jsonl").write_text('{"prompt": "a ring"}\n{"prompt": "two stars", "tag": "counting"}\n')
    assert read_prompts(tmp_path / "a.txt") == [{"prompt": "a ring"}, {"prompt": "two stars"}]
    assert read_prompts(tmp_path / "a.jsonl") == [{"prompt": "a ring"}, {"prompt": "two stars", "tag": "counting"}]
    (tmp_path / "b.jsonl").write_text('{"prompt": "a ring"}\n{"text": "two stars"}\n')
    (tmp_path / "empty.txt").write_text("\n")
    for name, message in (("b.jsonl", "line 2: this holds no prompt"), ("empty.txt", "holds no prompts")):
        with pytest.raises(ValueError, match=message):
            read_prompts(tmp_path / name)


def test_the_command(tmp_path, capsys, monkeypatch, teacher):
    (tmp_path / "prompts.txt").write_text("a ring\ntwo stars\n")
    seen = {}

    def noted(bundle, prompts, seed, options, out, batch_size, progress):
        seen.update(prompts=list(prompts), seed=seed, options=options, out=out)
        return [out / "00000.safetensors"]

    monkeypatch.setattr(module, "make_pairs", noted)
    monkeypatch.setattr("janusflow.cli.load", lambda args: teacher)
    command = ["pairs", "--out", str(tmp_path / "p"), "--seed", "9", "--steps", "3", "--guidance", "4"]
    assert main([*command, "--prompts", str(tmp_path / "prompts.txt"), "--count", "5"]) == 0
    assert seen["prompts"] == ["a ring", "two stars", "a ring", "two stars", "a ring"]
    assert seen["options"] == FlowSampling(steps=3, guidance=4.0) and seen["seed"] == 9
    assert main([*command, "--cast", "shapes", "--count", "7"]) == 0
    assert len(seen["prompts"]) == 7
    capsys.readouterr()
    assert main([*command, "--cast", "shapes"]) == 2
    assert "needs --count" in capsys.readouterr().err
