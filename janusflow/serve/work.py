"""What the queue's thread does with a batch: draw pictures, or write answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from janusflow.checkpoints.pretrained import Bundle
from janusflow.inference.answers import Answer, Conversation, DecodingOptions, write
from janusflow.inference.images import generate_images
from janusflow.pictures import png_bytes
from janusflow.provenance import made_by
from janusflow.serve.batcher import Gone, Job
from janusflow.serve.metrics import Metrics


class Drawing(NamedTuple):
    """One picture."""

    prompt: str
    seed: int


class Shaped(NamedTuple):
    """The key of pictures of another size than the model's own."""

    options: Any
    size: tuple[int, int]  # pixels, height and width


class Talk(NamedTuple):
    """One answer."""

    conversation: Conversation
    seed: int


class End(NamedTuple):
    """How an answer ended, behind its last piece."""

    reason: str  # stop, or length
    tokens: int


class Worker:
    """The model as the queue runs it. Keys of jobs are the options: what is drawn or written with the same goes
    together, whatever the prompts."""

    def __init__(self, bundle: Bundle, metrics: Metrics) -> None:
        self.bundle, self.metrics = bundle, metrics
        self.kinds: dict[type, Callable[[Sequence[Job]], None]] = {DecodingOptions: self.answer}

    def __call__(self, jobs: Sequence[Job]) -> None:
        self.kinds.get(type(jobs[0].key), self.draw)(jobs)

    def draw(self, jobs: Sequence[Job]) -> None:
        """Tell each job its picture as a PNG file, which holds its settings."""
        key: Any = jobs[0].key
        options, size = key if isinstance(key, Shaped) else (key, None)
        self.metrics.batches.labels("images").observe(len(jobs))
        prompts, seeds = [job.work.prompt for job in jobs], [job.work.seed for job in jobs]
        images = generate_images(
            self.bundle, prompts, seeds, options, len(jobs), on_step=lambda *_: check_wanted(jobs), size=size
        )
        for job, image in zip(jobs, images, strict=True):
            facts = made_by(self.bundle, job.work.prompt, job.work.seed, options, size=size)
            job.tell(png_bytes(image, facts))
        self.metrics.images.inc(len(jobs))

    def answer(self, jobs: Sequence[Job]) -> None:
        """Tell each job its answer, piece by piece, and how it ended."""
        options: Any = jobs[0].key
        self.metrics.batches.labels("answers").observe(len(jobs))
        talks, seeds = [job.work.conversation for job in jobs], [job.work.seed for job in jobs]
        rows = [Answer(self.bundle, options) for _ in jobs]
        open_jobs = list(zip(jobs, rows, strict=True))
        for _ in write(self.bundle, talks, options, seeds, rows):
            check_wanted(jobs)
            for job, row in open_jobs:
                row.done |= job.gone
                tell_news(job, row, last=row.done)
            self.metrics.tokens.inc(len(open_jobs))
            open_jobs = [(job, row) for job, row in open_jobs if not row.done]
        for job, row in open_jobs:
            tell_news(job, row, last=True)


def tell_news(job: Job, row: Answer, last: bool) -> None:
    """Tell what is new of an answer, and its end with the ``last`` of it."""
    if piece := row.news(last):
        job.tell(piece)
    if last:
        job.tell(End("stop" if row.done else "length", len(row.ids)))


def check_wanted(jobs: Sequence[Job]) -> None:
    """Raise :class:`Gone` where nobody waits any more."""
    if all(job.gone for job in jobs):
        raise Gone
