"""Useful tokens a second, memory and MFU of a training step: packed against padded rows, compiled against eager.

``python benchmarks/training.py`` trains a model of the shapes world's size on mixed lengths; ``--released`` the full
JanusFlow-1.3B (on a GPU), ``--layers`` with fewer blocks. All variants take turns in one process on the same samples;
figures are medians. ``useful`` is the share of positions that are no padding.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

import torch
from PIL import Image
from timing import store

from janusflow.config import load_config
from janusflow.data.rows import RowBuilder, TokenSequence
from janusflow.data.sample import Batch, GenerationSample, TextSample, UnderstandingSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.precision import autocast
from janusflow.training.config import RunConfig, TrainerConfig
from janusflow.training.optim import OptimConfig, build_optimizer
from janusflow.training.prepare import prepare_blocks
from janusflow.training.throughput import peak_flops, step_flops
from janusflow.weights import SHIPPED

VARIANTS = ("padded", "packed", "packed+compile", "packed+checkpointing")
CHARACTERS_PER_TOKEN = 5  # of WORDS, about
WORDS = "a photo of two red circles and one blue star left of the green ring "


def samples(builder: RowBuilder, count: int, longest: int, documents: bool) -> tuple[list[TokenSequence], list, list]:
    """``count`` samples of all three tasks whose texts are 1/16 to all of ``longest`` characters, as captions are.

    With ``documents`` the text-only half is longer: up to a whole row.
    """
    side = builder.image_size
    picture = Image.new("RGB", (side, side), "gray")
    texts = [(WORDS * longest)[: max(8, longest * (1 + 5 * number % 16) // 16)] for number in range(count)]
    und = [UnderstandingSample([picture], [("what is it?", text)]) for text in texts[0::4]]
    gen = [GenerationSample(picture, text) for text in texts[1::4]]
    corpus = [*texts[2::4], *texts[3::4]]
    text = [TextSample(text * CHARACTERS_PER_TOKEN if documents else text) for text in corpus]
    sequences = [
        *map(builder.understanding, und),
        *(builder.generation(sample, True, False) for sample in gen),
        *map(builder.text, text),
    ]
    return sequences, und, gen


def padded(builder: RowBuilder, sequences: list[TokenSequence], und: list, gen: list) -> Batch:
    """One sample a row, each as long as the longest: what a trainer without packing feeds."""
    length = max(len(sequence.ids) for sequence in sequences)
    row = RowBuilder(builder.template, builder.image_size, length)
    filler = builder.template.tokenizer.pad
    filled = [
        sequence._replace(
            ids=sequence.ids + [filler] * (length - len(sequence.ids)),
            positions=sequence.positions + [0] * (length - len(sequence.ids)),
            supervised=sequence.supervised + [False] * (length - len(sequence.ids)),
        )
        for sequence in sequences
    ]
    return row.collate(filled, und, gen)


class Trainee:
    """A model with its optimizer and the batch of one variant."""

    def __init__(self, variant: str, config: ModelConfig, batch: Batch, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device, self.batch = device, batch
        with device:
            self.model = UnifiedModel(config)
        prepare_blocks(
            self.model,
            TrainerConfig(compile="compile" in variant, checkpoint_activations="checkpointing" in variant),
        )
        self.optimizer = build_optimizer(self.model, 1e-5, OptimConfig())

    def step(self) -> float:
        """Train once; the loss."""
        rows = type(self.batch.rows)(*(value.to(self.device) for value in self.batch.rows))
        latents = torch.zeros(len(self.batch.seeds), *self.model.head.latent_shape, device=self.device)
        with autocast(self.device):
            losses = self.model(
                rows,
                self.batch.labels.to(self.device),
                self.batch.und_pixels.to(self.device),
                self.batch.gen_pixels.to(self.device),
                latents,
                self.batch.seeds,
            )
        total = self.model.total(losses)
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total.item()


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--released", action="store_true", help="JanusFlow-1.3B's sizes and 4,096-token rows")
    parser.add_argument("--layers", type=int, help="blocks of the language model (default: the real number)")
    parser.add_argument("--variants", nargs="+", default=["padded", "packed"], choices=VARIANTS)
    parser.add_argument("--samples", type=int, default=48, help="samples in a step")
    parser.add_argument("--row", type=int, help="tokens of a packed row (default: 512, released: 4096)")
    parser.add_argument("--documents", action="store_true", help="texts without image are up to a row long")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args(argv)
    config = ModelConfig() if args.released else load_config(RunConfig, "configs/shapes.yaml").model
    if args.layers is not None:
        config.llm.num_layers = args.layers
        repa = config.losses["repa"]
        repa.block = min(repa.block, args.layers)
    device = torch.device(args.device)
    length = args.row or (4096 if args.released else 512)
    tokenizer = TextTokenizer.from_file(SHIPPED["shapes-flow"] / "tokenizer.json")
    template = ChatTemplate(tokenizer, ChatConfig(), config.vision.grid**2)
    builder = RowBuilder(template, config.vision.image_size, length)
    parts = samples(builder, args.samples, length, args.documents)
    batches = {"padded": padded(builder, *parts), "packed": builder.collate(*parts)}

    rows = []
    trainees = {v: Trainee(v, config, batches[v.split("+")[0]], device) for v in args.variants}
    seconds: dict[str, list[float]] = {v: [] for v in trainees}
    memory: dict[str, float | None] = {}
    for turn in range(args.repeats + 1):  # the first one warms up
        for variant, trainee in trainees.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            start = time.perf_counter()
            trainee.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
                memory[variant] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            if turn:
                seconds[variant].append(time.perf_counter() - start)
    lengths = torch.tensor([len(sequence.ids) for sequence in parts[0]])
    for variant, trainee in trainees.items():
        median = statistics.median(seconds[variant])
        flops = step_flops(trainee.model, lengths, len(trainee.batch.und_pixels), len(trainee.batch.gen_pixels))
        peak = peak_flops(device)
        row = {
            "variant": variant,
            "rows": list(trainee.batch.rows.ids.shape),
            "useful": round(int(lengths.sum()) / trainee.batch.rows.ids.numel(), 3),
            "seconds_per_step": round(median, 4),
            "useful_tokens_per_second": round(int(lengths.sum()) / median),
            "speed_over_first": round(statistics.median(seconds[args.variants[0]]) / median, 2),
            "teraflops": round(flops / median / 1e12, 3),
            "mfu": None if peak is None else round(flops / median / peak, 3),
            "peak_memory_gib": memory.get(variant),
        }
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    figures = {
        "model": "JanusFlow-1.3B" if args.released else "shapes",
        "layers": config.llm.num_layers,
        "samples": args.samples,
        "documents": args.documents,
        "rows": rows,
        "repeats": args.repeats,
        "threads": torch.get_num_threads(),
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
    }
    store(figures, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
