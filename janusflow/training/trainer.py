"""A run: its folder, its stages one after the other, and how it resumes."""

from __future__ import annotations

import dataclasses
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from janusflow.checkpoint import ASSETS, Bundle, save_pretrained
from janusflow.config import load_config, save_config
from janusflow.data.datamodule import StageData
from janusflow.data.rows import RowBuilder
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import JanusFlow
from janusflow.models.vae import LatentCodec
from janusflow.precision import fast_bf16
from janusflow.training.callbacks import FiniteLoss, MetricsCSV, Previews
from janusflow.training.module import JanusFlowModule
from janusflow.training.stages import StageConfig, freeze
from janusflow.weights import KeyMap, load_weights

if TYPE_CHECKING:
    from janusflow.training.config import PartsConfig, RunConfig


@dataclass
class TrainerConfig:
    """How Lightning runs."""

    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bf16 where the hardware has it
    devices: int = 1
    save_every: int = 200  # steps between checkpoints
    log_every: int = 10  # steps between lines of the metrics

    def __post_init__(self) -> None:
        if self.save_every < 1 or self.log_every < 1 or self.devices < 1:
            raise ValueError("trainer.devices, trainer.save_every and trainer.log_every must be at least 1")


class Run:
    """A run folder: ``config.yaml``, ``metrics.csv``, ``tensorboard/``, ``checkpoints/``, ``samples/``, ``model/``."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder, self.config = folder, config

    @classmethod
    def create(cls, config: RunConfig) -> Run:
        """A run in a new folder ``out/name``, or ``out/name-2`` and so on; :meth:`train` makes the folder."""
        folder = Path(config.out) / config.name
        number = 1
        while folder.exists():
            number += 1
            folder = Path(config.out) / f"{config.name}-{number}"
        return cls(folder, config)

    @classmethod
    def resume(cls, folder: Path, overrides: Sequence[str] = ()) -> Run:
        """An existing run folder. Raises ``ValueError`` where it is none, or where an override would change the run."""
        from janusflow.training.config import RunConfig

        path = folder / "config.yaml"
        if not path.exists():
            raise ValueError(f"no run to resume at {folder}: there is no config.yaml in it")
        config = load_config(RunConfig, path)
        for override in overrides:
            if load_config(RunConfig, path, [override]) != config:
                raise ValueError(f"a resumed run keeps its configuration; {path} has another value than {override!r}")
        return cls(folder, config)

    @staticmethod
    def latest(config: RunConfig) -> Path:
        """The newest run folder of the configuration's name. Raises ``ValueError`` where there is none."""
        pattern = re.compile(re.escape(config.name) + r"(-\d+)?")
        out = Path(config.out)
        folders = [f for f in out.iterdir() if pattern.fullmatch(f.name)] if out.is_dir() else []
        folders = [f for f in folders if (f / "config.yaml").exists()]
        if not folders:
            raise ValueError(f"there is no run {config.name!r} in {out} to resume")
        return max(folders, key=lambda f: (f / "config.yaml").stat().st_mtime)

    def checkpoint(self, stage: str) -> Path:
        """The newest training state of ``stage``."""
        return self.folder / "checkpoints" / f"{stage}.ckpt"

    def train(self) -> Bundle:
        """Run every stage that is not done yet and export the averaged model to ``model/``.

        Raises ``ValueError`` for settings or files that do not fit.
        """
        quiet_lightning()
        config = self.config
        L.seed_everything(config.seed, verbose=False)
        bundle = build_bundle(config)
        module = JanusFlowModule(bundle.model, bundle.required_codec, config.optim, config.seed)
        averaged = dataclasses.replace(bundle, model=module.ema.model)
        self.folder.mkdir(parents=True, exist_ok=True)
        save_config(config, self.folder / "config.yaml")
        print(describe_model(bundle.model, config.stages))
        for number, name in enumerate(config.stages):
            self._train_stage(name, number, module, averaged)
        save_pretrained(averaged, self.folder / "model")
        return averaged

    def _train_stage(self, name: str, number: int, module: JanusFlowModule, averaged: Bundle) -> None:
        config, stage, path = self.config, self.config.stages[name], self.checkpoint(name)
        state = read_training_state(path) if path.exists() else None
        done = state["global_step"] if state else 0
        if state and done >= stage.steps:
            module.load_state_dict(state["state_dict"])
            return
        freeze(module.model, stage)
        module.enter(stage, number)
        metrics = MetricsCSV(self.folder / "metrics.csv", name)
        metrics.rewind(done)
        data = StageData(self._row_builder(averaged), stage, config.data, (config.seed, number))
        data.check_latents(module.codec)
        examples = data.examples(config.preview.examples)
        trainer = L.Trainer(
            accelerator="auto",
            devices=config.trainer.devices,
            precision=lightning_precision(config.trainer.precision),
            max_steps=stage.steps,
            log_every_n_steps=config.trainer.log_every,
            logger=[metrics, TensorBoardLogger(self.folder, name="tensorboard", version=name)],
            callbacks=[
                StageProgress(name, refresh_rate=5),
                FiniteLoss(),
                Previews(averaged, config.preview, self.folder / "samples", name, examples),
                ModelCheckpoint(
                    path.parent, name, every_n_train_steps=config.trainer.save_every, enable_version_counter=False
                ),
            ],
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, data, ckpt_path=path if state else None, weights_only=False)
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.save_checkpoint(path)

    def _row_builder(self, bundle: Bundle) -> RowBuilder:
        return RowBuilder(bundle.template, self.config.model.vision.image_size, self.config.model.llm.max_positions)


