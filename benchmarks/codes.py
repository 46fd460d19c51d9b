"""Seconds to draw an image code by code: transformers' Janus against ours, with and without the cache.

``python benchmarks/codes.py`` builds a random Janus of Janus-1.3B's widths with few blocks, writes it in transformers'
layout, and lets both draw the same prompts greedily under guidance in one process, in turns. It stops where their codes
differ. Figures are medians; ratios are transformers' seconds over the variant's.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path

import torch
import transformers
from timing import measure, store
from torch import Tensor
from transformers import JanusForConditionalGeneration, JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.codecs.vq import VQCodec
from janusflow.data.tokenizer import TextTokenizer
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.options import CodeSampling
from janusflow.weights import SHIPPED

PROMPT = "a red circle left of two blue stars"
GRIDS = {"wide": 24, "small": 6}


def build(args: argparse.Namespace) -> Bundle:
    """A random model: Janus-1.3B's widths (``wide``) or the shapes world's (``small``)."""
    tokenizer = TextTokenizer.from_file(SHIPPED["shapes-flow"] / "tokenizer.json")
    grid = GRIDS[args.size]
    if args.size == "wide":
        llm = LLMConfig(vocab_size=len(tokenizer), num_layers=args.layers)
        vision = VisionConfig(depth=1, aligner_depth=2, begin_embed=False)
        head = ARHeadConfig()
        sizes = JanusVQVAEConfig(num_patches=grid)
    else:
        llm = LLMConfig(
            len(tokenizer), 192, 512, num_layers=args.layers, num_heads=6, num_kv_heads=6, max_positions=256
        )
        vision = VisionConfig(48, 8, 192, depth=1, num_heads=3, aligner_depth=2, begin_embed=False)
        head = ARHeadConfig(2048, 8, grid, head_width=192)
        levels = {"base_channels": 32, "channel_multiplier": [1, 2, 2, 4], "num_res_blocks": 1, "latent_channels": 64}
        sizes = JanusVQVAEConfig(num_embeddings=2048, num_patches=grid, **levels)
    config = ModelConfig(llm, vision, head, losses={})
    model = UnifiedModel(config).eval()
    with torch.no_grad():
        model.head.classifier.weight.mul_(8)  # away from equal probabilities, so that rounding decides no code
    return Bundle(model, VQCodec(JanusVQVAE(sizes)), tokenizer)


class Case:
    """One batch of one prompt: how each variant draws its codes."""

    def __init__(self, bundle: Bundle, theirs: JanusForConditionalGeneration, batch: int, guidance: float) -> None:
        self.bundle, self.theirs, self.batch, self.guidance = bundle, theirs, batch, guidance
        self.prompts = [bundle.template.generation_prompt(PROMPT)] * batch

    def transformers(self) -> Tensor:
        """By their ``generate``."""
        ids = torch.tensor(self.prompts)
        return self.theirs.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_mode="image",
            do_sample=False,
            guidance_scale=self.guidance,
        )

    def ours(self, kind: type[PromptRunner] | type[UncachedPromptRunner]) -> Tensor:
        """By our head over a runner."""
        model, template = self.bundle.model, self.bundle.template
        dropped = [template.dropped_prompt(ids) for ids in self.prompts]
        runner = kind(model.llm, self.prompts, 1 + model.head.num_tokens, dropped)
        start = model.head.start(list(range(self.batch)), torch.device("cpu"))
        return model.head.sample(runner, start, CodeSampling(self.guidance, temperature=0.0))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(GRIDS), default="wide")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--uncached", action="store_true", help="also our naive twin, which recomputes everything")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(argv)


@torch.inference_mode()
def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    args = parse(argv)
    torch.manual_seed(0)
    bundle = build(args)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(bundle, Path(folder) / "janus", "transformers")
        theirs = JanusForConditionalGeneration.from_pretrained(Path(folder) / "janus").eval()
    special = bundle.tokenizer
    theirs.generation_config.bos_token_id, theirs.generation_config.pad_token_id = special.bos, special.pad
    theirs.generation_config.generation_kwargs = {"boi_token_id": special.boi}
    rows = []
    for batch in args.batch_sizes:
        case = Case(bundle, theirs, batch, args.guidance)
        calls = {"transformers": case.transformers, "ours": lambda c=case: c.ours(PromptRunner)}
        if args.uncached:
            calls["ours, uncached"] = lambda c=case: c.ours(UncachedPromptRunner)
        codes = {name: call() for name, call in calls.items()}
        for name in codes:
            if not torch.equal(codes[name], codes["transformers"]):
                raise SystemExit(f"{name} draws other codes than transformers: the times do not compare")
        seconds = measure(calls, args.repeats, "cpu")
        for name, value in seconds.items():
            row = {
                "batch": batch,
                "variant": name,
                "seconds_per_image": round(value / batch, 4),
                "milliseconds_per_code": round(1000 * value / bundle.model.head.num_tokens, 2),
                "speed_over_transformers": round(seconds["transformers"] / value, 2),
            }
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    figures = {
        "model": f"random Janus, {args.size}, {args.layers} blocks, {bundle.model.head.num_tokens} codes",
        "guidance": args.guidance,
        "rows": rows,
        "repeats": args.repeats,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    store(figures, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
