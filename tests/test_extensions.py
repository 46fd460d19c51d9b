"""Parts from outside the package: the files of examples/, run as their first lines say."""

import json
import math
import sys

import pytest
import torch
from PIL import Image

import train
from janusflow import cli
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.guidance import build_form
from janusflow.registry import Registry
from janusflow.rl.rewards import judge
from janusflow.samplers import integrate
from tests.conftest import documented_commands
from tests.eval.conftest import build
from tests.training.conftest import SMALL, config, losses  # noqa: F401


def test_a_head_a_loss_and_a_source_train_draw_and_are_saved(examples, config, capsys, monkeypatch):  # noqa: F811
    """The head's loss is given the LLM, once more; the other's parameter is no part of the model that is saved."""
    sys.path.append("")
    from my_head import QueryHead

    def loss(self, hidden, state, total=None, again=None, plain=QueryHead.loss):
        assert again(self.queries.expand(len(state), -1, -1)).equal(hidden)
        return plain(self, hidden, state, total)

    monkeypatch.setattr(QueryHead, "loss", loss)
    (head, draw), (point,), (squares,) = map(documented_commands, ("my_head.py", "my_loss.py", "my_data.py"))
    overrides = [*head[4:], *point[4:], *squares[4:], "~sampling", "~preview.sampling", "sampling={loud: 2.0}"]
    overrides += ["report.tasks=[]", "preview.prompts=[a red circle]"]
    assert train.main([str(config), *overrides]) == 0
    told = capsys.readouterr().out
    assert "point" in told and "mine: 100 for understanding, generation" in told, "the plan names both"
    run = examples / "runs/small"
    assert {"loss/query", "loss/point", "loss/ar", "loss/total"} <= {metric for _, _, metric in losses(run)}
    assert not [name for name in load_pretrained(run / "model").model.state_dict() if "loss_point" in name]
    draw = [str(run) if word == "runs/queries" else word for word in draw[1:]]
    assert cli.main([*draw, "--num-images", "1"]) == 0
    assert json.loads(Image.open(examples / "out/a-ring-0.png").text["loud"]) == 0.5
    assert cli.main([*draw, "--steps", "3"]) == 2
    assert "steps does not go with a query head" in capsys.readouterr().err
    assert train.main([str(config), *overrides, "model.losses.point.block=9"]) == 2
    assert "block 9 is beyond the LLM's 2 blocks" in capsys.readouterr().err


def test_a_solver_and_a_guidance_form_draw(examples, tokenizer):
    (draw,) = documented_commands("my_solvers.py")
    save_pretrained(build("flow", tokenizer), examples / "tiny")
    assert cli.main([*draw[1:], "--model", "tiny", "--num-images", "1", "--steps", "2"]) == 0
    text = Image.open(examples / "out/a-ring-0.png").text
    assert (text["sampler"], text["guidance_form"]) == ("my_solvers:rk4", "my_solvers:rising(start=0)")
    grown = integrate(lambda z, t: z, torch.ones(1), 4, "my_solvers:rk4")
    assert grown.item() == pytest.approx(math.e, rel=1e-4), "Heun's is off by 1e-2"
    assert build_form("my_solvers:rising(start=0)", 4.0)(*torch.tensor([3.0, 1.0, 0.0, 0.5])) == 1 + 2 * (3 - 1)


def test_a_reward_judges(examples):
    assert documented_commands("my_reward.py")[0][-1].startswith("stages.nft.rollout.rewards={my_reward:darkness")
    pictures = [Image.new("RGB", (4, 4), color) for color in ("black", "white")]
    scores = judge(["my_reward:darkness"], pictures, [{"prompt": "a ring"}] * 2)
    assert scores.flatten().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("eulr", "did you mean euler"), ("my_solvers:none", "has no none"), ("nowhere:at_all", "cannot be imported")],
)
def test_what_is_not_there_is_named_in_a_line(examples, name, message, capsys):
    assert cli.main(["generate", "a ring", "--sampler", name]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_installed_package_adds_by_entry_point(examples, monkeypatch):
    (examples / "theirs-1.0.dist-info").mkdir()
    (examples / "theirs-1.0.dist-info/entry_points.txt").write_text("[janusflow.samplers]\nrk4 = my_solvers:rk4\n")
    (examples / "theirs-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(examples))
    found = Registry("sampler", "janusflow.samplers", {"euler": "janusflow.samplers:euler"})
    assert [*found] == ["rk4", "euler"] and found.load("rk4").__name__ == "rk4"
