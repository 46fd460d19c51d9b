"""Time to draw a batch of pictures: cached prompts against running the prompt anew in every step.

``python benchmarks/sampling.py`` prints the medians of both sides, their ratio, and the machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from janusflow.checkpoint import SHIPPED, load_pretrained
from janusflow.data.shapes.prompts import benchmark_prompts
from janusflow.generate import PromptRunner, UncachedPromptRunner
from janusflow.models.flow_head import SamplingOptions


def median_seconds(draw: Callable[[], object], repeats: int) -> float:
    """The median of ``repeats`` timed calls after one that is not timed."""
    draw()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        draw()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


@torch.inference_mode()
def main() -> int:
    """Measure, print, and store the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SHIPPED, help="model folder (default: the shipped shapes-world model)")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()

    bundle = load_pretrained(args.model)
    options = SamplingOptions(args.steps, args.guidance).check()
    prompts = [p["prompt"] for p in benchmark_prompts(-(-args.images // 6))][: args.images]
    tokens = [bundle.template.generation_prompt(prompt) for prompt in prompts]
    noise = bundle.model.head.initial_noise(list(range(len(prompts))), torch.device("cpu"))
    guided = options.guidance != 1

    def cached() -> Tensor:
        runner = PromptRunner(bundle.model.llm, tokens, 1 + bundle.model.head.num_tokens, guided)
        return bundle.codec.decode(bundle.model.head.sample(runner, noise, options))

    def uncached() -> Tensor:
        return bundle.codec.decode(
            bundle.model.head.sample(
                UncachedPromptRunner(bundle.model.llm, tokens, 1 + bundle.model.head.num_tokens, guided), noise, options
            )
        )

    torch.testing.assert_close(cached(), uncached(), atol=1e-3, rtol=0)
    fast, slow = median_seconds(cached, args.repeats), median_seconds(uncached, args.repeats)
    figures = {
        "what": f"{len(prompts)} images, {args.steps} Euler steps, w = {args.guidance:g}, decoded",
        "cached_seconds": round(fast, 2),
        "uncached_seconds": round(slow, 2),
        "ratio": round(slow / fast, 2),
        "repeats": args.repeats,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
