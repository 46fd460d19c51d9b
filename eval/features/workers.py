"""Pictures are read and resized ahead, in worker processes, while this one computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from PIL import Image

S = TypeVar("S")
T = TypeVar("T")
AHEAD = 2  # results that wait, of each worker
KEPT_BLOCKS = 8  # of memory (of 16 MB at most) that Pillow keeps for its next picture: half of a decoding's time


def default_workers() -> int:
    """A worker for every core that this process may use, shared with the other processes of torchrun."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def ahead(load: Callable[[S], T], items: Sequence[S], workers: int | None = None) -> Iterator[T]:
    """``load(item)`` of every item, in order, from ``workers`` processes (0: in this one; default: see above).

    Tensors in what ``load`` gives come through shared memory. Raises the ``ValueError`` that ``load`` raises.
    """
    workers = min(default_workers() if workers is None else workers, len(items))
    if workers < 1 or len(items) < 2:
        yield from map(load, items)
        return
    import torch
    from torch.utils.data import DataLoader

    loader: DataLoader[T | ValueError] = DataLoader(
        _Loaded(load, items),  # type: ignore[arg-type]  # has all that is asked of a Dataset
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        prefetch_factor=AHEAD,
        worker_init_fn=_begin,
        generator=torch.Generator(),  # not the one that others draw from
    )
    try:
        for found in loader:
            if isinstance(found, ValueError):
                raise found
            yield found
    except RuntimeError as error:  # torch's, of a worker that was killed
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"a process that reads pictures has ended ({reason}): --workers 0 does without") from error


class _Loaded(Generic[S, T]):
    """What ``load`` gives of an item, or the ``ValueError`` that it raises."""

    def __init__(self, load: Callable[[S], T], items: Sequence[S]) -> None:
        self.load, self.items = load, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T | ValueError:
        try:
            return self.load(self.items[index])
        except ValueError as error:
            return error


def _unchanged(found: T) -> T:
    return found


def _begin(index: int) -> None:
    """Prepare a worker."""
    Image.core.set_blocks_max(KEPT_BLOCKS)
