"""Settings from a TOML file."""

import json
from pathlib import Path

import pytest

from service.__main__ import DONE, WRONG_USE, main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.toml"
    path.write_text('max_batch = 3\nguard = "off"\nport = 1\nallow_anonymous = true\n')
    return path


def effective(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[object, str]]:
    assert main(["settings", "--json", *arguments]) == DONE
    rows = json.loads(capsys.readouterr().out)
    return {row["variable"].removeprefix("XRAY_").lower(): (row["value"], row["source"]) for row in rows}


@pytest.mark.parametrize("by_option", [True, False])
def test_options_and_variables_take_precedence(
    by_option: bool, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("xray_guard", "refuse")
    if not by_option:
        monkeypatch.setenv("XRAY_CONFIG", str(file))
    found = effective(capsys, "--port", "2", *(["--config", str(file)] if by_option else []))
    assert found["max_batch"] == (3, "file")
    assert found["allow_anonymous"] == (True, "file")
    assert found["guard"] == ("refuse", "environment")
    assert found["port"] == (2, "option")
    assert found["host"] == ("127.0.0.1", "default")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("max_bach = 3", "max_bach is not a setting; did you mean max_batch?"),
        ("[server]\nport = 1", "server is not a setting"),
        ("port = ", "is not a TOML file"),
        ('port = "many"', "XRAY_PORT: it must be a whole number"),
    ],
)
def test_a_wrong_file_is_one_line(content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.toml"
    path.write_text(content)
    assert main(["serve", "--config", str(path)]) == WRONG_USE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_file_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "nowhere")]) == WRONG_USE
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_help_of_predict_lists_what_matters_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    text = capsys.readouterr().out
    assert "--device {auto,cpu,cuda}" in text
    assert "--tls-key" not in text
    with pytest.raises(SystemExit):
        main(["settings", "--help"])
    assert "--tls-key" in capsys.readouterr().out
