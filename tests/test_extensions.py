"""Parts from outside the package, each in one file, chosen by a path: in YAML, on the command line, in Python."""

import json
import sys

import pytest
from PIL import Image

import train
from janusflow import cli
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.registry import Registry
from tests.training.conftest import SMALL, config, losses  # noqa: F401

HEAD = '''
"""A head that draws an image's latents at once, from learned queries: one pass, no noise."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from janusflow.models.head import GenerationHead, HeadConfig
from janusflow.options import SamplingOptions, option


@dataclass
class QueryConfig(HeadConfig):
    grid: int = 6
    width: int = 16


@dataclass(frozen=True)
class QuerySampling(SamplingOptions):
    guidance: float = option(1.0, "unused")
    loud: float = option(1.0, "factor of the latents")


class QueryHead(GenerationHead):
    Config, Options, family, loss_name = QueryConfig, QuerySampling, "a query head", "query"
    dropped, latent_dtype, sees_all, codec_size, feature_size = "gap", torch.float32, True, 4, 16

    def __init__(self, config, llm_size):
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(16, config.width)
        self.queries = nn.Parameter(torch.randn(1, self.num_tokens, llm_size))
        self.out = nn.Linear(llm_size, 16)

    @property
    def latent_shape(self):
        return 4, 2 * self.config.grid, 2 * self.config.grid

    def features(self, latents, encoder):
        return encoder(rearrange(latents, "g c (h p) (w q) -> g (h w) (c p q)", p=2, q=2))

    def decode(self, hidden):
        return rearrange(self.out(hidden), "g (h w) (c p q) -> g c (h p) (w q)", h=self.config.grid, p=2, q=2)

    def prepare(self, latents, seeds, fixed=None):
        return self.queries.expand(len(latents), -1, -1), latents

    def loss(self, hidden, state, total=None, again=None):
        assert again(self.queries.expand(len(state), -1, -1)).equal(hidden)  # the LLM, once more
        return (self.decode(hidden[:, 1:]) - state).square().sum() / (total.clamp(min=1) * state[:1].numel() or 1)

    def start(self, seeds, device):
        return torch.zeros(len(seeds), *self.latent_shape, device=device)

    def sample(self, span, start, options, on_step=None):
        queries = self.queries.expand(len(start), -1, -1)
        return options.loud * self.decode(span(torch.cat([span.begin, queries], dim=1))[:, 1:])

    def sample_bytes(self):
        return 1
'''

LOSS = '''
"""Hidden states at the begin of an image are drawn to a point."""

from dataclasses import dataclass

import torch
from torch import nn

from janusflow.losses import Loss, LossConfig


@dataclass
class PointConfig(LossConfig):
    block: int = 1


class Point(Loss):
    Config = PointConfig

    def __init__(self, config, model):
        super().__init__(config, model)
        self.taps = (config.block,)
        self.point = nn.Parameter(torch.ones(model.llm.hidden_size))

    def forward(self, run):
        spans = run.spans(run.tapped[self.taps[0]])
        return (spans[:, 0] - self.point).square().sum() / run.counts.images.clamp(min=1)
'''

SAMPLER = '''
def adams_bashforth(velocity, z, times):
    """Second order with one evaluation a step: the last slope is remembered."""
    before = None
    for t, dt in zip(times, times.diff()):
        slope = velocity(z, t).float()
        z = z + dt * (slope if before is None else 1.5 * slope - 0.5 * before)
        before = slope
        yield z


def doubled(weight):
    return lambda v_cond, v_uncond, z, t: v_cond + 2 * weight * (v_cond - v_uncond)
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A working folder with modules of one's own."""
    for name, text in (("my_head", HEAD), ("my_loss", LOSS), ("my_sampler", SAMPLER)):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return tmp_path


def test_a_head_and_a_loss_from_outside_train_draw_and_are_saved(outside, config, capsys):  # noqa: F811
    head = "model.head={kind: 'my_head:QueryHead', width: 16}"
    loss = "model.losses.point={kind: 'my_loss:Point', weight: 0.5, block: 2}"
    stages = "stages.stage1.train=[generation, point]"
    overrides = [head, loss, stages, "model.losses.repa.weight=0", "~sampling", "~preview.sampling"]
    overrides += ["sampling={loud: 2.0}"]
    assert train.main([str(config), *overrides, "report.tasks=[]", "preview.prompts=[a red circle]"]) == 0
    assert "point" in capsys.readouterr().out, "the plan names it"
    run = outside / "runs/small"
    logged = {metric for _, _, metric in losses(run)}
    assert {"loss/query", "loss/point", "loss/ar", "loss/total"} <= logged
    assert not [name for name in load_pretrained(run / "model").model.state_dict() if "loss_point" in name]
    command = ["generate", "a ring", "--model", str(run), "--num-images", "1", "--out", "drawn"]
    assert cli.main([*command, "--option", "loud=0.5"]) == 0
    (path,) = map(outside.joinpath, ["drawn/a-ring-0.png"])
    assert json.loads(Image.open(path).text["loud"]) == 0.5
    assert cli.main([*command, "--steps", "3"]) == 2
    assert "steps does not go with a query head" in capsys.readouterr().err


def test_a_sampler_and_a_guidance_form_from_outside(outside, capsys):
    draw = ["generate", "a ring", "--num-images", "1", "--steps", "2", "--out", "drawn"]
    assert cli.main([*draw, "--sampler", "my_sampler:adams_bashforth", "--guidance-form", "my_sampler:doubled"]) == 0
    text = Image.open(outside / "drawn/a-ring-0.png").text
    assert (text["sampler"], text["guidance_form"]) == ("my_sampler:adams_bashforth", "my_sampler:doubled")


@pytest.mark.parametrize(
    ("name", "message"),
    [("eulr", "did you mean euler"), ("my_sampler:none", "has no none"), ("nowhere:at_all", "cannot be imported")],
)
def test_what_is_not_there_is_named_in_a_line(outside, name, message, capsys):
    assert cli.main(["generate", "a ring", "--sampler", name]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_installed_package_adds_by_entry_point(outside, monkeypatch):
    (outside / "theirs-1.0.dist-info").mkdir()
    (outside / "theirs-1.0.dist-info/entry_points.txt").write_text(
        "[janusflow.samplers]\nab2 = my_sampler:adams_bashforth\n"
    )
    (outside / "theirs-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(outside))
    found = Registry("sampler", "janusflow.samplers", {"euler": "janusflow.samplers:euler"})
    assert [*found] == ["ab2", "euler"] and found.load("ab2").__name__ == "adams_bashforth"
