"""A run: its folder, its stages one after the other, and how it resumes."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning as L
import torch
import torch.utils.checkpoint
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from janusflow.checkpoint import ASSETS, Bundle, load_pretrained, save_pretrained
from janusflow.config import load_config, save_config
from janusflow.data.datamodule import StageData
from janusflow.data.rows import RowBuilder
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import JanusFlow, ModelConfig
from janusflow.models.vae import LatentCodec
from janusflow.precision import fast_bf16
from janusflow.training import checkpoints, distributed
from janusflow.training.callbacks import Faults, Meter, MetricsCSV, Previews, SaveStates
from janusflow.training.checkpoints import Checkpoint
from janusflow.training.module import JanusFlowModule
from janusflow.training.stages import StageConfig, freeze
from janusflow.weights import KeyMap, load_weights

if TYPE_CHECKING:
    from janusflow.training.config import PartsConfig, RunConfig


@dataclass
class TrainerConfig:
    """How Lightning runs. Multi-node: ``torchrun`` on every node; its processes replace ``devices``."""

    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bf16 where the hardware has it
    devices: int = 1  # processes on this machine
    strategy: Literal["ddp", "fsdp"] = "ddp"  # fsdp: weights, averages and optimizer sharded (FSDP2)
    replicas: int = 1  # fsdp: copies of the sharded model, one a node for instance (hybrid sharding)
    accumulate: int = 1  # micro-batches in a step, on each process
    compile: bool = False  # torch.compile each block of the LLM
    checkpoint_activations: bool = False  # compute the LLM's blocks twice instead of keeping their activations
    save_every: int = 200  # steps between training states
    keep: int = 2  # training states of a stage that are kept
    log_every: int = 10  # steps between lines of the metrics

    def __post_init__(self) -> None:
        for name in ("devices", "replicas", "accumulate", "save_every", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name} must be at least 1, got {getattr(self, name)}")


class Stopped(Exception):
    """The run was asked to stop by a signal, saved its state and can be resumed."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Run:
    """A run folder: ``config.yaml``, ``metrics.csv``, ``tensorboard/``, ``checkpoints/``, ``samples/``, ``model/``.

    All processes of a run hold the same.
    """

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

    @property
    def checkpoints(self) -> Path:
        """Where the training states are."""
        return self.folder / "checkpoints"

    def train(self) -> None:
        """Run every stage that is not done yet and export the averaged model to ``model/``.

        Raises ``ValueError`` for settings or files that do not fit, :class:`Stopped` after a signal.
        """
        quiet_lightning()
        config = self.config
        L.seed_everything(config.seed, verbose=False)
        bundle = build_bundle(config)
        module = JanusFlowModule(bundle.model, bundle.required_codec, config.optim)
        prepare_blocks(bundle.model, config.trainer)  # after the average was copied, which is never trained
        averaged = dataclasses.replace(bundle, model=module.ema.model)
        if distributed.is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_config(config, self.folder / "config.yaml")
            print(describe_model(bundle.model, config.stages))
        self._shard(module)
        names = list(config.stages)
        done = checkpoints.find(self.checkpoints, names)
        state = distributed.from_main(done[-1] if done else None)
        first = names.index(state.stage) if state else 0
        if state is None and config.parts.run is not None:
            checkpoints.load(last_state(Path(config.parts.run)), module, None)
        for number, name in enumerate(names[first:], first):
            self._train_stage(name, number, module, averaged, state)
            state = None
        weights = checkpoints.full_average(module)
        if distributed.is_main():
            with torch.device("meta"):
                model = JanusFlow(bundle.model.config)
            model.load_state_dict(weights, assign=True)
            save_pretrained(dataclasses.replace(averaged, model=model), self.folder / "model")
        distributed.barrier()

    def _train_stage(
        self, name: str, number: int, module: JanusFlowModule, averaged: Bundle, state: Checkpoint | None
    ) -> None:
        config, stage = self.config, self.config.stages[name]
        if state is not None and state.step >= stage.steps:
            checkpoints.load(state, module, None)
            return
        start = state.step if state else 0
        freeze(module.model, stage)
        module.enter(stage, start)
        metrics = MetricsCSV(self.folder / "metrics.csv", name)
        metrics.rewind(start)
        data = StageData(
            self._row_builder(averaged), stage, config.data, (config.seed, number), start, config.trainer.accumulate
        )
        data.check_latents(module.codec)
        examples = data.examples(config.preview.examples)
        ranks = distributed.world_size()
        signals = StopOnSignals()
        trainer = L.Trainer(
            accelerator="auto",
            devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            num_nodes=ranks // int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            strategy=distributed.build_strategy(config.trainer.strategy, ranks, config.trainer.replicas),
            precision=lightning_precision(config.trainer.precision),
            max_epochs=1,
            logger=[metrics, TensorBoardLogger(self.folder, name="tensorboard", version=name)],
            callbacks=[
                StageProgress(name, refresh_rate=5),
                signals,
                RestoreState(state),
                Meter(config.trainer.log_every),
                Faults(self.folder / "faults.csv", name, config.data.max_faults),
                SaveStates(self.checkpoints, name, config.trainer.save_every, config.trainer.keep),
                Previews(averaged, config.preview, self.folder / "samples", name, examples),
            ],
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        try:
            trainer.fit(module, data)
        except (ValueError, RuntimeError) as error:
            raise plain(error) from error
        if module.result is not None and module.result.stop:
            raise Stopped(signals.received or signal.SIGTERM)

    def _shard(self, module: JanusFlowModule) -> None:
        """Have a sharded strategy cut up the models."""
        trainer, ranks = self.config.trainer, distributed.world_size()
        if ranks == 1 or trainer.strategy != "fsdp":
            return
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        mesh = distributed.data_mesh(ranks, trainer.replicas, device)
        low = lightning_precision(trainer.precision) == "bf16-mixed"
        for model in (module.model, module.ema.model):
            distributed.shard(model.to(device), [*model.llm.blocks, *model.vision.blocks], mesh, low)

    def _row_builder(self, bundle: Bundle) -> RowBuilder:
        sizes = bundle.model.config
        longest = self.config.data.max_length or sizes.llm.max_positions
        return RowBuilder(bundle.template, sizes.vision.image_size, longest, bundle.preprocessing)


class RestoreState(L.Callback):
    """Fills model, average and optimizer when training begins."""

    def __init__(self, state: Checkpoint | None) -> None:
        self.state = state

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, JanusFlowModule)
        if self.state is not None:
            checkpoints.load(self.state, pl_module, pl_module.optimizers(use_pl_optimizer=False))  # type: ignore[arg-type]


