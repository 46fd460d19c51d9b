"""Models as each layout has them, written once for all tests."""

import shutil

import pytest

from janusflow.checkpoints.pretrained import save_pretrained

SAVED = {}


@pytest.fixture
def saved(request, tmp_path, tmp_path_factory):
    """A function that copies the model ``flow`` or ``janus`` in a layout to a folder of the test's own."""

    def copy(model, layout):
        if (model, layout) not in SAVED:
            SAVED[model, layout] = tmp_path_factory.mktemp(f"{model}-{layout}")
            save_pretrained(request.getfixturevalue(f"{model}_bundle"), SAVED[model, layout], layout)
        return shutil.copytree(SAVED[model, layout], tmp_path / "model")

    return copy
