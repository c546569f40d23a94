"""Settings: documented, bounded, and a wrong one is an error at start, in one line that names it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.__main__ import FAILED, WRONG_USE, main
from service.settings import Settings, explain
from service.settings.sources import settings_from
from tests import BUNDLED_MODEL


def test_defaults_serve_the_bundled_model_to_this_machine_only() -> None:
    settings = Settings()
    assert settings.model == BUNDLED_MODEL
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_options_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRAY_MAX_BATCH", "3")
    monkeypatch.setenv("XRAY_PORT", "9000")
    settings = settings_from({"max_batch": "5"})
    assert (settings.max_batch, settings.port) == (5, 9000)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "many", "XRAY_PORT: it must be a whole number"),
        ("DEVICE", "tpu", "XRAY_DEVICE: it must be 'auto', 'cpu' or 'cuda'"),
        ("PRECISION", "int4", "XRAY_PRECISION: it must be 'auto', 'float32' or 'int8'"),
        ("MAX_BATCH", "-1", "XRAY_MAX_BATCH: it must be 0 or more"),
        ("DEADLINE_S", "-1", "XRAY_DEADLINE_S: it must be more than 0"),
        ("DEADLINE_S", "inf", "XRAY_DEADLINE_S: it must be 86400"),
        ("DRAIN_S", "1e300", "XRAY_DRAIN_S: it must be 86400"),
        ("START_S", "nan", "XRAY_START_S: it must be "),
        ("KEEP_ALIVE_S", "86401", "XRAY_KEEP_ALIVE_S: it must be 86400"),
        ("THREADS", "100000", "XRAY_THREADS: it must be 256 or less"),
        ("MODEL", "", "XRAY_MODEL: it is empty: give a path, or leave it unset"),
        ("AUDIT_FOLDER", "", "XRAY_AUDIT_FOLDER: it is empty"),
        ("KEYS_FILE", "", "XRAY_KEYS_FILE: it is empty"),
        ("MAX_HELD_BYTES", "9", "XRAY_MAX_BODY_BYTES (67108864) must not exceed XRAY_MAX_HELD_BYTES (9)"),
        (
            "DICOM_AGES",
            "adults",
            "XRAY_DICOM_AGES: 'adults' is not a range of ages: use FROM-TO in years, such as 18-120",
        ),
        ("DICOM_AGES", "9-1", "XRAY_DICOM_AGES: '9-1' is not a range"),
        ("WORKERS", "0", "XRAY_WORKERS: it must be 1 or more"),
        ("MAX_IMAGES", "500", "XRAY_MAX_IMAGES (500) must not exceed XRAY_CAPACITY (128)"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"XRAY_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert explain(caught.value).startswith(words)
    assert main(["serve"]) == WRONG_USE
    assert capsys.readouterr().err.count("\n") == 1


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_a_wrong_bundle_is_an_error_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--model", str(tmp_path)]) == FAILED
    assert capfd.readouterr().err == f"xray-service: {tmp_path}/manifest.json: No such file or directory\n"


def test_unavailable_cuda_is_an_error_at_start(bundle_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--model", str(bundle_folder), "--device", "cuda"]) == FAILED
    assert "XRAY_DEVICE=cuda, but the model does not run on CUDA here" in capfd.readouterr().err


def test_int8_on_cuda_is_an_error_at_start(bundle_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--model", str(bundle_folder), "--device", "cuda", "--precision", "int8"]
    assert main(["serve", "--port", "0", *options]) == WRONG_USE
    assert (
        capfd.readouterr().err
        == "xray-service: XRAY_PRECISION=int8 is for the CPU only: it cannot be combined with XRAY_DEVICE=cuda\n"
    )


def test_int8_that_the_bundle_lacks_is_an_error_at_start(
    bundle_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", "--model", str(bundle_folder), "--precision", "int8"]) == WRONG_USE
    printed = capfd.readouterr().err
    assert printed == "xray-service: XRAY_PRECISION=int8, but this bundle has no model.int8.onnx\n"


def test_an_unknown_command_or_option_is_wrong_use() -> None:
    for arguments in (["sevre"], ["serve", "--batch", "3"], ["predict"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == WRONG_USE


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in shown for name in Settings.model_fields)
