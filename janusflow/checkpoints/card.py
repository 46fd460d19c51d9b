"""Model cards, as the hub shows them: what a model is, how it is used, and what results say of it.

A card states what the model and its result files hold; no number in it is typed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from janusflow.registry import Registry

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from janusflow.checkpoints.pretrained import Bundle

CARD = "README.md"
TEMPLATE = Path(__file__).with_suffix(".md.j2")


class Scores(NamedTuple):
    """What results say, as Markdown, and what of it stands in the card's metadata."""

    text: str = ""
    metrics: Sequence[EvalResult] = ()


# What makes scores of result folders, read(folders, checkpoint): a package beside this one, which imports it.
READERS: Registry[Callable[..., Scores]] = Registry(
    "reader of results", "janusflow.cards", {"eval": "eval.pages.card:card_scores"}
)


def model_card(
    bundle: Bundle,
    name: str,
    layout: str = "janusflow",
    results: str | Path | Sequence[str | Path] = (),
    license: str | None = None,
) -> str:
    """The card of a model that is called ``name``, a folder or hub id, with the scores of ``results``, folders or one.

    Raises ``ValueError`` for a folder without results, and for results of another model than this.
    """
    from huggingface_hub import ModelCard, ModelCardData

    model = bundle.model
    folders = [results] if isinstance(results, str | Path) else [*results]
    scores = READERS.load("eval")(folders, bundle.digest) if folders else Scores()
    data = ModelCardData(
        library_name="transformers" if layout == "transformers" else "janusflow",
        pipeline_tag="any-to-any",
        license=license,
        tags=["text-to-image", "visual-question-answering"],
        model_name=name,
        eval_results=[*scores.metrics] or None,
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=name,
        layout=layout,
        sizes=model.config,
        family=model.head.family,
        millions=sum(one.numel() for one in model.parameters()) / 1e6,
        tokens=model.head.num_tokens,
        digest=bundle.digest,
        drawing=model.config.head.sampling(bundle.sampling).describe(),
        world=bundle.world,
        scores=scores.text,
    )
    return str(card).rstrip() + "\n"
