"""Runs that learn from verdicts: what they log, and that a kill at any moment changes nothing."""

import csv
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file

import train
from tests.rl.conftest import BRIGHTNESS
from tests.training.conftest import write_config

RL = """
base: {base}
name: {name}
out: {out}
parts: {{checkpoint: {model}}}
model:
  losses:
    image: {{weight: 0}}
    repa: {{weight: 0}}
    policy: {loss}
data: {{workers: 0, held_out: 2}}
sampling: {{guidance: 1.0}}
stages:
  rl:
    train: [llm, generation]
    steps: 5
    batch_size: 10
    lr: 1.0e-3
    ratios: [{{understanding: 40, generation: 60, text: 0}}]
    rollout:
      rewards: {{"{reward}": 1.0}}
      prompts: {{kind: world, cast: shapes, level: free}}
      prompts_per_round: 2
      group: 3
      updates: 2
      batch_size: 4
      sampling: {sampling}
trainer: {{save_every: 1, log_every: 1, precision: 32-true}}
preview: {{prompts: []}}
report: {{tasks: []}}
"""
LOSSES = {
    "nft": ("flow", "{kind: nft}", "{steps: 2, guidance: 1.0}"),
    "flow_grpo": ("flow", "{kind: flow_grpo, kl: 0.01}", "{steps: 2, guidance: 2.0}"),
    "grpo": ("ar", "{kind: grpo, kl: 0.01}", "{guidance: 2.0}"),
}


def rl_config(folder, kind, runs, name="rl", **changes):
    head, loss, sampling = LOSSES[kind]
    base = yaml.safe_load(write_config(folder, head).read_text())["base"]
    given = {"loss": loss, "sampling": sampling, "reward": BRIGHTNESS, "name": name, **changes}
    path = folder / f"{name}.yaml"
    path.write_text(RL.format(base=base, out=folder / "runs", model=runs(head).run / "model", **given))
    return path


def metrics(run):
    with (run / "metrics.csv").open(newline="") as file:
        return {(row["metric"], int(row["step"])): float(row["value"]) for row in csv.DictReader(file)}


def weights(run):
    return load_file(run / "model" / "model.safetensors")


@pytest.fixture(params=LOSSES)
def kind(request):
    return request.param


