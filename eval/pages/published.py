"""Which scores stand in the papers' columns: one rule for all tasks.

Only those of the whole benchmark, judged and read as the papers' were. That is: the task finds nothing that departs
from the published protocol (:meth:`eval.task.Task.departures`: another judge, extractor, resizing, prompt set, variant
of the rules …); the benchmark's files hold as many items as it officially has; and every item was judged or answered,
so no ``--limit``, and no picture that is missing. What departs stands in the title; what is missing marks the score.
"""

from __future__ import annotations

from eval.task import Record, Scored, Task


def title_and_columns(
    task: Task, scored: Scored, judge: Record, held: int, done: int
) -> tuple[str, dict[str, str], dict[str, int]]:
    """What the result is called, the published columns that its scores stand in, and the counts that depart.

    judge: as :meth:`Task.judge_protocol` gives it. held: items in the benchmark's files. done: how many of them were
    judged or answered.
    """
    departures = task.departures(judge)
    counts = {} if task.size in (None, held) else {"items in the files": held, "items of the benchmark": task.size}
    said = [task.title]  # what the main score's name says already is not said again
    said += [what for what in departures if what not in task.title and what not in scored.headline]
    said += [f"{held} of {task.size} items"] if counts else []
    stands = not departures and not counts and done == held
    return ", ".join(said), dict(task.columns) if stands else {}, counts
