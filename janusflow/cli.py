"""The ``janusflow`` command: draw and edit pictures, ask about pictures, export models, prepare data."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from janusflow import __version__
from janusflow.codec_command import CODEC, IMAGES, add_measuring, images_at
from janusflow.command_line import Parser, find_device, run_command
from janusflow.data_command import add_data
from janusflow.demo.config import DemoConfig
from janusflow.drawing_commands import JSON, add_edit, add_generate
from janusflow.export_command import add_exports
from janusflow.model_flags import DEVICE, add_model, add_sampling, load, sampling_flags
from janusflow.options import add_flags, from_flags
from janusflow.serve.config import ServeConfig
from janusflow.training import command

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (see :func:`run_command`)."""
    argv = sys.argv[1:] if argv is None else [*argv]
    if argv[:1] == ["train"]:
        return command.main(argv[1:], "janusflow train")  # whose arguments may stand in any order
    args = build_parser().parse_args(argv)
    return run_command(lambda: args.run(args))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="janusflow", description=__doc__)
    parser.add_argument("--version", action="version", version=f"janusflow {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = Parser(add_help=False)
    add_model(model)

    add_generate(commands, model)
    add_edit(commands, model)

    chat = commands.add_parser("chat", parents=[model], help="ask about a picture", description=run_chat.__doc__)
    chat.set_defaults(run=run_chat)
    chat.add_argument("image", help="picture file")
    chat.add_argument("question", nargs="*", help="questions; without any they are read from standard input")
    chat.add_argument("--image", dest="more", action="append", default=[], metavar="FILE", help="one more picture")
    chat.add_argument("--system", metavar="TEXT", help="system prompt; '' is none (default: the model's own)")
    chat.add_argument("--max-new-tokens", type=int, default=48, help="tokens of an answer, at most")
    chat.add_argument("--temperature", type=float, default=0.0, help="of sampled answers; 0 is greedy")
    chat.add_argument("--top-p", type=float, default=1.0, help="sample from the fewest tokens of this probability")
    chat.add_argument("--seed", type=int, default=0, help="seed of sampled answers")
    chat.add_argument("--json", action="store_true", help=f"{JSON}: question and answer")

    commands.add_parser("train", help="train a model, as python train.py does", description=command.__doc__)

    add_exports(commands)

    add_data(commands)

    encode = commands.add_parser(
        "encode-latents",
        help="store the latents (or codes) of images, for training without the VAE (or VQ tokenizer) in the step",
        description="Encode images once, batch by batch. Interrupted, it goes on with the batch at hand; with torchrun "
        "the processes share the batches, each on a GPU of its own.",
    )
    encode.set_defaults(run=run_encode_latents)
    encode.add_argument("path", help=IMAGES)
    encode.add_argument("--vae", required=True, help=CODEC)
    encode.add_argument(
        "--latents",
        choices=("scaled", "normalized"),
        default="scaled",
        help="how a VAE's latents come to unit variance; the run's model.head.latents",
    )
    encode.add_argument("--size", type=int, default=384, help="pixels of a side; the run's data.image_size")
    encode.add_argument(
        "--buckets",
        nargs="+",
        metavar="HEIGHTxWIDTH",
        help="shapes in pixels in the place of the square, as the run's data.buckets in their order",
    )
    encode.add_argument("--batch-size", type=int, default=8, help="images encoded together")
    encode.add_argument("--image-column", help="of parquet files, as the run's source names it (default: found)")
    encode.add_argument("--caption-column", help="of parquet files, as the run's source names it (default: found)")
    encode.add_argument("--device", help=DEVICE)

    add_measuring(commands)

    pairs = commands.add_parser(
        "pairs",
        parents=[model],
        help="store noise and what a flow model draws from it, for few-step students (reflow)",
        description="Draw prompts once, with the teacher's guidance, and store each noise's seed with the latents it "
        "came to: the source of kind pairs. Interrupted, it goes on with the batch at hand; with torchrun the "
        "processes share the batches.",
    )
    pairs.set_defaults(run=run_pairs)
    told = pairs.add_mutually_exclusive_group(required=True)
    told.add_argument("--prompts", type=Path, help="file of prompts: a line each, or .jsonl with a prompt in each line")
    told.add_argument("--cast", help="captions of a world's training scenes as prompts: shapes or objects")
    pairs.add_argument("--level", default="free", help="how the things of --cast are placed: free or fixed")
    pairs.add_argument("--count", type=int, help="pairs (default: one for each prompt of the file); prompts come again")
    pairs.add_argument("--out", type=Path, required=True, help="folder of the pairs")
    pairs.add_argument("--seed", type=int, default=0, help="seed of the first noise; the next ones count up")
    pairs.add_argument("--batch-size", type=int, default=16, help="pictures computed together")
    add_sampling(pairs)

    demo = commands.add_parser("demo", parents=[model], help="a page in the browser", description=run_demo.__doc__)
    add_flags(demo, DemoConfig)
    demo.set_defaults(run=run_demo)

    serve = commands.add_parser(
        "serve", parents=[model], help="draw and answer over HTTP", description=run_serve.__doc__
    )
    add_flags(serve, ServeConfig)
    serve.set_defaults(run=run_serve)
    return parser


def run_chat(args: argparse.Namespace) -> int:
    """Answer questions about one picture or several, a line each.

    Questions on the command line are independent of each other; those from standard input are turns of one talk.
    """
    from janusflow.inference.answers import Conversation, DecodingOptions, answer, stream
    from janusflow.pictures import read_image

    options = DecodingOptions(args.max_new_tokens, args.temperature, args.top_p).check()
    images = [read_image(path) for path in (args.image, *args.more)]
    bundle = load(args, vae="sight")
    if args.question:
        talks = [Conversation(images, [(question, None)], args.system) for question in args.question]
        answers = answer(bundle, talks, options, seeds=[args.seed] * len(talks))
        for question, text in zip(args.question, answers, strict=True):
            print(json.dumps({"question": question, "answer": text}, ensure_ascii=False) if args.json else text)
        return 0
    if sys.stdin.isatty():
        print("Ask about the picture; an empty line ends.")
    turns: list[tuple[str, str]] = []
    for line in sys.stdin:
        if not line.strip():
            break
        pieces = []
        talk = Conversation(images, [*turns, (line.strip(), None)], args.system)
        for piece in stream(bundle, talk, options, args.seed):
            pieces.append(piece)
            if not args.json:
                print(piece, end="", flush=True)
        turns.append((line.strip(), "".join(pieces)))
        said = dict(zip(("question", "answer"), turns[-1], strict=True))
        print(json.dumps(said, ensure_ascii=False) if args.json else "", flush=True)
    return 0


def run_encode_latents(args: argparse.Namespace) -> int:
    """Encode what is not encoded yet; a run takes it where its source says ``cached_latents: true``."""
    from janusflow.checkpoints.codecs import load_codec
    from janusflow.data.encode import encode_source
    from janusflow.models.shapes import parse_size
    from janusflow.progress import progress_bar

    if args.size < 1 or args.batch_size < 1:
        raise ValueError(f"--size and --batch-size must be at least 1, got {args.size} and {args.batch_size}")
    if args.device is None and "LOCAL_RANK" in os.environ and find_device(None).type == "cuda":
        args.device = f"cuda:{os.environ['LOCAL_RANK']}"
    size = [parse_size(text) for text in args.buckets] if args.buckets else args.size
    codec = load_codec(args.vae).give(args.latents).to(find_device(args.device))
    config = images_at(args.path, args.image_column, args.caption_column)
    main = os.environ.get("RANK", "0") == "0"  # of torchrun's processes the one that talks
    with progress_bar("encoding", "image", show=main) as progress:
        encoded = encode_source(config, codec, size, args.batch_size, progress)
    for fault in encoded.faults:
        print(f"left out: {fault}", file=sys.stderr)
    for path in encoded.files if main else ():
        print(path)
    return 0


def run_pairs(args: argparse.Namespace) -> int:
    """Draw the pairs that are not stored yet."""
    from itertools import cycle, islice

    from janusflow.inference.pairs import make_pairs
    from janusflow.inference.prompts import read_prompts
    from janusflow.progress import progress_bar

    if args.batch_size < 1 or (args.count is not None and args.count < 1):
        raise ValueError(f"--batch-size and --count must be at least 1, got {args.batch_size} and {args.count}")
    if args.prompts is not None:
        prompts = [one["prompt"] for one in read_prompts(args.prompts)]
        prompts = list(islice(cycle(prompts), args.count or len(prompts)))
    elif args.count is None:
        raise ValueError("--cast needs --count: a world's captions have no end")
    else:
        from janusflow.worlds.scenes import World
        from janusflow.worlds.source import captions_of

        prompts = captions_of(World(args.cast, args.level), args.count, args.seed)
    if args.device is None and "LOCAL_RANK" in os.environ and find_device(None).type == "cuda":
        args.device = f"cuda:{os.environ['LOCAL_RANK']}"
    bundle = load(args)
    options = bundle.model.config.head.sampling(bundle.sampling, sampling_flags(args))
    main = os.environ.get("RANK", "0") == "0"  # of torchrun's processes the one that talks
    with progress_bar("drawing", "pair", show=main) as progress:
        files = make_pairs(bundle, prompts, args.seed, options, args.out, args.batch_size, progress)
    for path in files if main else ():
        print(path)
    return 0


def run_serve(args: argparse.Namespace) -> int:
    """Serve a model over HTTP, in the shapes of the widely used endpoints: POST /v1/images/generations and
    /v1/chat/completions, GET /v1/models, /health, /metrics (Prometheus) and /openapi.json.

    Only this machine reaches the port unless --host says otherwise. SIGTERM ends it when what is here is finished.
    """
    config = from_flags(args, ServeConfig)
    from janusflow.checkpoints.pretrained import DEFAULT
    from janusflow.serve.command import serve

    return serve(lambda: load(args), args.model or DEFAULT, config)


def run_demo(args: argparse.Namespace) -> int:
    """Show a page in the browser: draw, watch a picture being drawn, compare two models, ask about pictures.

    Only this machine reaches the port unless --host says otherwise. The model is loaded when it is first used.
    """
    config = from_flags(args, DemoConfig)
    from janusflow.checkpoints.pretrained import DEFAULT
    from janusflow.demo.command import demo

    def load_one(model: str) -> Bundle:
        args.model = model
        return load(args)

    return demo(load_one, args.model or DEFAULT, config, args.revision)


if __name__ == "__main__":
    raise SystemExit(main())
