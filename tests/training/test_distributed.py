"""Several processes: the losses of one, whatever the strategy; killed, resumed, and resumed by another number."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import MappingProxyType

import pytest
from PIL import Image

import train
from janusflow import cli
from tests.conftest import ROOT
from tests.training.conftest import equal, weights, write_config
from tests.training.test_rollouts import LOSSES, metrics, rl_config

STEPS = 14
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    path = write_config(folder)
    text = path.read_text().replace("stage2: {steps: 7,", f"stage2: {{steps: {STEPS},")
    path.write_text(text.replace("validate_every: 2", "validate_every: 6") + "optim: {algorithm: adamw}\n")
    return path


def start(config, processes, *overrides, script=ROOT / "train.py", environment=MappingProxyType({})):
    """``script`` on ``processes`` processes."""
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, str(script)] if processes == 1 else [*several, str(script)]
    arguments = [str(config), "preview.prompts=[]", *overrides]
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
    return subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, **fixed, **environment},
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def output_of(process, seconds=400):
    """All that it writes. Fails with that, and with where its processes stand, if it takes longer."""
    try:
        return process.communicate(timeout=seconds)[0].decode()
    except subprocess.TimeoutExpired:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGABRT)  # Python's fault handler writes the stacks of all threads
        pytest.fail(f"not done after {seconds} s:\n{process.communicate()[0].decode()[-20000:]}")


def train_alone(config, *arguments):
    """Train in this very process."""
    assert train.main([str(config), "preview.prompts=[]", *arguments]) == 0


def finish(process):
    """Its output. Fails with it where the process did."""
    output = output_of(process)
    assert process.returncode == 0, output[-4000:]
    return output


def losses(run):
    with (run / "metrics.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["metric"].startswith(("loss/", "validation/", "gradient_norm"))
        ]
    return {(row["stage"], int(row["step"]), row["metric"]): float(row["value"]) for row in rows}


def assert_same(run, reference):
    found, expected = losses(run), losses(reference)
    assert found.keys() == expected.keys() and max(step for _, step, _ in found) == STEPS - 1
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key


@pytest.fixture(scope="module")
def alone(config):
    """The run of a single process."""
    train_alone(config, "name=alone")
    return config.parent / "runs" / "alone"


@pytest.mark.parametrize(("strategy", "replicas"), [("ddp", 1), ("fsdp", 2)])
def test_two_processes_give_the_losses_of_one(config, alone, strategy, replicas):
    name = f"{strategy}-{replicas}"
    overrides = (f"trainer.strategy={strategy}", f"trainer.replicas={replicas}", "trainer.accumulate=2")
    finish(start(config, 2, f"name={name}", *overrides, "preview.prompts=[a red circle]"))
    run = config.parent / "runs" / name
    assert_same(run, alone)
    for key, value in weights(alone).items():
        assert (weights(run)[key] - value).abs().max() < 1e-4, key
    picture = Image.open(run / "samples" / f"stage2-{STEPS:06d}.png").convert("L")
    assert picture.getextrema()[1] - picture.getextrema()[0] > 100
    exported = config.parent / f"deepseek-{name}"
    assert cli.main(["export", str(run), str(exported), "--format", "deepseek"]) == 0
    assert equal(weights(exported), weights(run))


def test_the_autoregressive_head_without_an_average_is_sharded_too(config):
    head = "model.head={kind: ar, codebook_size: 2048, grid: 6, head_width: 16}"
    overrides = (head, "model.losses.repa.weight=0", "optim.ema_decay=null", "~preview.sampling")
    train_alone(config, "name=codes-alone", *overrides)
    finish(start(config, 2, "name=codes-fsdp", *overrides, "trainer.strategy=fsdp"))
    assert_same(config.parent / "runs" / "codes-fsdp", config.parent / "runs" / "codes-alone")


@pytest.mark.parametrize(("kind", "strategy"), [("nft", "ddp"), *((kind, "fsdp") for kind in LOSSES)])
def test_two_processes_draw_and_learn_what_one_does(kind, strategy, runs, tmp_path):
    path = rl_config(tmp_path, kind, runs)
    train_alone(path, "name=alone")
    finish(start(path, 2, "name=both", f"trainer.strategy={strategy}"))
    alone, both = (metrics(tmp_path / "runs" / name) for name in ("alone", "both"))
    for name in ("reward", "reward_spread", "loss/policy", "loss/ar", "gradient_norm"):
        for step in range(5):
            assert both[name, step] == pytest.approx(alone[name, step], rel=1e-3, abs=1e-5), (name, step)


def test_images_are_drawn_again_by_sharded_models_as_by_one(config):
    ratios = "[{understanding: 2, text: 1, reconstruction: 5}]"
    stage = f"stages={{reca: {{train: [llm, generation, repa], steps: {STEPS}, batch_size: 8, ratios: {ratios}}}}}"
    train_alone(config, "name=again-alone", stage)
    finish(start(config, 2, "name=again-fsdp", stage, "trainer.strategy=fsdp"))
    assert_same(config.parent / "runs" / "again-fsdp", config.parent / "runs" / "again-alone")


def test_killed_and_resumed_by_as_many_processes_or_by_one(config, alone):
    """Sharded states; :func:`test_sigterm_saves_the_state` resumes others."""
    process = start(config, 2, "name=killed", "trainer.strategy=fsdp", "trainer.accumulate=2", "data.workers=1")
    run = config.parent / "runs" / "killed"
    wait_for(process, run / "checkpoints", "stage2-*")
    for pid in children(process.pid):  # every process at once, without a chance to tidy up
        os.kill(pid, 9)
    process.wait(60)
    assert not (run / "model").exists()
    copy = shutil.copytree(run, config.parent / "runs" / "copy")
    train_alone(config, "--resume", str(copy))
    finish(start(config, 2, "--resume", str(run)))
    for resumed in (run, copy):
        assert_same(resumed, alone)
        for name, value in weights(alone).items():  # the average
            assert (weights(resumed)[name] - value).abs().max() < 1e-4, name


def test_a_process_that_dies_ends_the_others(config):
    process = start(config, 2, "name=orphan")
    run = config.parent / "runs" / "orphan"
    wait_for(process, run / "checkpoints", "stage1-*/state.json")
    os.kill(children(process.pid)[0], 9)
    output = output_of(process, 120)
    assert process.returncode != 0 and not children(process.pid)[:-1]
    assert output.count("Traceback") <= 1, "torchrun's own alone"
    assert (run / "checkpoints" / "stage1-000003" / "state.json").exists()


def wait_for(process, folder, pattern):
    """Wait for a file of a run. Fails as :func:`output_of` where the run has ended or takes too long."""
    deadline = time.monotonic() + 300
    while not list(folder.glob(pattern)):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"no {pattern} in {folder}:\n{output_of(process, 1)[-8000:]}")
        time.sleep(0.1)


def children(pid):
    """A process and all that came from it."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [pid for child in found.stdout.split() for pid in children(int(child))] + [pid]


