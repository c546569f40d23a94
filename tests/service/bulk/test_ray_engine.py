"""What of the engine for a cluster needs no Ray; tests/cluster.sh has the rest."""

from pathlib import Path

import pytest

from contract.bundle import BundleError
from service.bulk.errors import StorageError
from service.bulk.part import PartCounts
from service.bulk.ray_engine import _cause, _Parts, _result, check_cluster
from service.settings import Settings, SettingsError
from service.wire import VERSION
from tests.commands import SERVICE, run
from tests.service.bulk.runs import draw


@pytest.mark.parametrize("variable", [None, "RAY_ADDRESS"])
def test_an_address_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    if variable:
        monkeypatch.setenv(variable, "10.1.0.1:6379")
    with pytest.raises(SettingsError, match="RAY_AUTH_MODE=token"):
        check_cluster(None if variable else "10.1.0.1:6379")


def test_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    archive = draw(tmp_path / "archive", 1)
    words = ["bulk", archive, "--out", tmp_path / "out", "--engine", "ray", "--address", "10.1.0.1:6379"]
    done = run([*SERVICE, *words])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_ends_a_run_on_a_node_ends_it_with_the_same_error(tmp_path: Path) -> None:
    parts = _Parts(str(tmp_path), Settings().model_dump(mode="json"), VERSION)
    for _ in range(2):  # whoever is asked again says the same
        with pytest.raises(StorageError, match="there is no plan"):
            _result(parts.do(0))


def test_another_version_on_a_node_is_named(tmp_path: Path) -> None:
    parts = _Parts(str(tmp_path), {}, "0.0.1")
    with pytest.raises(SettingsError, match=rf"{VERSION}, and the command 0\.0\.1"):
        _result(parts.do(0))


def test_a_row_is_the_counts_of_a_part() -> None:
    row = {"number": 3, "rows": 4, "errors": '{"empty-image": 1}', "cause": "", "detail": ""}
    assert _result(row) == PartCounts(3, 4, {"empty-image": 1})


def test_an_error_of_ray_is_one_line() -> None:
    assert str(_cause(RuntimeError("a trace\n  of\nWrongToken: no\n"))) == "the Ray cluster: WrongToken: no"
    assert str(_cause(RuntimeError())) == "the Ray cluster: RuntimeError"
    own = BundleError("another")
    assert _cause(own) is own
