"""Runs a task: draws and answers, judges, scores. Every stage is stored item by item, resumed and sharded.

A stage goes through its items in fixed batches, and a batch is done whole, by one shard: so the pictures and answers of
a run that was killed, or split over machines, are bit for bit those of one that was not.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from PIL import Image
from tqdm import tqdm

from eval.candidate import Candidate, libraries, machine
from eval.features.images import ahead
from eval.files import file_hash, find_folder
from eval.picture_folder import find_pictures
from eval.result import Result, collect, keep, kept_result, read_answers, sources
from eval.store import (
    ANSWERED,
    DRAWN,
    JUDGED,
    PICTURES,
    WHOLE,
    Entry,
    OtherSettings,
    Shard,
    Store,
    claim,
    drawn_by,
)
from eval.task import Drawing, Judge, Question, Task, Work
from janusflow.inference.answers import DecodingOptions
from janusflow.models.shapes import grid_for
from janusflow.pictures import read_image, save_png

FORMAT = 1  # of the stored items; raised where a change of the code changes what they mean

Item = TypeVar("Item", Drawing, Question)


@dataclass(frozen=True)
class RunOptions:
    """How a task is run."""

    out: Path  # result folder
    batch_size: int = 16  # items done together
    limit: int | None = None  # only that many items
    shard: Shard = WHOLE
    device: str = "cpu"  # of the judge
    workers: int | None = None  # processes that read pictures for it; None: one a core
    images: Path | None = None  # folder of pictures that are scored instead of drawn ones
    answers: Path | None = None  # file of answers that are scored instead of the model's

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch size must be at least 1, got {self.batch_size}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be at least 0, got {self.workers}")


def run(task: Task, options: RunOptions, load: Callable[[], Candidate]) -> Result | None:
    """Do this shard's part of what ``options.out`` does not hold yet; the result, once all shards' parts are there.

    ``load`` is called only where a model is needed. Raises ``ValueError`` for bad input, and for a folder that holds
    results of other settings.
    """
    given = read_answers(options.answers) if options.answers else None
    task.device, task.workers = options.device, options.workers
    full = task.prepare().check()
    work = full if options.limit is None else task.prepare(options.limit)
    if options.images:
        if not work.drawings:
            raise ValueError(f"{task.name} asks for no pictures: --images has nothing to score")
        found = find_pictures(task, find_folder(options.images), full)
        work = found if options.limit is None else found.only(work)
    pictures = options.images or options.out / PICTURES
    draws, asks = bool(work.drawings and not options.images), bool(work.questions and given is None)
    candidate = load().with_system_prompt(task.system_prompt) if draws or asks else None
    settings = claim(
        options.out,
        {
            "format": FORMAT,
            "task": task.name,
            "work": work.protocol,
            "model": candidate.describe(draws) if candidate else None,
            "decoding": {"max_new_tokens": task.max_new_tokens, "temperature": 0} if asks else None,
            "images": str(options.images) if options.images else None,
            "drawn_by": drawn_by(options.images),
            "answers": file_hash(options.answers) if options.answers else None,
            "judge": task.judge_protocol() if work.drawings else {},
            "batch_size": options.batch_size,
            "machine": machine(options.device),
            "libraries": libraries(),
        },
    )
    if candidate and draws:
        draw(task, work, candidate, options)
    if candidate and asks:
        answer(task, work.questions, candidate, options)
    candidate = None  # its memory is the judge's
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if work.drawings:
        judge(task, work.drawings, pictures, options)
    settings = {**settings, "libraries": libraries()}  # those that score
    known = {one.id for one in full.questions}
    unknown = [name for name in given or () if name not in known]
    key = sources(task, work, settings, options.out, unknown, len(full))
    if kept := kept_result(options.out, key):
        return kept
    collected = collect(task, work, settings, options.out, given, unknown, len(full), options.limit)
    if collected is None:
        return None
    result, exported = collected
    keep(options.out, key, exported)
    return result


def run_anew(task: Task, options: RunOptions, load: Callable[[], Candidate]) -> Result:
    """As :func:`run`, all of it in this process; what ``options.out`` holds of other settings is removed."""
    try:
        result = run(task, options, load)
    except OtherSettings:
        shutil.rmtree(options.out)
        result = run(task, options, load)
    assert result is not None, "no other shard has a part"
    return result


def draw(task: Task, work: Work, candidate: Candidate, options: RunOptions) -> None:
    """Draw this shard's pictures that are not there yet."""
    folder = options.out / PICTURES
    if task.picture_size is not None:
        grid_for(candidate.bundle.model.config, task.picture_size)  # or a size that cannot be would fail every prompt
    task.write_layout(folder, work)
    with Store(options.out, DRAWN, options.shard, options.limit) as store:
        check_prompts({one.id: one.prompt for one in work.drawings}, store.entries, "prompt")
        facts = {"settings": candidate.sampling.describe(), "model": candidate.bundle.digest}

        def is_done(one: Drawing) -> bool:
            return one.id in store.entries and (
                "problem" in store.entries[one.id].record or (folder / one.path).exists()
            )

        for batch in under_bar(*pending(work.drawings, is_done, options), "drawing"):
            entries, fitting = {}, []
            for one in batch:
                try:
                    candidate.check_prompt(one, task.picture_size)
                    fitting.append(one)
                except ValueError as error:
                    entries[one.id] = Entry({"prompt": one.prompt, **problem("undrawable", error).record})
            for one, image in zip(fitting, candidate.draw(fitting, task.picture_size), strict=True):
                path = folder / one.path
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = options.out / f".{options.shard}.png"
                seeds = " ".join(str(candidate.seed + seed) for seed in one.seeds)
                save_png(image, unfinished, {"prompt": one.prompt, "seed": seeds, **facts})
                unfinished.replace(path)
                entries[one.id] = Entry({"prompt": one.prompt, "seeds": one.seeds})
            store.add(entries)


