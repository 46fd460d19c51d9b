"""Memory and time to write and load JanusFlow-1.3B at full size, and to draw one image with it.

``python benchmarks/loading.py`` (on Linux) writes random bf16 weights in DeepSeek's layout (4.1 GB, in a temporary
folder), then loads them in a fresh process and prints the peak of the resident memory beside the size of the weights.
The image has the cost of a real one; with random weights it shows nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import store

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing, to_images
from janusflow.inference.images import sample_latents
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.options import FlowSampling
from janusflow.pictures import save_png
from janusflow.weights import SHIPPED, safetensors_files

PROMPT = "a photo of a lighthouse"


def peak_gib() -> float:
    """The highest resident memory of this process so far. (``getrusage`` would count the parent's before exec.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def write(folder: Path, layers: int | None) -> None:
    """Random weights of the real sizes, as they are released: bf16, one folder in DeepSeek's layout."""
    torch.manual_seed(0)
    config = ModelConfig(losses={})
    if layers is not None:
        config.llm.num_layers = config.vision.depth = layers
    torch.set_default_dtype(torch.bfloat16)
    model = UnifiedModel(config)
    torch.set_default_dtype(torch.float32)
    tokenizer = TextTokenizer.from_file(SHIPPED["shapes-flow"] / "tokenizer.json")
    bundle = Bundle(model, None, tokenizer, ChatConfig(), Preprocessing(), "")
    save_pretrained(bundle, folder, "deepseek", shard_size="2GB")


def load(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """Load what :func:`write` wrote, draw one image, and say what both took."""
    before, start = peak_gib(), time.perf_counter()
    bundle = load_pretrained(folder, dtype=getattr(torch, args.dtype), device=args.device, vae=None)
    seconds = time.perf_counter() - start
    weights = sum(p.numel() * p.element_size() for p in bundle.model.parameters()) / 2**30
    figures: dict[str, object] = {
        "parameters": sum(p.numel() for p in bundle.model.parameters()),
        "files": len(safetensors_files(folder)),
        "dtype": args.dtype,
        "weights_gib": round(weights, 2),
        "load_seconds": round(seconds, 1),
        "load_peak_gib": round(peak_gib() - before, 2),
        "load_peak_over_weights": round((peak_gib() - before) / weights, 2),
    }
    start = time.perf_counter()
    (latents,) = sample_latents(bundle, [PROMPT], [0], FlowSampling(args.steps, args.guidance))
    figures["image_steps"] = args.steps
    figures["image_seconds"] = round(time.perf_counter() - start, 1)
    figures["image_peak_gib"] = round(peak_gib() - before, 2)
    if args.vae:
        start = time.perf_counter()
        codec = LatentCodec.from_pretrained(args.vae).to(torch.device(args.device))
        (image,) = to_images(codec.decode(latents))
        figures["decode_seconds"] = round(time.perf_counter() - start, 1)
        save_png(image, args.image, {"prompt": PROMPT, "weights": "random"})
    figures |= {"device": args.device, "machine": platform.machine(), "threads": torch.get_num_threads()}
    return figures | {"torch": torch.__version__}


def main(argv: list[str] | None = None) -> int:
    """Write in this process, load in another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the checkpoint is written (default: a temporary folder)")
    parser.add_argument("--layers", type=int, help="number of blocks of both transformers (default: the real ones)")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--vae", help="decode the latents with this VAE: folder, hub id or TAESD file")
    parser.add_argument("--image", type=Path, default=Path("random_weights.png"), help="PNG of the decoded latents")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--load-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.load_only:
        figures = load(args.folder, args)
        print(json.dumps(figures, indent=2))
        store(figures, args.out)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        write(folder, args.layers)
        again = [*(sys.argv[1:] if argv is None else argv), "--folder", str(folder), "--load-only"]
        return subprocess.run([sys.executable, __file__, *again], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
