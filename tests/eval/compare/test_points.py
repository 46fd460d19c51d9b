"""Finished points are found again, and only under the protocol that they were measured under."""

import json

import pytest

from eval.compare.points import measured, read


def test_a_point_is_measured_once_for_each_protocol(tmp_path):
    calls = []

    def measure():
        calls.append(len(calls))
        return {"value": len(calls)}

    path, protocol = tmp_path / "deep" / "point.json", {"steps": (1, 2), "checkpoint": "abc"}
    assert measured(path, protocol, measure) == measured(path, protocol, measure) == {"value": 1}
    assert json.loads(path.read_text())["protocol"]["checkpoint"] == "abc"
    assert measured(path, {**protocol, "checkpoint": "abd"}, measure) == {"value": 2}
    assert read(path, protocol) is None and len(calls) == 2


def test_half_a_point_is_no_point(tmp_path):
    path = tmp_path / "point.json"

    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(path, {}, killed)
    assert not path.exists()
    (tmp_path / ".point.json.host-1.part").write_text('{"protocol": {}')  # of a process that was killed
    assert measured(path, {}, lambda: {"value": 1}) == {"value": 1}
    path.write_text(path.read_text()[:20])
    assert measured(path, {}, lambda: {"value": 2}) == {"value": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == [".point.json.host-1.part", "point.json"]
