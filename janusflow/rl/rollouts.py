"""Rollouts: what a stage's model draws in rounds, with its rewards; stored, so that a run goes on exactly.

A round is a folder of files, a batch of images each. Which images make a batch depends on nothing but the settings, any
number of processes share them, and what is there already stays: a run that is killed at any moment draws only what is
missing, with the weights of the round's begin, to which its steps lead again.

Legend: M images of a round, G images, R rewards.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.latents import read_header, write_latents
from janusflow.data.mixture import share
from janusflow.data.pieces import taken as lock
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import Batch, GenerationSample
from janusflow.data.transforms import to_images
from janusflow.guidance import dropped_forms
from janusflow.inference.images import behind
from janusflow.inference.prompts import Prompt
from janusflow.models.unified import UnifiedModel
from janusflow.options import SamplingOptions
from janusflow.rl.config import RolloutConfig
from janusflow.rl.policy import PolicyLoss
from janusflow.rl.prompts import PROMPTS
from janusflow.rl.rewards import advantages, judge

ROUND = re.compile(r"round-(\d{6})")
PROMPTS_STREAM, DRAWS_STREAM, ORDER_STREAM, NOISE_STREAM = 1, 2, 3, 4  # of the stage's randomness


class Round(NamedTuple):
    """The images of a round, in the order of their prompts."""

    number: int
    prompts: list[Prompt]  # one each
    latents: Tensor  # (M, …)
    advantage: Tensor  # (M,)
    values: dict[str, Tensor]  # (M, …) each: what the loss remembered
    notes: dict[str, float]


class Share(NamedTuple):
    """Which part of a step's images is trained on here: ``number`` of ``of``."""

    number: int
    of: int