class StopOnSignals(L.Callback):
    """SIGTERM and SIGINT end the run after the step at hand; ``received`` is the first one. Twice: at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over from Lightning, which would raise at once and on every rank at another step."""
        assert isinstance(pl_module, JanusFlowModule)

        def receive(number: int, frame: object) -> None:
            if self.received is not None:
                raise KeyboardInterrupt
            self.received = number
            pl_module.stop_requested = True

        self.before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


def plain(error: Exception) -> Exception:
    """``error``, or where a data worker failed or died, a ``ValueError`` of one line."""
    text = str(error)
    if text.startswith("Caught ValueError in DataLoader worker"):
        return ValueError(text.strip().splitlines()[-1].removeprefix("ValueError: "))
    if text.startswith("DataLoader worker"):
        return ValueError(f"a process that makes batches has died, perhaps out of memory (data.workers): {text}")
    return error


def prepare_blocks(model: JanusFlow, config: TrainerConfig) -> None:
    """Compile the LLM's blocks and drop their activations, as configured; parameter names stay."""
    for block in model.llm.blocks:
        if config.checkpoint_activations:
            block.forward = partial(checkpoint_call, block.forward)
        if config.compile:
            block.compile()


def checkpoint_call(forward: Any, *args: Any, **kwargs: Any) -> Any:
    """``forward``, whose activations are computed again in the backward pass."""
    return torch.utils.checkpoint.checkpoint(forward, *args, use_reentrant=False, **kwargs)


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
    if parts.checkpoint is not None:
        return build_from_checkpoint(config, parts.checkpoint)
    tokenizer = TextTokenizer.from_file(locate(parts.tokenizer))
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}")
    codec = LatentCodec.from_pretrained(locate(parts.vae))
    check_latent(config.data.image_size, config.model, codec)
    model = JanusFlow(config.model)
    load_parts(model, parts)
    return Bundle(model, codec, tokenizer, config.chat)


def build_from_checkpoint(config: RunConfig, path: str) -> Bundle:
    """A whole pretrained model, with a new REPA projector where REPA is on."""
    bundle = load_pretrained(path, dtype=torch.float32, vae=locate(config.parts.vae))
    sizes = dataclasses.replace(bundle.model.config, repa=config.model.repa)
    if sizes.repa.enabled and sizes.sees_latents:
        raise ValueError(f"the model {path} has no SigLIP as REPA's target: set model.repa.enabled=false")
    check_latent(config.data.image_size, sizes, bundle.required_codec)
    model = JanusFlow(sizes)
    model.load_state_dict(bundle.model.state_dict(), strict=False)
    return dataclasses.replace(bundle, model=model, digest="")


def last_state(folder: Path) -> Checkpoint:
    """The last training state of a run. Raises ``ValueError`` where it has none."""
    found = checkpoints.find(folder / "checkpoints", list(Run.resume(folder).config.stages))
    if not found:
        raise ValueError(f"the run {folder} has no training state yet")
    return found[-1]


def load_parts(model: JanusFlow, parts: PartsConfig) -> None:
    """Fill the language model and the SigLIP tower from their pretrained files."""
    if parts.llm is not None:
        load_weights(model.llm, [Path(locate(parts.llm))], dtype=torch.float32)
    if parts.vision is not None and model.vision.tower is not None:
        image_tower = KeyMap({"": "image."})  # the file has a text tower beside it
        files = [Path(locate(parts.vision))]
        load_weights(model.vision.tower, files, image_tower, ignore=("text.", "log_scale", "bias"), dtype=torch.float32)


def check_latent(side: int, sizes: ModelConfig, codec: LatentCodec) -> None:
    """Raise ``ValueError`` where the VAE's latents of ``side`` pixels are not what the flow head takes."""
    head = sizes.flow_head
    got = (codec.channels, side // codec.factor)
    if got != (head.latent_channels, head.latent_size):
        raise ValueError(
            f"the VAE turns {side} pixels into {got[0]} x {got[1]} x {got[1]} latents, but model.flow_head expects "
            f"{head.latent_channels} x {head.latent_size} x {head.latent_size}"
        )
    if side != sizes.vision.image_size:
        raise ValueError(f"data.image_size {side} differs from model.vision.image_size {sizes.vision.image_size}")


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path


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
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
