"""The queue: who goes together, who is refused, and what becomes of those that nobody waits for."""

import asyncio
import threading

import pytest

from janusflow.serve.batcher import Batcher, Failed, Full, Job


class Recorder:
    """A model that works on nothing until it is let, and notes its passes."""

    def __init__(self):
        self.passes, self.go = [], threading.Event()

    def __call__(self, jobs):
        self.go.wait()
        self.passes.append([job.work for job in jobs])
        if jobs[0].work == "bad":
            raise RuntimeError("secret path")
        for job in jobs:
            job.tell(job.work.upper())


@pytest.fixture
def recorder():
    return Recorder()


async def finished(job):
    return [result async for result in job.results()]


def run(recorder, size, room, test):
    """``test(batcher)`` in an event loop, and then the end of the batcher."""
    batcher = Batcher(recorder, size, room)

    async def whole():
        return await asyncio.wait_for(test(batcher), 60)

    try:
        return asyncio.run(whole())
    finally:
        recorder.go.set()
        batcher.close()
        assert not batcher.alive


def test_what_waits_under_one_key_goes_together_in_the_order_of_its_first(recorder):
    async def test(batcher):
        jobs = [
            Job(key, work) for key, work in (("x", "a"), ("y", "b"), ("x", "c"), ("y", "d"), ("x", "e"), ("x", "f"))
        ]
        batcher.submit(jobs)
        recorder.go.set()
        return [await finished(job) for job in jobs]

    assert run(recorder, 3, 10, test) == [["A"], ["B"], ["C"], ["D"], ["E"], ["F"]]
    assert recorder.passes == [["a", "c", "e"], ["b", "d"], ["f"]]


def test_a_queue_without_room_takes_all_of_a_request_or_nothing(recorder):
    async def test(batcher):
        batcher.submit([Job("x", "running")])
        while batcher.waiting:
            await asyncio.sleep(0.01)
        first = [Job("x", "a"), Job("x", "b")]
        batcher.submit(first)
        with pytest.raises(Full):
            batcher.submit([Job("x", "c"), Job("x", "d")])
        first[0].gone = True  # its client left, and its place is free again
        late = [Job("x", "e"), Job("x", "f")]
        batcher.submit(late)
        recorder.go.set()
        return [await finished(job) for job in (first[1], *late)]

    assert run(recorder, 8, 3, test) == [["B"], ["E"], ["F"]]
    assert recorder.passes == [["running"], ["b", "e", "f"]]


def test_a_pass_that_fails_says_nothing_of_the_machine_and_ends_nothing_else(recorder):
    async def test(batcher):
        recorder.go.set()
        bad, good = Job("x", "bad"), Job("y", "good")
        batcher.submit([bad, good])
        with pytest.raises(Failed, match=r"^the model failed$"):
            await finished(bad)
        return await finished(good)

    assert run(recorder, 8, 8, test) == ["GOOD"]


def test_the_end_waits_for_what_is_queued(recorder):
    async def test(batcher):
        jobs = [Job(number, f"job {number}") for number in range(3)]
        batcher.submit(jobs)
        end = asyncio.get_running_loop().run_in_executor(None, batcher.close)
        while not batcher.closed:
            await asyncio.sleep(0.01)
        with pytest.raises(Full):
            batcher.submit([Job("x", "late")])
        recorder.go.set()
        await end
        return [await finished(job) for job in jobs]

    assert run(recorder, 8, 8, test) == [["JOB 0"], ["JOB 1"], ["JOB 2"]]