class Rollouts:
    """The rounds of a stage, in ``folder``. ``options``: of the sampling. ``seed``: of the run and the stage."""

    def __init__(
        self,
        config: RolloutConfig,
        options: SamplingOptions,
        policy: PolicyLoss,
        bundle: Bundle,
        builder: RowBuilder,
        folder: Path,
        seed: Sequence[int],
    ) -> None:
        self.config, self.options, self.policy = config, options, policy
        self.bundle, self.builder, self.folder, self.seed = bundle, builder, folder, list(seed)
        self.prompts = PROMPTS.load(config.prompts.kind)(config.prompts)
        self.round: Round | None = None

    def path(self, number: int) -> Path:
        """Where a round is."""
        return self.folder / f"round-{number:06d}"

    def batches(self) -> list[range]:
        """The images that are drawn together, by their numbers in a round."""
        size = self.config.batch_size
        return [range(self.config.images)[start : start + size] for start in range(0, self.config.images, size)]

    def chosen(self, number: int) -> tuple[list[Prompt], list[int]]:
        """Prompt and seed of every image of a round."""
        prompts = self.prompts.draw([*self.seed, PROMPTS_STREAM], number, self.config.prompts_per_round)
        rng = np.random.default_rng([*self.seed, DRAWS_STREAM, number])
        seeds = rng.integers(0, 2**62, self.config.images).tolist()
        return [prompt for prompt in prompts for _ in range(self.config.group)], seeds

    def draw(self, number: int, model: UnifiedModel) -> None:
        """Draw and judge what is missing of a round and no other process has taken.

        Raises ``ValueError`` as :meth:`check` does, for what is there.
        """
        bundle = dataclasses.replace(self.bundle, model=model)
        prompts, seeds = self.chosen(number)
        self.check(number, prompts)
        for batch in self.batches():
            path = self.path(number) / f"{batch[0]:06d}.safetensors"
            with lock(path) as free:
                if not free or path.exists():
                    continue
                part = slice(batch[0], batch[-1] + 1)
                self._draw_batch(path, bundle, prompts[part], seeds[part])

    @torch.no_grad()
    def _draw_batch(self, path: Path, bundle: Bundle, prompts: list[Prompt], seeds: list[int]) -> None:
        started = time.perf_counter()
        tokens = [bundle.template.generation_prompt(prompt["prompt"]) for prompt in prompts]
        span = behind(bundle, tokens, dropped_forms(self.options.guidance))
        latents, values = self.policy.draw(bundle.model.head, span, seeds, self.options)
        images = [image for one in latents.split(1) for image in to_images(bundle.required_codec.decode(one))]
        content = {"latents": latents, "rewards": judge(list(self.config.rewards), images, prompts), **values}
        content["seconds"] = torch.tensor([time.perf_counter() - started])
        write_latents(path, {name: value.cpu().contiguous() for name, value in content.items()}, self.made_by(prompts))

    def made_by(self, prompts: list[Prompt]) -> dict[str, str]:
        """What a file says of itself."""
        texts = "\n".join(prompt["prompt"] for prompt in prompts)
        return {"prompts": sha256(texts.encode()).hexdigest()[:12], "sampling": self.options.describe()}

    def check(self, number: int, prompts: list[Prompt]) -> None:
        """Raise ``ValueError`` where a file of the round is damaged, or not of its ``prompts`` and this sampling."""
        for batch in self.batches():
            path = self.path(number) / f"{batch[0]:06d}.safetensors"
            wanted = self.made_by(prompts[batch[0] : batch[-1] + 1])
            if path.exists() and not wanted.items() <= read_header(path).made_by.items():
                raise ValueError(
                    f"the rollouts {path} were drawn for other prompts, or by other sampling, than the run's now: "
                    "give it the prompts it had"
                )

    def load(self, number: int) -> Round:
        """A round that is drawn. Raises ``ValueError`` where a file is missing or damaged, or as :meth:`check` does."""
        prompts, _ = self.chosen(number)
        self.check(number, prompts)
        files = []
        for batch in self.batches():
            path = self.path(number) / f"{batch[0]:06d}.safetensors"
            try:
                files.append(load_file(path))
            except (OSError, SafetensorError) as error:
                raise ValueError(f"cannot read the rollouts {path}: {error}") from error
        content = {name: torch.cat([file[name] for file in files]) for name in files[0]}
        latents, rewards, seconds = (content.pop(name) for name in ("latents", "rewards", "seconds"))
        total = rewards @ torch.tensor(list(self.config.rewards.values()))
        groups = total.view(-1, self.config.group)
        notes = {"reward": total.mean().item(), "reward_spread": groups.std(1, correction=0).mean().item()}
        notes["groups_alike"] = (groups.std(1, correction=0) < 1e-4).float().mean().item()
        notes |= {f"reward/{name}": rewards[:, k].mean().item() for k, name in enumerate(self.config.rewards)}
        notes["rollout_seconds"] = seconds.sum().item()
        return Round(number, prompts, latents, advantages(total, self.config.group), content, notes)

    def forget(self, before: int) -> None:
        """Remove the rounds before round ``before``."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = ROUND.fullmatch(path.name)
            if match and int(match[1]) < before:
                shutil.rmtree(path, ignore_errors=True)

    def batch(self, step: int, first: int, count: int, own: Share) -> tuple[Batch, dict[str, Tensor]]:
        """This part's share of the ``count`` things that a step trains on, the ``first`` of them counted in the round;
        and what is known of each.

        The things of a round come in an order of its own, and all of them once before any comes again.
        """
        assert self.round is not None, "a round is begun"
        items = self.policy.items(self.options)
        total = len(self.round.latents) * items
        noise = np.random.default_rng([*self.seed, NOISE_STREAM, step]).integers(0, 2**62, count)
        numbers = share(count, own.number, own.of)
        things = [divmod(self._thing(first + i, total), items) for i in numbers]
        samples = [
            GenerationSample(None, self.round.prompts[image]["prompt"], self.round.latents[image])
            for image, _ in things
        ]
        halves = self.policy.halves(self.options)
        sequences = [
            self.builder.generation(sample, True, drop) for drop in (False, True)[:halves] for sample in samples
        ]
        batch = self.builder.collate(sequences, [], samples * halves, [int(noise[i]) for i in numbers] * halves)
        values = [
            {"advantage": self.round.advantage[image]}
            | self.policy.item({name: value[image] for name, value in self.round.values.items()}, item)
            for image, item in things or [(0, 0)]  # of an empty share, the names and shapes
        ]
        rows = len(samples) * halves
        columns = {name: torch.stack([one[name] for one in values] * halves)[:rows] for name in values[0]}
        if not samples:
            batch = batch._replace(gen_latents=self.round.latents[:0])
        return batch, columns

    def _thing(self, place: int, total: int) -> int:
        assert self.round is not None
        turn, index = divmod(place, total)
        rng = np.random.default_rng([*self.seed, ORDER_STREAM, self.round.number, turn])
        return int(rng.permutation(total)[index])