def answer(task: Task, questions: Sequence[Question], candidate: Candidate, options: RunOptions) -> None:
    """Answer this shard's questions that have no answer yet. Those that cannot be asked are kept as problems."""
    decoding = DecodingOptions(task.max_new_tokens)
    with Store(options.out, ANSWERED, options.shard, options.limit) as store:
        check_prompts({one.id: one.text for one in questions}, store.entries, "question")

        def is_done(one: Question) -> bool:
            entry = store.entries.get(one.id)
            return (
                entry is not None and "problem" not in entry.record and entry.record.get("seen") == picture_hashes(one)
            )

        for batch in under_bar(*pending(questions, is_done, options), "answering"):
            entries, talks = {}, {}
            for one in batch:
                try:
                    talks[one.id] = candidate.conversation(one, one.read_images(), decoding)
                except ValueError as error:
                    entries[one.id] = problem("unanswerable", error)
            texts = zip(talks, candidate.answer(list(talks.values()), decoding), strict=True)
            answered = {name: Entry({"answer": text}) for name, text in texts}
            asked = {one.id: {"question": one.text, "seen": picture_hashes(one)} for one in batch}
            entries |= answered
            store.add({name: Entry(asked[name] | entries[name].record) for name in asked})


def judge(task: Task, drawings: Sequence[Drawing], pictures: Path, options: RunOptions) -> None:
    """Judge this shard's pictures that are not judged yet, or that have changed since."""
    with Store(options.out, JUDGED, options.shard, options.limit) as store:

        def is_done(one: Drawing) -> bool:
            entry = store.entries.get(one.id)
            path = pictures / one.path
            if entry is None or not path.is_file():
                return False
            return entry.record.get("prompt") == one.prompt and entry.record.get("picture") == file_hash(path)

        todo, done = pending(drawings, is_done, options)
        anything = any((pictures / one.path).exists() for batch in todo for one in batch)
        judges = [load_judge(task)] if anything else []
        prepares = any(type(one).prepare is not Judge.prepare for one in judges)
        look = partial(look_at, pictures, judges[0].prepare if prepares else list)  # which needs no judge in a worker
        for batch, seen in zip(under_bar(todo, done, "judging"), ahead(look, todo, options.workers), strict=True):
            entries = dict(seen.problems)
            drawn = [one for one in batch if one.id in seen.hashes]
            verdicts = judges[0].judge(drawn, seen.prepared) if drawn else []
            for one, verdict in zip(drawn, verdicts, strict=True):
                record = {"prompt": one.prompt, "picture": seen.hashes[one.id], "verdict": verdict.record}
                entries[one.id] = Entry(record, verdict.features)
            store.add(entries)


