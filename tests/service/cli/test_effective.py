"""The settings in effect, and variables that were meant to be one."""

import json
import logging
from pathlib import Path

import pytest

from service import server
from service.__main__ import DONE, WRONG_USE, main
from service.cli import commands
from service.cli.effective import Unknown, effective_settings, unknown_variables
from service.core import Service
from service.settings import Settings, settings_from


def test_each_setting_tells_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"XRAY_PORT": "9000", "xray_guard": "off", "HOME": "/"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"max_batch": "5"}
    found = {each.variable: each for each in effective_settings(settings_from(options), options, environment)}
    assert found.keys() == {f"XRAY_{name.upper()}" for name in Settings.model_fields}
    told = {name: (each.value, each.source) for name, each in found.items()}
    assert told["XRAY_PORT"] == (9000, "environment")
    assert told["XRAY_GUARD"] == ("off", "environment")
    assert told["XRAY_MAX_BATCH"] == (5, "option")
    assert told["XRAY_HOST"] == ("127.0.0.1", "default")
    assert told["XRAY_OPERATING_POINT"] == (None, "default")


def test_a_slip_in_a_name_is_found_and_what_was_meant() -> None:
    environment = {"XRAY_GAURD": "refuse", "XRAY_TOKEN": "secret", "XRAY_DATA": "/data", "XRAY_PORT": "1", "PORT": "2"}
    assert unknown_variables(environment) == [
        Unknown(variable="XRAY_GAURD", nearest="XRAY_GUARD"),
        Unknown(variable="XRAY_TOKEN", nearest=None),
    ]
    assert unknown_variables({}) == []


def test_the_command_prints_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XRAY_GAURD", "refuse")
    monkeypatch.setenv("XRAY_SECRET", "geheim")
    assert main(["settings", "--json", "--port", "1234"]) == DONE
    told = capsys.readouterr()
    rows = {row["variable"]: row for row in json.loads(told.out)}
    assert rows["XRAY_PORT"] == {"variable": "XRAY_PORT", "value": 1234, "source": "option"}
    assert told.err.splitlines() == [
        "xray-service: XRAY_GAURD is no setting; XRAY_GUARD was perhaps meant",
        "xray-service: XRAY_SECRET is no setting",
    ]
    assert main(["settings"]) == DONE
    told = capsys.readouterr()
    assert all(f"XRAY_{name.upper()}" in told.out for name in Settings.model_fields)
    assert "geheim" not in told.out + told.err


def test_a_wrong_value_is_named_there_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XRAY_PORT", "many")
    assert main(["settings"]) == WRONG_USE
    assert capsys.readouterr().err.startswith("xray-service: XRAY_PORT: ")


def test_the_start_reports_them(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served: list[Service] = []

    def serve(service: Service) -> bool:
        served.append(service)
        return True

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(commands, "configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("XRAY_GAURD", "refuse")
    with caplog.at_level(logging.WARNING):
        assert main(["serve", "--model", str(bundle_folder), "--device", "cpu"]) == DONE
    (record,) = caplog.records
    assert (record.message, record.__dict__["variable"]) == ("a variable that is no setting", "XRAY_GAURD")
    assert record.__dict__["nearest"] == "XRAY_GUARD"
    assert served[0].settings.guard == "warn"
