"""``python -m janusflow.parts``: rebuild the pretrained parts of the shapes world from a seed."""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file

from janusflow.codecs.vq import VQCodec
from janusflow.command_line import Parser
from janusflow.config import load_config
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.parts.llm import train_llm
from janusflow.parts.siglip import save_siglip, train_siglip
from janusflow.parts.tokenizer import train_tokenizer
from janusflow.parts.vae import train_vae
from janusflow.parts.vq import train_vq
from janusflow.training.config import RunConfig
from janusflow.weights import follow_umask

PARTS = ("vae", "vq", "siglip", "llm")


def main(argv: list[str] | None = None) -> int:
    """Train the parts and write them with a card of how they were made."""
    parser = Parser(prog="python -m janusflow.parts", description=__doc__)
    parser.add_argument("--config", default="configs/shapes_ar.yaml", help="run configuration whose model sizes count")
    parser.add_argument("--out", type=Path, default=Path("janusflow/assets/shapes"), help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data")
    parser.add_argument(
        "--only", nargs="*", choices=PARTS, help="train these, leave the others as they are (default: all)"
    )
    parser.add_argument("--vae-steps", type=int, default=1200, help="training steps of the VAE")
    parser.add_argument("--vq-steps", type=int, default=2000, help="training steps of the VQ tokenizer")
    parser.add_argument("--siglip-steps", type=int, default=1000, help="training steps of the SigLIP")
    parser.add_argument("--llm-steps", type=int, default=1500, help="training steps of the language model")
    args = parser.parse_args(argv)
    try:
        config = load_config(RunConfig, args.config).model
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    card_path = args.out / "card.json"
    card = json.loads(card_path.read_text()) if card_path.exists() else {}
    wanted = args.only or PARTS

    vocabulary = args.out / "tokenizer.json"
    if args.only and vocabulary.exists():  # the parts that stay speak it
        tokenizer = TextTokenizer.from_file(vocabulary)
    else:
        tokenizer = train_tokenizer(args.seed, config.llm.vocab_size)
        tokenizer.save(vocabulary)
    for name in wanted:
        start = time.time()
        if name == "vae":
            vae, figures = train_vae(
                args.seed, config.vision.image_size, FlowHeadConfig.latent_channels, args.vae_steps
            )
            vae.half().save_pretrained(args.out / "vae", safe_serialization=True)
        elif name == "vq":
            vq, figures = train_vq(args.seed, config.vision.image_size, cast(ARHeadConfig, config.head), args.vq_steps)
            VQCodec(vq.half()).save(args.out / "vq")
        elif name == "siglip":
            siglip, figures = train_siglip(args.seed, config.vision, tokenizer, args.siglip_steps)
            save_siglip(siglip, args.out)
        else:
            llm, figures = train_llm(args.seed, config.llm, tokenizer, args.llm_steps)
            save_file(
                {key: tensor.half().contiguous() for key, tensor in llm.state_dict().items()},
                args.out / "llm.safetensors",
            )
        follow_umask(args.out.rglob("*.safetensors"))
        card[name] = {
            "seed": args.seed,
            "steps": getattr(args, f"{name}_steps"),
            "minutes": round((time.time() - start) / 60, 1),
            **{key: round(value, 4) for key, value in figures.items()},
            "torch": torch.__version__,
            "machine": platform.machine(),
        }
        card_path.write_text(json.dumps(card, indent=2) + "\n")
        print(name, card[name])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