class Seen(NamedTuple):
    """A batch of pictures as a worker process has read them."""

    problems: dict[str, Entry]  # by id, those that cannot be judged
    hashes: dict[str, str]  # by id, the others
    prepared: Any  # what the judge takes of these


def look_at(pictures: Path, prepare: Callable[[list[Image.Image]], Any], batch: Sequence[Drawing]) -> Seen:
    """Read the pictures of a batch, and prepare them for the judge."""
    problems, hashes, images = {}, {}, []
    for one in batch:
        path = pictures / one.path
        if not path.exists():
            problems[one.id] = problem("missing", ValueError(f"there is no {one.path}"))
            continue
        try:
            digest = file_hash(path)  # first: a picture that changes meanwhile is judged again
            images.append(read_image(path, one.path))
            hashes[one.id] = digest
        except ValueError as error:
            problems[one.id] = problem("unreadable", error)
    return Seen(problems, hashes, prepare(images) if images else None)


def load_judge(task: Task) -> Judge:
    """The task's judge."""
    found = task.load_judge()
    assert found is not None, f"{task.name} draws pictures and has no judge"
    return found


def pending(
    items: Sequence[Item], is_done: Callable[[Item], bool], options: RunOptions
) -> tuple[list[Sequence[Item]], int]:
    """This shard's batches with anything left to do, and how many items are done."""
    size = options.batch_size
    all_batches = [items[start : start + size] for start in range(0, len(items), size)]
    mine = all_batches[options.shard.index :: options.shard.count]
    checked = tqdm(mine, "checking what is done", unit="batch", leave=False, disable=None)
    todo = [batch for batch in checked if not all(map(is_done, batch))]
    return todo, sum(map(len, mine)) - sum(map(len, todo))


def under_bar(todo: Sequence[Sequence[Item]], done: int, what: str) -> Iterator[Sequence[Item]]:
    """The batches, under a progress bar that counts their items."""
    if todo:
        with tqdm(desc=what, total=done + sum(map(len, todo)), initial=done, unit="item", disable=None) as bar:
            for batch in todo:
                yield batch
                bar.update(len(batch))


def check_prompts(now: Mapping[str, str], entries: Mapping[str, Entry], key: str) -> None:
    """Raise :class:`OtherSettings` where an item was done with another text, ``ValueError`` where it says no text."""
    for name, text in now.items():
        before = entries[name].record.get(key) if name in entries else text
        if before is None:
            raise ValueError(f"the stored line of item {name} has no {key}: remove it, and the item is done again")
        if before != text:
            raise OtherSettings(f"item {name} was done with another {key}, {before!r}: choose another --out")


@lru_cache(maxsize=4096)
def _known_hash(picture: Path | bytes) -> str:
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()[:12]
    return file_hash(picture)


def picture_hashes(question: Question) -> list[str]:
    """First 12 hex digits of each picture's SHA-256; "" where it cannot be read."""
    found = []
    for picture in question.images:
        try:
            found.append(_known_hash(picture))
        except ValueError:
            found.append("")
    return found


def problem(kind: str, error: ValueError) -> Entry:
    """An item that could not be done."""
    return Entry({"problem": kind, "reason": str(error)})
