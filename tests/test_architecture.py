"""What docs/architecture.md says of imports, read from the sources; nothing is imported for it."""

import ast
from graphlib import TopologicalSorter

from tests.conftest import ROOT

FILES = [ROOT / "train.py", *(ROOT / "janusflow").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]
TREES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
TREES = {name: ast.parse(path.read_text()) for name, path in TREES.items()}


def imported(tree):
    """First-party names that a module imports when it runs, at its top or in its functions."""
    hints = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    only_hints = {id(inner) for node in hints for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in only_hints:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("janusflow", "eval"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in TREES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in ("janusflow", "eval"))


ARROWS = {name: set(imported(tree)) - {name} for name, tree in TREES.items()}


def test_what_is_imported_is_there():
    missing = {f"{name} -> {other}" for name, others in ARROWS.items() for other in others if other not in TREES}
    assert {line for line in missing if not (ROOT / line.split(" -> ")[1].replace(".", "/")).is_dir()} == set()


def test_modules_import_in_no_circle():
    TopologicalSorter(ARROWS).prepare()  # raises CycleError with the circle


def test_rooms_know_only_what_lies_below_them():
    for name, others in ARROWS.items():
        assert not name.startswith("janusflow") or not [other for other in others if other.startswith("eval")], name
        if name.startswith("janusflow.models."):
            above = ("data", "training", "inference", "checkpoints", "worlds", "parts", "codecs")
            assert not [other for other in others if other.split(".")[1] in above], name


def test_nobody_asks_which_head_a_model_has():
    calls = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "isinstance"]
    assert not [text for text in asked if "Head" in text and "HeadNorm" not in text]
