"""A benchmark of one's own: how red pictures of a red circle are.

    python -m eval run my_bench:Redness --pictures 3 --out results/redness
    python -m eval sweep my_bench:Redness --pictures 3 --guidance 1 4 --out results/redness-sweep

Storing, resuming, sharding over processes, intervals, sweeps and pages come with it: a task only says what it wants,
judges, and scores.
"""

from dataclasses import dataclass

import numpy as np

from eval.task import Drawing, Judge, Judged, Scored, Task, Work
from janusflow.options import option


@dataclass(frozen=True)
class Options:
    """Its flags."""

    pictures: int = option(2, "how many pictures are drawn, seeds 0, 1, …")


class Eye(Judge):
    """What looks at pictures, in batches; what it says of each is stored."""

    def judge(self, drawings, images):
        means = [np.asarray(image).mean((0, 1)) for image in images]
        return [Judged({"red": float(red - (green + blue) / 2)}) for red, green, blue in means]


class Redness(Task):
    """How much redder than green and blue the pictures are, in levels of 255."""

    name, title, options = "redness", "redness of a red circle", Options

    def prepare(self, limit=None):
        """What is to be drawn (and asked, for tasks with questions); ``limit``: only so many."""
        count = min(self.given.pictures, limit or self.given.pictures)
        return Work([Drawing(str(n), "a red circle", (n,), f"{n}.png") for n in range(count)])

    def departures(self, judge):
        """From a published protocol, which stand in the title; there is none."""
        return []

    def load_judge(self):
        return Eye()

    def score(self, work, judged, answers):
        """From what was judged to numbers: a pure function, run anew whenever this file changes."""
        items = {one.id: judged[one.id].record for one in work.drawings if one.id in judged}
        return Scored("redness", {"redness": sum(one["red"] for one in items.values()) / len(items)}, items)
