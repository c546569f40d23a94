"""``python -m training``: train, evaluate and export, from the command line to the files."""

import json
import shutil
from pathlib import Path

import pytest

from contract.bundle import read_bundle
from tests.drawings import jpeg, png
from tests.trained import Trained
from training.__main__ import DONE, FAILED, WRONG_USE, main
from training.reporting.card import about_of
from training.reporting.page import PATIENTS_SHOWN

pytestmark = pytest.mark.usefixtures("narrow")


def test_a_folder_of_radiographs_becomes_a_bundle(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XRAY_DATA", raising=False)  # else it holds before the folder a run remembers
    (folder / "NORMAL" / "cut.jpeg").write_bytes(jpeg()[:500])
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label / "both.png").write_bytes(png())
    about = tmp_path / "about.md"
    about.write_text("## Uses and directions\n\nFor tests.\n")
    train = ["train", "--architecture", "deep", "--epochs", "1", "--folds", "4", "--data", str(folder)]
    assert main([*train, "--out", "run", "--json"]) == DONE
    trained = capsys.readouterr()
    assert "skipped NORMAL/cut.jpeg" in trained.err
    assert "2 of these are images with both labels: one of the labels is wrong" in trained.err.replace("\n", " ")
    assert "12 different sizes" in trained.err
    assert "epoch 1: " in trained.err
    assert json.loads(trained.out)["test"]["images"] == 12

    assert main(["evaluate", "run", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == json.loads(trained.out)

    assert main(["export", "run", "models/chest/3", "--about", "about.md"]) == DONE
    assert "specificity" in capsys.readouterr().out
    bundle = read_bundle(Path("models/chest/3"))
    assert (bundle.manifest.name, bundle.manifest.version) == ("chest", "3")
    assert "For tests." in bundle.card

    assert main(["evaluate", "models/chest/3", "--data", str(folder), "--json"]) == DONE
    measured = json.loads(capsys.readouterr().out)
    assert measured["images"] == 48
    assert measured["threshold"] == bundle.manifest.threshold


def test_real_radiographs_go_the_same_way(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XRAY_DATA", raising=False)  # else it holds before the folder a run remembers
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in sorted((real_data / "chest_xray" / "train" / label).iterdir())[:12]:
            (tmp_path / "data" / label / path.name).symlink_to(path)
    train = ["train", "--epochs", "1", "--folds", "3", "--data", "data", "--out", "run"]
    assert main(train) == DONE
    assert main(["export", "run", "models/real/1"]) == DONE
    capsys.readouterr()
    assert main(["evaluate", "models/real/1", "--data", "data", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["images"] == 24
    assert "were not stated when the bundle was made" in read_bundle(Path("models/real/1")).card


def test_report_measures_a_bundle_on_all_additional_data(
    trained: Trained, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, strange = str(trained.run.data.folder), tmp_path / "strange" / "hands"
    strange.mkdir(parents=True)
    (strange / "hand.png").write_bytes(png())
    (strange / "notes.txt").write_text("not an image")
    extra = ["--originals", data, "--elsewhere", str(folder), "--not-chest", str(strange.parent)]
    report = ["report", str(trained.bundle), "--data", data, *extra, "--cache", str(tmp_path / "cache"), "--json"]
    assert main([*report, "--out", str(tmp_path / "out"), "--no-gallery"]) == DONE
    printed = capsys.readouterr()
    assert "skipped notes.txt" in printed.err
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert json.loads(printed.out) == written
    assert written["agreement"]["decisions_changed"] == 0
    assert written["elsewhere"]["images"] == 48
    assert [group["kind"] for group in written["groups"]][2:] == ["hands"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "hands" in page
    assert PATIENTS_SHOWN not in page
    assert about_of(read_bundle(trained.bundle).card) == written["about"]


def test_a_random_split_is_called_too_optimistic(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XRAY_DATA", raising=False)  # else it holds before the folder a run remembers
    train = ["train", "--epochs", "1", "--split", "random", "--normalisation", "none", "--data", str(folder)]
    assert main([*train, "--out", "run", "--json"]) == DONE
    result = json.loads(capsys.readouterr().out)
    assert result["test"] is None
    assert "too optimistic" in result["validation"]["measured_on"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--out", "r", "--data", "d", "--architecture", "huge"], "choose from baseline, deep, deep-stacked"),
        (["train", "--out", "r", "--data", "d", "--normalisation", "z"], "choose from rescale, l2, none"),
        (["train", "--out", "r", "--data", "d", "--epochs", "0"], "--epochs: it must be"),
        (["train", "--out", "r", "--data", "d", "--folds", "two"], "--folds: it must be a whole number"),
        (
            ["train", "--out", "r", "--data", "d", "--learning-rate", "inf"],
            "--learning-rate: it must be a finite number",
        ),
        (["train", "--out", "r", "--data", "d", "--seed", "4294967296"], "--seed: it must be 4294967295 or less"),
        (["train", "--out", "r", "--data", "d", "--start", "s"], "s is no folder of a run or of a bundle"),
        (["train", "--out", "r", "--data", "d", "--teachers", "s,t"], "s is no folder of a run or of a bundle"),
        (["train", "--out", "r"], "give --data"),
        (["train", "--data", "d"], "--out"),
        (["train", "--resume", "r", "--seed", "2"], "keeps its configuration"),
        (["explain"], "invalid choice"),
        (["report", "b"], "--out"),
        (["report", "b", "--out", "o", "--data", "d", "--not-chest"], "expected one argument"),
        (
            ["table", "--out", "t", "--data", "d", "--only", "deep/log"],
            "--only deep/log: unknown experiment; choose from baseline/rescale",
        ),
        (["table", "--out", "t", "--data", "d", "--epochs", "0"], "--epochs"),
        (["pack", "--out", "t", "--data", "d", "--part-mib", "x"], "--part-mib: must be a whole number, 1 or more"),
        ([], "required"),
    ],
)
def test_wrong_use_prints_one_line_and_exits_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XRAY_DATA", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == WRONG_USE
    assert words in capsys.readouterr().err


def test_failures_print_one_line_and_exit_with_1(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XRAY_DATA", raising=False)  # else it holds before the folder a run remembers
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    shutil.copytree(trained.run.data.folder, other)
    next((other / "NORMAL").iterdir()).unlink()
    data, compact = ["--data", str(trained.run.data.folder)], ["--architecture", "compact"]
    for arguments, words in (
        (["train", "--out", "run", "--data", str(empty)], "no folders NORMAL and PNEUMONIA"),
        (["evaluate", str(empty)], "not the folder of a run"),
        (["evaluate", str(trained.run.folder), "--data", str(other)], "does not contain the same images as when"),
        (["export", str(trained.run.folder), str(trained.bundle)], "choose a new version"),
        (
            ["report", str(trained.bundle), "--data", str(other), "--out", "r"],
            "does not contain the images that drawn 1 was",
        ),
        (["report", str(empty), "--data", str(other), "--out", "r"], "manifest.json"),
        (["export", str(trained.run.folder), "models/Lung/first"], "must be named NAME/VERSION"),
        (["train", "--out", str(trained.run.folder / "config.json" / "r"), *data, "--folds", "4"], "Not a directory"),
        (
            ["train", "--out", "b", *data, "--folds", "4", "--seed", "3", "--start", str(trained.run.folder), *compact],
            "start: the network of",
        ),
        *(
            (["evaluate", str(damaged(trained, tmp_path, name))], f"{name}: {words}")
            for name, words in (
                ("history.json", "not a valid file of a run"),
                ("best.keras", "cannot be read: it is missing, damaged"),
            )
        ),
    ):
        assert main(arguments) == FAILED
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("training: ")
        assert words in line


def damaged(trained: Trained, folder: Path, name: str) -> Path:
    """A copy of the run with half of this file."""
    run = Path(shutil.copytree(trained.run.folder, folder / f"with half of {name}"))
    (run / name).write_bytes((run / name).read_bytes()[: (run / name).stat().st_size // 2])
    return run


def test_weights_that_know_what_is_held_out_are_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(trained.run.data.folder), "--folds", "4", "--seed", "4", "--out", str(tmp_path / "run")]
    for option, path in (
        ("--start", trained.run.folder),
        ("--teachers", trained.run.folder),
        ("--start", trained.bundle),
    ):
        with pytest.raises(SystemExit):
            main(["train", *data, option, str(path)])
        assert f"{path} was trained on images that are held out here" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("train", "evaluate", "export", "report", "table"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert "--data" in capsys.readouterr().out


def test_packed_data_are_named_on_stdout(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "packed"
    assert main(["pack", "--data", str(folder), "--out", str(packed), "--part-mib", "1", "--json"]) == DONE
    assert [Path(name) for name in json.loads(capsys.readouterr().out)] == sorted(packed.iterdir())
    assert main(["pack", "--data", str(folder), "--out", str(packed)]) == FAILED
    assert "already holds archives" in capsys.readouterr().err
