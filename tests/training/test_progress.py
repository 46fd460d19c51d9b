"""How far a run is, on a terminal and without one."""

import io
import re
import shutil
import sys

import train


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_moves_on_a_terminal_and_goes_on_where_it_was(config, tmp_path, monkeypatch):
    monkeypatch.setattr("janusflow.training.progress.REFRESH", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train.main([str(config)]) == 0
    shown = sys.stderr.getvalue()
    steps = [int(step) for step in re.findall(r"stage1: .*? (\d)/4 ", shown)]
    assert set(steps) == {0, 1, 2, 3, 4} and steps == sorted(steps)
    assert re.search(r"run \d\d:\d\d left, .*total", shown) and "Epoch" not in shown
    assert all(f"{what}: " in shown for what in ("preview", "drawing", "judging", "answering"))
    run = tmp_path / "runs" / "small"
    shutil.rmtree(run / "checkpoints" / "stage2-000007")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train.main(["--resume", str(run)]) == 0
    assert set(re.findall(r"stage2: .*? (\d)/7 ", sys.stderr.getvalue())) == {"6", "7"}


def test_without_a_terminal_progress_is_a_line_now_and_then(config, monkeypatch, capsys):
    monkeypatch.setattr("janusflow.training.progress.LINE_EVERY", 0.0)
    assert train.main([str(config), "report.tasks=[]", "preview.prompts=[]", "trainer.log_every=3"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.split(" steps")[0] for line in lines] == [
        *(f"stage1: {done} of 4" for done in (1, 4)),
        *(f"stage2: {done} of 7" for done in (1, 4, 7)),
    ]
    assert re.search(r"\d\d:\d\d left, of the run \d\d:\d\d; .*total \d", lines[-1])
