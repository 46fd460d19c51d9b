"""Rounds: the same pictures however they are drawn and shared; rewards that are refused; prompts."""

import json

import pytest
import torch

from janusflow.data.mixture import share
from janusflow.rl.prompts import PROMPTS, FilePrompts, FilePromptsConfig, is_held_out
from janusflow.rl.rewards import advantages, judge
from janusflow.rl.rollouts import Share
from tests.rl.conftest import BRIGHTNESS, bundle_of, rollouts_of

SAMPLING = {"steps": 2, "guidance": 2.0}
CODES = {"guidance": 2.0}


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def without_seconds(rollouts, number=0):
    found = rollouts.load(number)
    return found._replace(notes={**found.notes, "rollout_seconds": 0.0})


@pytest.mark.parametrize(("kind", "sampling"), [("flow_grpo", SAMPLING), ("grpo", CODES)])
def test_a_round_is_the_same_however_it_was_interrupted(kind, sampling, tokenizer, tmp_path, prompts):
    bundle = bundle_of(kind, tokenizer)
    whole = rollouts_of(bundle, tmp_path / "a", prompts, sampling)
    whole.draw(0, bundle.model)
    first = without_seconds(whole)
    assert [prompt["prompt"] for prompt in first.prompts[:3]] == [first.prompts[0]["prompt"]] * 3
    assert first.latents.shape[0] == 6 and first.advantage.view(2, 3).sum(1).abs().max() < 1e-3
    kept = files(tmp_path / "a")
    lost = tmp_path / "a" / "round-000000" / "000002.safetensors"
    lost.unlink()
    with pytest.raises(ValueError, match=r"cannot read the rollouts .*000002"):
        whole.load(0)
    again = rollouts_of(bundle, tmp_path / "a", prompts, sampling)
    again.draw(0, bundle.model)
    second = without_seconds(again)
    assert all(torch.equal(first.values[name], second.values[name]) for name in first.values)
    assert first.latents.equal(second.latents) and first.notes == second.notes
    assert {name: content for name, content in files(tmp_path / "a").items() if name != lost.name} == {
        name: content for name, content in kept.items() if name != lost.name
    }, "what was there stayed"
    again.draw(1, bundle.model)
    assert not again.load(1).latents.equal(first.latents)
    again.forget(1)
    assert not again.path(0).exists() and again.path(1).exists()


def test_what_was_drawn_for_other_prompts_is_refused(tokenizer, tmp_path, prompts):
    bundle = bundle_of("nft", tokenizer)
    rollouts_of(bundle, tmp_path, prompts, {"steps": 2, "guidance": 1.0}).draw(0, bundle.model)
    prompts.write_text(prompts.read_text().replace("a", "one"))
    edited = rollouts_of(bundle, tmp_path, prompts, {"steps": 2, "guidance": 1.0})
    for use in (lambda: edited.load(0), lambda: edited.draw(0, bundle.model)):
        with pytest.raises(ValueError, match=r"round-000000/000000\S* were drawn for other prompts"):
            use()


def test_a_steps_images_do_not_depend_on_how_many_share_it(tokenizer, tmp_path, prompts):
    bundle = bundle_of("flow_grpo", tokenizer)
    rollouts = rollouts_of(bundle, tmp_path, prompts, SAMPLING)
    rollouts.draw(0, bundle.model)
    rollouts.round = rollouts.load(0)
    whole, told = rollouts.batch(0, 2, 7, Share(0, 1))
    parts = [rollouts.batch(0, 2, 7, Share(number, 3)) for number in range(3)]
    assert len(whole.seeds) == 14, "behind prompts, and behind dropped ones"
    assert whole.gen_latents[:7].equal(whole.gen_latents[7:])
    order = [index for number in range(3) for index in share(7, number, 3)]
    for name, value in told.items():
        halves = [one[name].chunk(2)[0] for _, one in parts]
        assert torch.cat(halves).equal(value[order]), name
    seen = rollouts.batch(0, 0, 12, Share(0, 1))[1]["z"][:12]
    assert len(torch.unique(seen.flatten(1), dim=0)) == 12, "six pictures of two steps, once each"
    empty, nothing = rollouts.batch(0, 0, 1, Share(1, 2))
    assert len(empty.seeds) == 0 and {name: value.shape[1:] for name, value in nothing.items()} == {
        name: value.shape[1:] for name, value in told.items()
    }
    assert not any(map(len, nothing.values()))


def test_advantages_compare_within_a_prompts_images():
    rewards = torch.tensor([0.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    found = advantages(rewards, 3)
    assert found[:3].tolist() == pytest.approx([-(2**0.5), 0.5**0.5, 0.5**0.5]) and not found[3:].any()


def test_wrong_rewards_are_named(monkeypatch):
    prompts = [{"prompt": "a cat"}, {"prompt": "a dog"}]
    for given, message in (
        ([1.0], r"the reward tests.rl.conftest:brightness gave \(1,\) scores for 2 images"),
        ([1.0, float("nan")], "gave nan for an image of 'a dog'"),
        (["much", 1.0], "the reward tests.rl.conftest:brightness failed"),
    ):
        monkeypatch.setattr("tests.rl.conftest.brightness", lambda images, prompts, given=given: given)
        with pytest.raises(ValueError, match=message):
            judge([BRIGHTNESS], [None, None], prompts)
    with pytest.raises(ValueError, match="unknown reward 'rule'; did you mean rules"):
        judge(["rule"], [None, None], prompts)


def test_prompts_come_all_once_before_any_comes_again(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("\n".join("abcdef"))
    source = FilePrompts(FilePromptsConfig(path=str(path)))
    rounds = [[one["prompt"] for one in source.draw([0, 1], number, 2)] for number in range(6)]
    assert sorted(rounds[0] + rounds[1] + rounds[2]) == sorted(rounds[3] + rounds[4] + rounds[5]) == list("abcdef")
    assert rounds[:3] != rounds[3:]
    with pytest.raises(ValueError, match="holds 6 prompts, and a round asks 7"):
        source.draw([0], 0, 7)
    held = {"prompt": "a red star", "include": [{"class": "star", "count": 1, "color": "red"}]}
    from janusflow.worlds.casts import cast_of
    from janusflow.worlds.scenes import Group
    from janusflow.worlds.vocabulary import COLORS

    color = next(c for c in COLORS if cast_of("shapes").held_out(Group("star", c, 1)))
    held["include"][0]["color"] = color
    listing = tmp_path / "p.jsonl"
    listing.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"p.jsonl, prompt 1: .* never shows; rollout.prompts.held_out=true"):
        FilePrompts(FilePromptsConfig(path=str(listing)))
    assert len(FilePrompts(FilePromptsConfig(path=str(listing), held_out=True)).prompts) == 1


def test_a_worlds_prompts_are_of_all_tags_and_of_training():

    kind = PROMPTS.load("world")
    source = kind(kind.Config(cast="shapes"))
    first, second = source.draw([0, 1], 0, 12), source.draw([0, 1], 1, 12)
    assert len({one["prompt"] for one in first}) == 12 and first != second
    assert len({one["tag"] for one in first}) == 6 and not any(map(is_held_out, first))
    assert first == source.draw([0, 1], 0, 12)
