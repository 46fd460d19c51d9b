"""Seconds to draw and to answer: prompts run anew in every step, cached, cached and compiled; fp32 against bf16.

``python benchmarks/sampling.py`` measures the shipped model with its decoder; ``--layers 2`` the full width of
JanusFlow-1.3B with random weights and that many blocks (latents only). All variants run in turn in one process, so that
a noisy machine is noisy to all; figures are medians, ratios are against the naive fp32 variant.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from timing import measure, store
from torch import Tensor

from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.models.llm import KeyValues
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.options import FlowSampling
from janusflow.weights import SHIPPED

VARIANTS = ("naive", "cached", "cached+compile", "cached+bf16", "cached+bf16+compile")
DECODED_TOKENS = 16


def build(args: argparse.Namespace) -> tuple[UnifiedModel, LatentCodec | None]:
    """The model under test in fp32, and the codec of a stored one."""
    if args.layers is None:
        bundle = load_pretrained(args.model, device=args.device, dtype=torch.float32)
        return bundle.model, bundle.codec
    config = ModelConfig(losses={})
    config.llm.num_layers = config.vision.depth = args.layers
    with torch.device(args.device):
        return UnifiedModel(config).eval(), None


class Case:
    """One prompt length and batch size: how each variant draws."""

    def __init__(
        self, args: argparse.Namespace, model: UnifiedModel, half: UnifiedModel, prompt: int, batch: int
    ) -> None:
        self.models = {"fp32": model, "bf16": half}
        generator = torch.Generator().manual_seed(0)
        vocabulary = model.config.llm.vocab_size
        self.prompts = torch.randint(0, vocabulary, (batch, prompt), generator=generator).tolist()
        self.noise = model.head.start(list(range(batch)), torch.device(args.device))
        self.options = FlowSampling(args.steps, args.guidance)

    def draw(self, variant: str) -> Tensor:
        """The latents of one batch."""
        model = self.models["bf16" if "bf16" in variant else "fp32"]
        kind = UncachedPromptRunner if variant == "naive" else PromptRunner
        dropped = None if self.options.guidance == 1 else [prompt[:1] for prompt in self.prompts]
        runner = kind(model.llm, self.prompts, 1 + model.head.num_tokens, dropped)
        if "compile" in variant:
            runner = torch.compile(runner, dynamic=False)
        return model.head.sample(runner, self.noise, self.options)


def peak_memory_gib(device: str, call: Callable[[], object]) -> float | None:
    """The device memory that ``call`` needs at most, weights included; None on a CPU, which does not say."""
    if not device.startswith("cuda"):
        return None
    torch.cuda.reset_peak_memory_stats()
    call()
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)


def answer_latency(model: UnifiedModel, args: argparse.Namespace) -> dict[str, float]:
    """Seconds to the first token behind an image and a question, and to each further one."""
    tokenizer = TextTokenizer.from_file(SHIPPED["shapes-flow"] / "tokenizer.json")
    template = ChatTemplate(tokenizer, ChatConfig(), model.head.num_tokens)
    ids = torch.tensor([template.question("how many circles are there?")], device=args.device)
    side = model.config.vision.image_size
    pixels = torch.zeros(1, 3, side, side, device=args.device, dtype=next(model.parameters()).dtype)
    slots = (ids == tokenizer.boi) | (ids == tokenizer.image)

    def first() -> tuple[Tensor, list[KeyValues]]:
        embeds = model.llm.embed(ids)
        embeds[slots] = model.embed_understanding(pixels).flatten(0, 1)
        cache = model.llm.new_cache(1, ids.shape[1] + DECODED_TOKENS, embeds.dtype)
        hidden = model.llm(embeds, torch.arange(ids.shape[1], device=args.device).unsqueeze(0), cache=cache).hidden
        return model.llm.logits(hidden[:, -1]).argmax(-1), cache

    def all_tokens() -> None:
        token, cache = first()
        for number in range(DECODED_TOKENS):
            position = torch.tensor([[ids.shape[1] + number]], device=args.device)
            embeds = model.llm.embed(token.unsqueeze(1))
            hidden = model.llm(embeds, position, cache=cache, begin=ids.shape[1] + number).hidden
            token = model.llm.logits(hidden[:, -1]).argmax(-1)

    seconds = measure({"first": first, "all": all_tokens}, args.repeats, args.device)
    return {
        "first_token_seconds": round(seconds["first"], 4),
        "per_token_seconds": round((seconds["all"] - seconds["first"]) / DECODED_TOKENS, 4),
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes-flow", help="model folder, or the name of a shipped model")
    parser.add_argument("--layers", type=int, help="random JanusFlow-1.3B with this many blocks instead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--variants", nargs="+", default=["naive", "cached", "cached+bf16"], choices=VARIANTS)
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[16])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(argv)


@torch.inference_mode()
def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    args = parse(argv)
    torch.manual_seed(0)
    model, codec = build(args)
    half = UnifiedModel(model.config).to(args.device).eval()
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16)
    rows = []
    for prompt in args.prompt_tokens:
        for batch in args.batch_sizes:
            case = Case(args, model, half, prompt, batch)
            exact = case.draw("naive")
            seconds = measure({v: lambda v=v, c=case: c.draw(v) for v in args.variants}, args.repeats, args.device)
            for variant, value in seconds.items():
                row = {
                    "prompt_tokens": prompt,
                    "batch": batch,
                    "variant": variant,
                    "seconds_per_image": round(value / batch, 4),
                    "seconds_per_step": round(value / args.steps, 4),
                    "speed_over_first": round(seconds[args.variants[0]] / value, 2),
                    "difference": f"{((case.draw(variant) - exact).norm() / exact.norm()).item():.1e}",
                    "peak_memory_gib": peak_memory_gib(args.device, lambda v=variant, c=case: c.draw(v)),
                }
                rows.append(row)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    figures = {
        "model": f"JanusFlow-1.3B's width, {args.layers} blocks" if args.layers else Path(args.model).name,
        "steps": args.steps,
        "guidance": args.guidance,
        "rows": rows,
        "decode_seconds_per_image": decode_seconds(codec, model, args),
        "answering": answer_latency(model, args),
        "repeats": args.repeats,
        "threads": torch.get_num_threads(),
        "machine": torch.cuda.get_device_name() if args.device.startswith("cuda") else platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps({key: value for key, value in figures.items() if key != "rows"}, indent=2))
    store(figures, args.out)
    return 0


def decode_seconds(codec: LatentCodec | None, model: UnifiedModel, args: argparse.Namespace) -> float | None:
    """Seconds of the VAE for one image; None where the model has none."""
    if codec is None:
        return None
    latent = model.head.start([0], torch.device(args.device))
    return round(measure({"decode": lambda: codec.decode(latent)}, args.repeats, args.device)["decode"], 4)


if __name__ == "__main__":
    raise SystemExit(main())
