"""A run: its folder, its stages one after the other, and how it resumes."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
import warnings
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch.distributed import DistError

from janusflow.checkpoints.adapters import save_adapter
from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.config import load_config, overridden_key, save_config, to_dict
from janusflow.data.buckets import buckets_of
from janusflow.data.rows import RowBuilder
from janusflow.models.unified import UnifiedModel
from janusflow.rl.policy import PolicyLoss
from janusflow.rl.rollouts import Rollouts
from janusflow.training import checkpoints, distributed
from janusflow.training.callbacks import Faults, RestoreState, SaveStates, StopOnSignals
from janusflow.training.checkpoints import Checkpoint
from janusflow.training.config import RunConfig
from janusflow.training.data import StageData
from janusflow.training.memory import shards, stage_needs
from janusflow.training.metrics import LossBands, Meter, MetricsCSV, Validation, has_lines
from janusflow.training.module import UnifiedModule
from janusflow.training.plan import check_disk, describe_model, describe_stage
from janusflow.training.preflight import Start, open_start
from janusflow.training.prepare import lightning_precision, old_of, prepare_blocks, reference_of
from janusflow.training.previews import Previews
from janusflow.training.progress import StageProgress
from janusflow.training.stages import freeze, trained_names
from janusflow.weights import read_json_object

METRICS, BEST = "metrics.csv", "best"
# What a resumed run may change: the losses stay the same.
FREE = (
    *(f"trainer.{name}" for name in ("devices", "strategy", "replicas", "accumulate", "compile", "wandb")),
    *(f"trainer.{name}" for name in ("checkpoint_activations", "save_every", "keep", "log_every", "validate_every")),
    "trainer.keep_best",
    "data.workers",
)
# Not where an adapter drops, as what is dropped depends on them. Under torchrun its number of processes counts instead
# of trainer.devices, and no state says it: start as many.
FREE_WITHOUT_DROPOUT = ("trainer.devices", "trainer.accumulate", "trainer.compile")


class Stopped(Exception):
    """The run in ``folder`` was asked to stop by the signal ``number``, saved its state and can be resumed."""

    def __init__(self, number: int, folder: Path) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.folder = number, folder


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
        """An existing run folder; ``overrides`` may change only how it is computed, not what (:data:`FREE`),
        and of a run that drops not what it drops (:data:`FREE_WITHOUT_DROPOUT`).

        Raises ``ValueError`` where there is none, or where an override would change the run.
        """
        path = folder / "config.yaml"
        if not path.exists():
            raise ValueError(f"no run to resume at {folder}: there is no config.yaml in it")
        config = load_config(RunConfig, path)
        drops = config.adapter.rank and config.adapter.dropout
        free = [key for key in FREE if not (drops and key in FREE_WITHOUT_DROPOUT)]
        for override in overrides:
            if overridden_key(override) not in free and load_config(RunConfig, path, [override]) != config:
                origin = "run" if config.parts.checkpoint is None else "checkpoint"
                raise ValueError(
                    f"a resumed run keeps its configuration, and {override!r} would change it; free are "
                    f"{', '.join(free)}. To train its weights on with other settings, start a new run: "
                    f"python train.py {path} parts.{origin}={folder} {override!r}"
                )
        return cls(folder, load_config(RunConfig, path, overrides))

    @staticmethod
    def latest(config: RunConfig) -> Path:
        """The newest run of the configuration's name that did a step. Raises ``ValueError`` where there is none."""
        pattern = re.compile(re.escape(config.name) + r"(-\d+)?")
        out = Path(config.out)
        folders = [f for f in out.iterdir() if pattern.fullmatch(f.name)] if out.is_dir() else []
        folders = [f for f in folders if (f / "config.yaml").exists() and has_lines(f / METRICS)]
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
        names = list(config.stages)
        done = checkpoints.find(self.checkpoints, names)
        state = distributed.from_main(done[-1] if done else None)
        start = distributed.together(lambda: open_start(config, new=state is None))
        bundle = start.bundle
        kept = trained_names(bundle.model, config.stages.values()) if config.adapter.rank else None
        beside = reference_of(bundle.model, kept), old_of(bundle.model, kept)
        module = UnifiedModule(bundle.model, bundle.required_codec, config.optim, *beside, kept)
        prepare_blocks(bundle.model, config.trainer)  # after the average was copied, which is never trained
        averaged = dataclasses.replace(bundle, model=module.exported)
        distributed.together(partial(self._check_disk, bundle.model, state))
        if distributed.is_main():
            print(describe_model(bundle.model, config, shards(config.trainer, distributed.world_size())))
        self._shard(module)
        if start.origin is not None:
            checkpoints.load(start.origin, module, None)
        if distributed.is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_config(config, self.folder / "config.yaml")
        first = names.index(state.stage) if state else 0
        for number, name in enumerate(names[first:], first):
            self._train_stage(name, number, module, averaged, state, start)
            state = None
        model = checkpoints.whole_model(module)
        if model is not None:
            self._export(dataclasses.replace(averaged, model=model), kept, "model")
        distributed.barrier()

    def _export(self, bundle: Bundle, kept: Collection[str] | None, name: str) -> None:
        """Write the folder ``name``: the whole model, or the adapter with what else trained."""
        if kept is None:
            save_pretrained(bundle, self.folder / name)
        else:
            assert self.config.parts.checkpoint is not None, "an adapter has a base"
            save_adapter(bundle, self.folder / name, self.config.adapter, self.config.parts.checkpoint, kept)

    def _keep_best(
        self, averaged: Bundle, stage: str, module: UnifiedModule, found: dict[str, float], step: int
    ) -> None:
        """Write ``best/`` where the losses that the run goes by are less than ever. All processes must call it.

        Raises ``ValueError`` for a loss that is not among those ``found``.
        """
        wanted = self.config.trainer.keep_best
        if not wanted:
            return
        for loss in wanted:
            if loss not in found:
                raise ValueError(
                    f"trainer.keep_best: no held-out loss {loss!r}; there are {', '.join(found) or 'none'}"
                )
        value, mark = sum(found[loss] for loss in wanted), self.folder / BEST / "best.json"
        before = distributed.from_main(read_json_object(mark, required=False).get("value", float("inf")))
        if not value < before:  # a NaN is never the best
            return
        model = checkpoints.whole_model(module)
        if model is not None:
            self._export(dataclasses.replace(averaged, model=model), module.kept, BEST)
            mark.write_text(json.dumps({"value": value, "stage": stage, "step": step, "losses": wanted}) + "\n")
        distributed.barrier()

    def _train_stage(
        self, name: str, number: int, module: UnifiedModule, averaged: Bundle, state: Checkpoint | None, opened: Start
    ) -> None:
        config, stage = self.config, self.config.stages[name]
        if state is not None and state.step >= stage.steps:
            checkpoints.load(state, module, None)
            return
        start = state.step if state else 0
        module.to(distributed.device())
        freeze(module.model, stage)
        builder = self._row_builder(averaged)
        dropout = (config.seed, number) if config.adapter.rank and config.adapter.dropout else None
        module.enter(stage, start, self._rollouts(name, number, averaged, builder), dropout)
        names = list(config.stages)[: number + 1]
        metrics = MetricsCSV(self.folder / METRICS, name)
        metrics.rewind(start)
        micro_batches = config.trainer.accumulate
        data = StageData(builder, stage, config.data, (config.seed, number), start, micro_batches, opened.readers)
        ranks = distributed.world_size()
        if distributed.is_main():
            plan = describe_stage(name, stage, config.optim, data.source, ranks, micro_batches)
            print(plan, flush=True)
        signals, meter = StopOnSignals(), Meter(config.trainer.log_every)
        trainer = L.Trainer(
            accelerator="auto",
            devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            num_nodes=ranks // int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            strategy=distributed.build_strategy(config.trainer.strategy, ranks, config.trainer.replicas),
            precision=lightning_precision(config.trainer.precision),
            max_epochs=1,
            logger=[metrics, *self._loggers(name)],
            callbacks=[
                signals,
                RestoreState(state),
                Faults(self.folder / "faults.csv", name, config.data.max_faults, start),
                meter,
                LossBands(name),
                Validation(config.trainer.validate_every, name, partial(self._keep_best, averaged, name)),
                SaveStates(self.checkpoints, names, config.trainer.save_every, config.trainer.keep),
                Previews(averaged, config.preview, self.folder / "samples", name, opened.examples, config.data.buckets),
                StageProgress(config.stages, name, meter),
            ],
            limit_val_batches=0,  # Validation asks for the held-out samples itself
            enable_checkpointing=True,  # by SaveStates
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        try:
            trainer.fit(module, data)
        except (ValueError, RuntimeError) as error:
            raise plain(error) from error
        finally:
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.experiment.finish()  # or the next stage would go on in the same run
        if module.result is not None and module.result.stop:
            raise Stopped(signals.received or signal.SIGTERM, self.folder)

    def _loggers(self, stage: str) -> list[Logger]:
        """TensorBoard and, where it is asked for, Weights & Biases; each stage is a run of its own there."""
        loggers: list[Logger] = [TensorBoardLogger(self.folder, name="tensorboard", version=stage)]
        if self.config.trainer.wandb is not None:
            name = f"{self.folder.name}-{stage}"
            loggers.append(
                WandbLogger(
                    name=name,
                    id=name,
                    project=self.config.trainer.wandb,
                    group=self.folder.name,
                    save_dir=self.folder,
                    config=to_dict(self.config),
                    resume="allow",
                )
            )
        return loggers

    def _check_disk(self, model: UnifiedModel, state: Checkpoint | None) -> None:
        """Compare what the stages behind ``state`` will write with the room there is."""
        stages = self.config.stages
        names = list(stages)
        if state is not None:
            names = names[names.index(state.stage) + (state.step >= stages[state.stage].steps) :]
        if names and distributed.is_main():
            needs = [stage_needs(model, stages[name], self.config) for name in names]
            check_disk(self.folder, needs, self.config.trainer.keep)

    def _shard(self, module: UnifiedModule) -> None:
        """Have a sharded strategy cut up the models."""
        trainer, ranks = self.config.trainer, distributed.world_size()
        if ranks == 1 or trainer.strategy != "fsdp":
            return
        device = distributed.device()
        mesh = distributed.data_mesh(ranks, trainer.replicas, device)
        low = lightning_precision(trainer.precision) == "bf16-mixed"
        for model in dict.fromkeys(filter(None, (module.model, module.exported, module.reference, module.old))):
            distributed.shard(model.to(device), [*model.llm.blocks, *model.vision.blocks], mesh, low)

    def _rollouts(self, name: str, number: int, bundle: Bundle, builder: RowBuilder) -> Rollouts | None:
        """What the stage draws and learns of."""
        config = self.config.stages[name].rollout
        if config is None:
            return None
        policy = next(loss for loss in bundle.model.losses.values() if isinstance(loss, PolicyLoss))
        options = self.config.model.head.sampling(self.config.sampling, config.sampling)
        seed = (self.config.seed, number)
        return Rollouts(config, options, policy, bundle, builder, self.folder / "rollouts" / name, seed)

    def _row_builder(self, bundle: Bundle) -> RowBuilder:
        sizes = bundle.model.config
        longest = self.config.data.max_length or sizes.llm.max_positions
        buckets = buckets_of(self.config.data.buckets, sizes)
        return RowBuilder(bundle.template, sizes.vision.image_size, longest, bundle.preprocessing, buckets)


def plain(error: Exception) -> Exception:
    """``error``, or where a data worker or another process failed or died, a ``ValueError`` of one line."""
    text = str(error)
    if text.startswith("Caught ValueError in DataLoader worker"):
        return ValueError(text.strip().splitlines()[-1].removeprefix("ValueError: "))
    if text.startswith("DataLoader worker"):
        return ValueError(f"a process that makes batches has died, perhaps out of memory (data.workers): {text}")
    if "closed by peer" in text or "reset by peer" in text or isinstance(error, DistError):
        return ValueError("another process of the run has ended; its own message says why")
    return error


def quiet_lightning() -> None:
    """Keep Lightning's tips and known harmless warnings off the screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
