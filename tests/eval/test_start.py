"""Help and lists come at once: nothing that needs seconds is imported for them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "diffusers", "lightning", "scipy", "matplotlib", "pandas", "huggingface_hub")
SCRIPT = f"""
import sys
import eval.__main__, eval.tasks, janusflow.cli, train
lines = [["--help"], ["list"], ["run", "--help"], ["sweep", "--help"], ["report", "--help"], ["compare", "--help"]]
lines += [["run", task, "--help"] for task in eval.tasks.TASKS.paths]
calls = [(eval.__main__.main, line) for line in lines]
calls += [(janusflow.cli.main, ["--help"]), (janusflow.cli.main, ["generate", "--help"]), (train.main, ["--help"])]
for main, line in calls:
    try:
        code = main(line)
    except SystemExit as end:
        code = end.code
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not code and not heavy, (main.__module__, line, code, heavy)
"""


def test_help_and_lists_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "coco-fid" in done.stdout
