"""Seconds of attention in training on a CPU, forward and backward: PyTorch's kernel against the form that we write out.

``python benchmarks/attention.py`` packs samples into rows of each length, the same number of tokens each time, and lets
both sides take turns in bf16 (see ``janusflow.models.attention``). Figures are medians; ratios are the kernel's seconds
over ours.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import measure, store
from torch import Tensor

from janusflow.config import load_config
from janusflow.models.attention import Visible, attend, sample_mask
from janusflow.precision import fast_bf16
from janusflow.training.config import RunConfig

SAMPLE = 60  # tokens


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/shapes.yaml", help="run configuration whose heads count")
    parser.add_argument("--tokens", type=int, default=3072, help="of all rows together")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512], help="tokens of a row")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of the CPU")
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each side")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    llm = load_config(RunConfig, args.config).model.llm
    rows = {}
    for length in args.lengths:
        shape = (args.tokens // length, length, llm.num_heads, llm.head_size)
        query, key, value = (torch.randn(shape).bfloat16().transpose(1, 2).requires_grad_() for _ in range(3))
        mask = sample_mask((torch.arange(length) // SAMPLE).expand(shape[0], -1))
        states, visible = (query, key, value), Visible(mask)
        sides = {
            "kernel": partial(F.scaled_dot_product_attention, *states, mask),
            "ours": partial(attend, *states, visible),
        }
        seconds = measure({name: trained(side) for name, side in sides.items()}, args.repeats, "cpu")
        rows[length] = {"seconds": seconds, "ratio": seconds["kernel"] / seconds["ours"]}
        print(
            f"rows of {length}: kernel {seconds['kernel']:.4f} s, ours {seconds['ours']:.4f} s: "
            f"{rows[length]['ratio']:.2f} x"
        )
    store(
        {
            "config": args.config,
            "tokens": args.tokens,
            "rows": rows,
            "threads": args.threads,
            "fast_bf16": fast_bf16(torch.device("cpu")),
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        },
        args.out,
    )


def trained(call: Callable[[], Tensor]) -> Callable[[], None]:
    """``call`` and its gradient."""
    return lambda: call().float().square().sum().backward()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
