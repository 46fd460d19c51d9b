"""``python -m janusflow.parts``: rebuild the pretrained parts of the worlds' models; killed, it goes on.

Each cast has its own: two image codecs, a tokenizer, a SigLIP and a language model.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from janusflow.codecs.vq import VQCodec
from janusflow.command_line import Parser
from janusflow.config import load_config
from janusflow.data.tokenizer import TextTokenizer
from janusflow.parts.llm import train_llm
from janusflow.parts.siglip import save_siglip, train_siglip
from janusflow.parts.tokenizer import train_tokenizer
from janusflow.parts.vae import train_vae
from janusflow.parts.vq import train_vq
from janusflow.training.config import RunConfig
from janusflow.weights import ASSETS, follow_umask
from janusflow.worlds.scenes import Level, World

CASTS = ("objects", "shapes")
PARTS = {  # -> training steps
    "shapes/vae": 6000,
    "shapes/vq": 2000,
    "shapes/siglip": 1000,
    "shapes/llm": 5000,
    "objects/vae": 12000,
    "objects/vq": 4000,
    "objects/siglip": 1500,
    "objects/llm": 4000,
}

LEVEL: dict[str, Level] = {"shapes": "fixed", "objects": "free"}  # of what SigLIP and the language model learn from

Figures = dict[str, float]


def main(argv: list[str] | None = None) -> int:
    """Train the parts and write them with cards of how they were made."""
    parser = Parser(prog="python -m janusflow.parts", description=__doc__)
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of CAST.yaml, whose sizes count")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="train these, leave the others as they are")
    parser.add_argument("--steps", type=int, help=f"training steps (default: {PARTS})")
    args = parser.parse_args(argv)
    try:
        configs = {cast: load_config(RunConfig, args.configs / f"{cast}.yaml") for cast in CASTS}
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in args.only or PARTS:
        folder, part = args.out / name.split("/")[0], name.split("/")[1]
        folder.mkdir(parents=True, exist_ok=True)
        steps, start = args.steps or PARTS[name], time.time()
        state = folder / f"{part}.state"
        figures = TRAINERS[part](args.seed, configs[folder.name], folder, steps, state)
        follow_umask(folder.rglob("*.safetensors"))
        write_card(folder, part, {"seed": args.seed, "steps": steps}, time.time() - start, figures)
        state.unlink(missing_ok=True)
    return 0


def write_card(folder: Path, part: str, asked: Figures, seconds: float, figures: Figures) -> None:
    """Note in the folder's card how a part was made; the minutes are those of the last start."""
    path = folder / "card.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    card[part] = {
        **asked,
        "minutes": round(seconds / 60, 1),
        **{key: round(value, 4) for key, value in figures.items()},
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    path.write_text(json.dumps(card, indent=2) + "\n")
    print(part, card[part])


def vae(seed: int, config: RunConfig, folder: Path, steps: int, state: Path) -> Figures:
    """The VAE of the flow head."""
    model, figures = train_vae(folder.name, seed, steps, state)
    model.half().save_pretrained(folder / "vae", safe_serialization=True)
    return figures


def vq(seed: int, config: RunConfig, folder: Path, steps: int, state: Path) -> Figures:
    """The VQ tokenizer of the autoregressive head."""
    model, figures = train_vq(folder.name, seed, steps, state)
    VQCodec(model.half()).save(folder / "vq")
    return figures


def siglip(seed: int, config: RunConfig, folder: Path, steps: int, state: Path) -> Figures:
    """Both towers, and the tokenizer, which takes no time."""
    tokenizer = train_tokenizer(seed, config.model.llm.vocab_size, World(folder.name))
    tokenizer.save(folder / "tokenizer.json")
    model, figures = train_siglip(
        World(folder.name, LEVEL[folder.name]), seed, config.model.vision, tokenizer, steps, state
    )
    save_siglip(model, folder)
    return figures


def llm(seed: int, config: RunConfig, folder: Path, steps: int, state: Path) -> Figures:
    """The language model."""
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    world = World(folder.name, LEVEL[folder.name])
    model, figures = train_llm(world, seed, config.model.llm, tokenizer, steps, state)
    weights = {key: tensor.half().contiguous() for key, tensor in model.state_dict().items()}
    save_file(weights, folder / "llm.safetensors")
    return figures


TRAINERS: dict[str, Callable[[int, RunConfig, Path, int, Path], Figures]] = {
    "vae": vae,
    "vq": vq,
    "siglip": siglip,
    "llm": llm,
}

if __name__ == "__main__":
    raise SystemExit(main())
