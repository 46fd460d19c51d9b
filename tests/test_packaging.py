"""What is published: wheel and sdist are built from the repository, and the wheel works away from it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

from janusflow import __version__
from tests.conftest import ROOT

NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "runs", "build", "dist", "out", "docs", "tests", "benchmarks"
)
BUILD = "from setuptools import build_meta as b; print(b.build_wheel('dist'), b.build_sdist('dist'))"
SCRIPT = """
import torch, janusflow
from janusflow.inference.images import sample_latents
assert janusflow.__file__.startswith({place!r}), janusflow.__file__
model = janusflow.load_pretrained("shapes-flow", vae=None)
options = model.model.config.head.sampling(model.sampling, {{"steps": 1}})
(latents,) = sample_latents(model, ["a red circle"], [0], options)
assert torch.isfinite(latents).all() and latents.shape[1:] == model.model.head.latent_shape
"""


def run(*command, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_works_away_from_the_repository(tmp_path):
    shutil.copytree(ROOT, tmp_path / "source", ignore=NOT_COPIED)
    wheel, sdist = run(sys.executable, "-c", BUILD, cwd=tmp_path / "source").splitlines()[-1].split()
    dist, place = tmp_path / "source/dist", tmp_path / "site"
    names = set(zipfile.ZipFile(dist / wheel).namelist())
    assert {"janusflow/py.typed", "eval/py.typed", "janusflow/checkpoints/card.md.j2", "eval/pages/page.md.j2"} <= names
    assert {name.partition("/")[0] for name in names} == {"janusflow", "eval", f"janusflow-{__version__}.dist-info"}
    with tarfile.open(dist / sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"train.py", "configs/shapes.yaml", "constraints.txt", "CITATION.cff", "LICENSE"} <= inside
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(place)]
    run(*install, str(dist / wheel), cwd=tmp_path)
    installed = {"PYTHONPATH": str(place)}
    assert "generate" in run(str(place / "bin/janusflow"), "--help", cwd=tmp_path, **installed)
    assert "geneval" in run(sys.executable, "-m", "eval", "list", cwd=tmp_path, **installed)
    run(sys.executable, "-c", SCRIPT.format(place=str(place)), cwd=tmp_path, **installed)


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