class StageProgress(TQDMProgressBar):
    """The progress bar, named after its stage."""

    def __init__(self, stage: str, refresh_rate: int) -> None:
        super().__init__(refresh_rate)
        self.stage = stage

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description(self.stage)
        return bar

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(self.stage)

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        metrics = super().get_metrics(*args)
        metrics.pop("v_num", None)
        return {name.removeprefix("loss/"): value for name, value in metrics.items()}


def build_bundle(config: RunConfig) -> Bundle:
    """The untrained model with its pretrained parts."""
    parts = config.parts
    tokenizer = TextTokenizer.from_file(locate(parts.tokenizer))
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}")
    codec = LatentCodec.from_pretrained(locate(parts.vae))
    check_latent(config, codec)
    model = JanusFlow(config.model)
    load_parts(model, parts)
    return Bundle(model, codec, tokenizer, config.chat)


def load_parts(model: JanusFlow, parts: PartsConfig) -> None:
    """Fill the language model and the SigLIP tower from their pretrained files."""
    if parts.llm is not None:
        load_weights(model.llm, [Path(locate(parts.llm))], dtype=torch.float32)
    if parts.vision is not None:
        image_tower = KeyMap({"": "image."})  # the file has a text tower beside it
        files = [Path(locate(parts.vision))]
        load_weights(model.vision.tower, files, image_tower, ignore=("text.", "log_scale", "bias"), dtype=torch.float32)


def check_latent(config: RunConfig, codec: LatentCodec) -> None:
    """Raise ``ValueError`` where the VAE's latents are not what the flow head takes."""
    side, head = config.data.image_size, config.model.flow_head
    got = (codec.channels, side // codec.factor)
    if got != (head.latent_channels, head.latent_size):
        raise ValueError(
            f"the VAE turns {side} pixels into {got[0]} x {got[1]} x {got[1]} latents, but model.flow_head expects "
            f"{head.latent_channels} x {head.latent_size} x {head.latent_size}"
        )
    if side != config.model.vision.image_size:
        raise ValueError(
            f"data.image_size {side} differs from model.vision.image_size {config.model.vision.image_size}"
        )


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path


def read_training_state(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint of our own run. Raises ``ValueError`` with the path where it is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a damaged archive raises one of many types
        raise ValueError(f"cannot read the checkpoint {path}: {str(error).splitlines()[0]}") from error


def lightning_precision(precision: str) -> Any:
    """Lightning's name for the configured precision."""
    if precision != "auto":
        return precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16-mixed" if fast_bf16(device) else "32-true"


def describe_model(model: JanusFlow, stages: dict[str, StageConfig]) -> str:
    """A table of the parts, their millions of parameters, and the stages that train them."""
    from janusflow.training.stages import PARTS

    lines = [f"{'part':<15}{'M params':>9}  " + "".join(f"{name:>10}" for name in stages)]
    for part, prefixes in PARTS.items():
        count = sum(p.numel() for name, p in model.named_parameters() if name.startswith(prefixes))
        marks = "".join(f"{'trains' if part in stage.train else 'frozen':>10}" for stage in stages.values())
        lines.append(f"{part:<15}{count / 1e6:>9.2f}  {marks}")
    lines.append(f"{'steps':<24}  " + "".join(f"{stage.steps:>10}" for stage in stages.values()))
    return "\n".join(lines)


def quiet_lightning() -> None:
    """Keep Lightning's tips and known harmless warnings off the screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
