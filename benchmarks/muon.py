"""Seconds of an optimizer step over the blocks' matrices: ``torch.optim.Muon`` against ours.

``python benchmarks/muon.py`` takes the linear layers of a run's model, gives both sides the same random gradients and
lets them step in turns. torch's orthogonalises in bf16; ours in fp32 where bf16 is not fast (as a run's default
precision), all matrices of a shape at a time. Figures are medians; ratios are torch's seconds over ours.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import torch
from timing import measure, store
from torch import nn

from janusflow.config import load_config
from janusflow.models.unified import UnifiedModel
from janusflow.precision import fast_bf16, fast_dtype
from janusflow.training.config import RunConfig
from janusflow.training.muon import Muon
from janusflow.training.optim import OptimConfig, muon_matrices


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/shapes.yaml", help="run configuration whose model counts")
    parser.add_argument("--device", default="cpu", help="device to step on")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of the CPU")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each side")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    model = UnifiedModel(load_config(RunConfig, args.config).model)
    matrices = [matrix.detach().to(device) for matrix in muon_matrices(model, OptimConfig(algorithm="muon"))]
    sides: dict[str, torch.optim.Optimizer] = {}
    for name in ("torch", "ours"):
        own = [nn.Parameter(matrix.clone()) for matrix in matrices]
        for matrix in own:
            matrix.grad = torch.randn_like(matrix)
        sides[name] = (
            Muon(own, 1e-3, dtype=fast_dtype(device))
            if name == "ours"
            else torch.optim.Muon(own, 1e-3, adjust_lr_fn="match_rms_adamw")
        )
    seconds = measure({name: side.step for name, side in sides.items()}, args.repeats, args.device)
    ratio = seconds["torch"] / seconds["ours"]
    numbers = sum(matrix.numel() for matrix in matrices)
    print(f"{len(matrices)} matrices, {numbers:,} numbers; bf16 is {'' if fast_bf16(device) else 'not '}fast here")
    print(f"torch {seconds['torch']:.3f} s, ours {seconds['ours']:.3f} s: {ratio:.1f} x")
    store(
        {
            "config": args.config,
            "matrices": len(matrices),
            "numbers": numbers,
            "fast_bf16": fast_bf16(device),
            "seconds": seconds,
            "ratio": ratio,
            "threads": args.threads,
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        },
        args.out,
    )


if __name__ == "__main__":
    main()
