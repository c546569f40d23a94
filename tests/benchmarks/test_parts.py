"""Measurements of several parts: one that fails leaves the others' results."""

import json
from pathlib import Path

import pytest

from benchmarks.measuring import parts
from benchmarks.measuring.parts import Parts, failed, script


def fails() -> None:
    raise RuntimeError("no GPU")


def test_a_part_that_fails_leaves_the_others(tmp_path: Path) -> None:
    found = Parts(tmp_path / "new" / "result.json")
    found.add(date="today")
    assert found.measure("graph", fails) is None
    assert found.measure("decoded_per_s", lambda: 2246.1) == 2246.1
    kept = json.loads((tmp_path / "new" / "result.json").read_text())
    assert kept == {"date": "today", "graph": "failed: RuntimeError: no GPU", "decoded_per_s": 2246.1}
    assert kept == json.loads(str(found))


def test_the_file_is_there_before_the_last_part(tmp_path: Path) -> None:
    found = Parts(tmp_path / "result.json")
    found.add(decoded_per_s=2246.1)

    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.measure("graph", stopped)
    assert json.loads((tmp_path / "result.json").read_text()) == {"decoded_per_s": 2246.1}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("print('{\"rate\": 3}')", {"rate": 3}),
        ("raise SystemExit('no images')", "failed: no images"),
        ("print('no figures')", "failed: no JSON: no figures"),
    ],
)
def test_a_script_gives_its_output_or_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, found: object
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "some.py").write_text(source)
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    assert script("some.py", limit_s=600) == found


def test_a_script_past_its_limit_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "some.py").write_text("while True: pass")
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    assert script("some.py", limit_s=0) == "failed: not done after 0 s"


def test_failed_parts_are_named_also_within_others() -> None:
    figures = {"graph": "failed: no", "service": {"load": {"1": {"rate": 3.0}, "32": "failed: no"}}, "date": "today"}
    assert failed(figures) == ["graph", "service.load.32"]