def test_half_precision_has_nearly_the_losses_of_full(config, alone):
    """Started as one process, which starts two."""
    overrides = ("trainer.strategy=fsdp", "trainer.precision=bf16-mixed", "trainer.devices=2")
    output = finish(start(config, 1, "name=half", *overrides))
    assert output.count("run folder:") == 1 and "on 2 processes" in output
    found, expected = losses(config.parent / "runs" / "half"), losses(alone)
    for key, value in expected.items():
        if key[2].startswith("loss/"):
            assert found[key] == pytest.approx(value, abs=0.03), key


@pytest.mark.parametrize("to", ["launcher", "all"])
def test_sigterm_saves_the_state(config, alone, to):
    process = start(config, 2, f"name=asked-{to}", "data.workers=1")
    run = config.parent / "runs" / f"asked-{to}"
    wait_for(process, run / "checkpoints", "stage2-*/state.json")  # well inside a stage
    for pid in [process.pid] if to == "launcher" else children(process.pid):  # as schedulers do
        os.kill(pid, signal.SIGTERM)
    output = output_of(process, 120)
    assert process.returncode != 0 and f"--resume {run}" in output
    if to == "all":  # and it goes on
        finish(start(config, 2, "--resume", str(run)))
        assert_same(run, alone)


DISK_FULL_ON_THE_SECOND = """
import os, sys
sys.path.insert(0, {root!r})
from janusflow.training import checkpoints
save = checkpoints.dcp.save
def full(state, checkpoint_id, **kwargs):
    if os.environ["RANK"] == "1" and "stage2-000006" in str(checkpoint_id):
        kwargs["storage_writer"] = Full(checkpoint_id)
        return save(state, **kwargs)
    return save(state, checkpoint_id=checkpoint_id, **kwargs)
class Full(checkpoints.dcp.FileSystemWriter):
    def write_data(self, *args, **kwargs):
        raise OSError(28, "No space left on device")
checkpoints.dcp.save = full
import train
raise SystemExit(train.main())
"""


def test_a_full_disk_on_one_process_ends_all(config):
    script = config.parent / "full.py"
    script.write_text(DISK_FULL_ON_THE_SECOND.format(root=str(ROOT)))
    # Without torchrun, which ends what still runs as soon as one process has failed: both must end by themselves.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    place |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [{**place, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    processes = [start(config, 1, "name=full", script=script, environment=rank) for rank in ranks]
    for process in processes:
        output = output_of(process, 200)
        assert process.returncode == 2 and output.count("No space left on device") == 1, output[-4000:]
    states = [path.parent.name for path in (config.parent / "runs" / "full" / "checkpoints").glob("*/state.json")]
    assert "stage2-000003" in states and "stage2-000006" not in states


def test_bad_input_is_one_line_from_all_processes(config):
    output = output_of(process := start(config, 2, "name=bad", "parts.vae=nowhere"), 200)
    assert process.returncode and output.count("error: ") == 1 and "nowhere" in output
    assert not (config.parent / "runs" / "bad").exists()
