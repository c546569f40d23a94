"""The settings in effect, and misspelt variables."""

import json
import logging
from pathlib import Path

import pytest

from service.__main__ import DONE, WRONG_USE, main
from service.cli import commands
from service.cli.effective import UnknownVariable, effective_settings, unknown_variables
from service.core import Service
from service.settings import Settings
from service.settings.sources import settings_from
from service.workers import server


def test_each_setting_has_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"XRAY_PORT": "9000", "xray_guard": "off", "HOME": "/"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"max_batch": "5"}
    file = {"max_batch": 6, "port": 1, "capacity": 99}
    effective = effective_settings(settings_from(options, file), options, environment, file)
    found = {setting.variable: (setting.value, setting.source) for setting in effective}
    assert found.keys() == {f"XRAY_{name.upper()}" for name in Settings.model_fields}
    assert found["XRAY_PORT"] == (9000, "environment")
    assert found["XRAY_GUARD"] == ("off", "environment")
    assert found["XRAY_MAX_BATCH"] == (5, "option")
    assert found["XRAY_CAPACITY"] == (99, "file")
    assert found["XRAY_HOST"] == ("127.0.0.1", "default")
    assert found["XRAY_OPERATING_POINT"] == (None, "default")


def test_a_misspelt_variable_is_found_with_the_nearest_setting() -> None:
    environment = {"XRAY_GAURD": "refuse", "XRAY_TOKEN": "secret", "XRAY_DATA": "/data", "XRAY_PORT": "1", "PORT": "2"}
    assert unknown_variables(environment) == [
        UnknownVariable(variable="XRAY_GAURD", nearest="XRAY_GUARD"),
        UnknownVariable(variable="XRAY_TOKEN", nearest=None),
    ]
    assert unknown_variables({}) == []


def test_the_command_prints_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XRAY_GAURD", "refuse")
    monkeypatch.setenv("XRAY_SECRET", "geheim")
    assert main(["settings", "--json", "--port", "1234"]) == DONE
    output = capsys.readouterr()
    rows = {row["variable"]: row for row in json.loads(output.out)}
    assert rows["XRAY_PORT"] == {"variable": "XRAY_PORT", "value": 1234, "source": "option"}
    assert output.err.splitlines() == [
        "xray-service: XRAY_GAURD is not a known setting; did you mean XRAY_GUARD?",
        "xray-service: XRAY_SECRET is not a known setting",
    ]
    assert main(["settings"]) == DONE
    output = capsys.readouterr()
    assert all(f"XRAY_{name.upper()}" in output.out for name in Settings.model_fields)
    assert "geheim" not in output.out + output.err


def test_the_command_reports_an_invalid_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XRAY_PORT", "many")
    assert main(["settings"]) == WRONG_USE
    assert capsys.readouterr().err.startswith("xray-service: XRAY_PORT: ")


def test_the_start_warns_about_unknown_variables(
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
        assert main(["serve", "--model", str(bundle_folder), "--device", "cpu", "--port", "0"]) == DONE
    (record,) = caplog.records
    assert record.message == "unknown setting in the environment: it has no effect"
    assert record.__dict__["variable"] == "XRAY_GAURD"
    assert record.__dict__["nearest"] == "XRAY_GUARD"
    assert served[0].settings.guard == "warn"
