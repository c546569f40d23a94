"""``python -m service predict`` without a server: by the code path that the server uses."""

import asyncio
import json
from pathlib import Path

import pytest
from PIL import Image

from service.__main__ import DONE, FAILED, main
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpeg" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    return paths


def test_prints_a_table(bundle_folder: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(images[0]), "--model", str(bundle_folder)]) == DONE
    table = capsys.readouterr().out
    assert "brightness 1, CPUExecutionProvider" in table
    assert "PNEUMONIA" in table  # the image is brighter than the threshold
    assert "Not a medical device" in table


@pytest.mark.anyio
async def test_predictions_are_those_of_the_server(
    bundle_folder: Path,
    images: list[Path],
    make_service: MakeService,
    connect: Connect,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["predict", "--json", "--model", str(bundle_folder), "--max-images", "2", *map(str, images)]
    assert await asyncio.to_thread(main, arguments) == DONE
    printed = json.loads(capsys.readouterr().out)["predictions"]
    async with connect(make_service()) as client:
        sent = [("file", (str(path), path.read_bytes(), "image/jpeg")) for path in images]
        served = (await client.post("/predict", files=sent)).json()["predictions"]
    assert [entry["filename"] for entry in printed] == [str(path) for path in images]
    assert [e["probability"] for e in printed] == pytest.approx([e["probability"] for e in served], abs=1e-6)


def test_a_warning_is_shown(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x").write_bytes(jpeg(exif=exif))
    assert main(["predict", str(tmp_path / "x"), "--model", str(bundle_folder)]) == DONE
    assert "exif_orientation_applied" in capsys.readouterr().out


def test_a_file_name_is_not_interpreted_as_markup(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("[red]x[bold].jpeg").write_bytes(jpeg())
    assert main(["predict", "[red]x[bold].jpeg", "--model", str(bundle_folder)]) == DONE
    assert "[red]x[bold].jpeg" in capsys.readouterr().out


def test_a_bad_file_does_not_affect_the_others(
    bundle_folder: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images[1].write_bytes(b"GIF89a")
    names = [*map(str, images[:3]), str(tmp_path / "nowhere")]
    assert main(["predict", "--json", "--model", str(bundle_folder), *names]) == FAILED
    entries = json.loads(capsys.readouterr().out)["predictions"]
    kinds = [entry["error"] and entry["error"]["type"].rpartition("/")[2] for entry in entries]
    assert kinds == [None, "unsupported-media-type", None, "unreadable-file"]