def test_a_run_learns_logs_and_goes_on_exactly_where_it_was_killed(kind, runs, tmp_path, monkeypatch, capsys):
    path = rl_config(tmp_path, kind, runs)
    assert train.main([str(path)]) == 0
    whole = tmp_path / "runs" / "rl"
    found = metrics(whole)
    names = {"reward", "reward_spread", f"reward/{BRIGHTNESS}", "rollout_seconds", "loss/policy", "loss/ar"}
    names |= {"moved"} if kind == "nft" else {"ratio", "clipped", "kl"}
    assert names <= {name for name, _ in found}
    assert found["reward", 0] == found["reward", 1] != found["reward", 2]
    if kind != "nft":
        assert found["ratio", 0] == pytest.approx(1, abs=1e-5)
    assert [one.name for one in sorted((whole / "rollouts" / "rl").iterdir())] == ["round-000002"]

    class Killed(BaseException):
        """Nothing catches it."""

    other = rl_config(tmp_path, kind, runs, "killed")
    import tests.rl.conftest as module
    from janusflow.training.module import UnifiedModule

    calls = {"reward": 0, "update": 0}

    def dying(what, at, real):
        def call(*given):
            calls[what] += 1
            if calls[what] == at:
                raise Killed
            return real(*given)

        return call

    with monkeypatch.context() as patch:  # in the second batch of the second round
        patch.setattr(module, "brightness", dying("reward", 4, module.brightness))
        with pytest.raises(Killed):
            train.main([str(other)])
    with monkeypatch.context() as patch:  # in the second step of the second round
        patch.setattr(UnifiedModule, "update", dying("update", 2, UnifiedModule.update))
        with pytest.raises(Killed):
            train.main([str(other), "--resume"])
    assert train.main([str(other), "--resume"]) == 0
    again = tmp_path / "runs" / "killed"
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(whole).items())
    same = {key: value for key, value in found.items() if "second" not in key[0] and key[0] != "memory_gib"}
    theirs = metrics(again)
    assert {key: theirs[key] for key in same if key[0] != "data_wait"} == {
        key: value for key, value in same.items() if key[0] != "data_wait"
    }
    shutil.rmtree(tmp_path / "runs")


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        ("nft", ["stages.rl.rollout.group=1"], "rollout.group must be at least 2, got 1"),
        ("nft", ["stages.rl.rollout.sampling.guidance=2"], "nft draws without guidance"),
        ("nft", ["model.losses.policy.weight=0"], "and no loss learns of it"),
        ("nft", ["stages.rl.rollout.rewards={rule: 1}"], "unknown reward 'rule'; did you mean rules"),
        ("nft", ["~stages.rl.rollout.rewards"], "needs a reward with a weight"),
        ("nft", ["~stages.rl.rollout"], "learns from rollouts: every stage needs a rollout"),
        ("nft", ["stages.rl.ratios=[{understanding: 1}]"], "its mixture no generation"),
        ("nft", ["model.losses.image.weight=1"], "the loss image learns from pictures of the data"),
        ("grpo", ["stages.rl.rollout.sampling.temperature=0"], "grpo draws from all codes"),
        ("nft", ["adapter={rank: 2, dropout: 0.1}"], "set adapter.dropout=0, got 0.1"),
        ("grpo", ["sampling.worse=runs/early"], "grpo draws without a worse model, got 'runs/early'"),
        ("flow_grpo", ["sampling.worse=runs/early"], "flow_grpo draws without a worse model"),
        ("flow_grpo", ["sampling.sampler=heun"], "sampler must be euler, got heun"),
        ("grpo", ["model.losses.policy={kind: nft}"], "the loss nft is for a head that draws by flow"),
        ("flow_grpo", ["model.losses.policy.clip=0"], "a clip in"),
        ("flow_grpo", ["stages.rl.rollout.prompts={kind: file, path: none.txt}"], "there is no file 'none.txt'"),
    ],
)
def test_impossible_settings_end_in_one_line_and_leave_no_folder(kind, overrides, message, runs, tmp_path, capsys):
    path = rl_config(tmp_path, kind, runs)
    assert train.main([str(path), *overrides]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "runs" / "rl").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a red star"}', "holds 1 prompts, and a round asks 2"),
        ('{"prompt": "a red star"}\n{"prompt": "' + "a star and " * 99 + '"}', "take more than the 256 of a row"),
        ('{"prompt": "x", "include": [{"name": "cat"}]}', "prompt 1: include needs mappings with a class"),
        ('{"prompt": "x", "include": ["cat"]}', "prompt 1: include needs mappings with a class"),
        ('{"prompt": "<image_placeholder>"}\n{"prompt": "x"}', "the text holds the reserved token <image_placeholder>"),
    ],
)
def test_prompts_that_will_not_do_are_refused_at_the_start(line, message, runs, tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text(line)
    given = f"stages.rl.rollout.prompts={{kind: file, path: {tmp_path / 'p.jsonl'}}}"
    assert train.main([str(rl_config(tmp_path, "flow_grpo", runs)), given]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and not (tmp_path / "runs" / "rl").exists()


def test_a_reward_that_is_no_number_never_reaches_the_weights(runs, tmp_path, monkeypatch, capsys):
    import tests.rl.conftest as module

    calls = []

    def broken(images, prompts):
        calls.append(len(images))
        return [float("nan") if len(calls) > 3 else 0.5 + number for number in range(len(images))]

    monkeypatch.setattr(module, "brightness", broken)
    assert train.main([str(rl_config(tmp_path, "nft", runs))]) == 2
    assert f"the reward {BRIGHTNESS} gave nan for an image of" in capsys.readouterr().err
    assert max(step for name, step in metrics(tmp_path / "runs" / "rl") if name == "loss/policy") == 1
