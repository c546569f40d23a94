"""The experiment table: started, interrupted, resumed, and compared with the author's figures."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.__main__ import DONE, FAILED, main
from training.cli import commands
from training.data.dataset import Dataset
from training.data.folder import Radiograph
from training.data.split import split_at_random
from training.fitting.run import DataRecord, Epoch, Run
from training.reporting.experiments import EXPERIMENTS, Experiment, begin, read_table


def test_every_network_meets_every_normalisation_with_the_author_s_settings() -> None:
    assert len({experiment.name for experiment in EXPERIMENTS}) == 9
    config = Experiment("deep", "l2").config(25)
    assert (config.split, config.batch, config.learning_rate, config.momentum) == ("random", 32, 0.001, 0.9)


def test_522_images_validate_where_there_are_as_many_as_the_author_had(tmp_path: Path) -> None:
    names = [f"{number:05}" for number in range(5232)]
    radiographs = [Radiograph(name, Path(name), 1, name, None) for name in names]
    data = Dataset(radiographs, np.empty((5232, 0), np.uint8), names, Counter(), [])
    run = begin(tmp_path, EXPERIMENTS[0], 25, data, DataRecord.of(tmp_path, data), resume=False)
    assert (len(run.split.validation), len(run.split.train), len(run.split.test)) == (522, 4710, 0)
    assert split_at_random(data, 522, 1) == run.split


def test_a_table_is_trained_and_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table"
    command = ["table", "--data", str(folder), "--cache", str(tmp_path / "cache"), "--out", str(out), "--epochs", "1"]
    assert main([*command, "--only", "deep/none", "--json"]) == DONE
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "table.json").read_text())
    assert "epoch 1: " in printed.err

    assert main([*command, "--only", "deep/none"]) == FAILED  # without --resume
    assert "already holds a run" in capsys.readouterr().err
    assert main([*command[:-1], "2", "--only", "deep/none", "--resume"]) == FAILED
    assert "began with other settings (1 epochs)" in capsys.readouterr().err

    assert main([*command, "--only", "deep/none", "deep/rescale", "--resume"]) == DONE
    assert capsys.readouterr().out.strip() == (out / "table.md").read_text().strip()
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [(row["normalisation"], row["epochs_done"]) for row in rows] == [("rescale", 1), ("none", 1)]
    assert [row["validation_images"] for row in rows] == [5, 5]
    assert rows[1]["author_of_normalisation"] == "42 %"
    assert all(0 <= row["last_accuracy"] <= 1 for row in rows)


def test_an_interrupted_experiment_is_in_the_table_with_its_finished_epochs(
    data: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(run: Run, *_: object) -> None:
        epoch = Epoch(epoch=1, loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.75, seconds=1)
        (run.folder / "history.json").write_text(json.dumps([epoch.model_dump()]))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fit", interrupted)
    out = tmp_path / "table"
    command = ["table", "--data", str(folder), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    assert main([*command, "--only", "baseline/l2"]) == FAILED
    (row,) = read_table(out).rows
    assert (row.epochs_done, row.epochs_planned, row.kept_epoch) == (1, 25, 1)
    assert (
        "| baseline | l2 | 1 of 25 | 5 | 0.750 | 0.750 (epoch 1) | > 75 % | > 90 % |" in (out / "table.md").read_text()
    )


def test_a_diverged_experiment_is_marked(data: Dataset, folder: Path, tmp_path: Path) -> None:
    run = begin(tmp_path, EXPERIMENTS[0], 25, data, DataRecord.of(folder, data), resume=False)
    epoch = Epoch(epoch=1, loss=math.nan, accuracy=0.5, val_loss=math.nan, val_accuracy=0.25, seconds=1)
    (run.folder / "history.json").write_text(f"[{epoch.model_dump_json()}]")
    assert "| baseline | rescale | 1 of 25, diverged | 5 | 0.250 |" in read_table(tmp_path).markdown()


def test_a_run_of_other_images_is_not_resumed(
    data: Dataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path / "table", EXPERIMENTS[0], 1, data, DataRecord.of(folder, data), resume=False)
    next((folder / "NORMAL").iterdir()).unlink()
    command = ["table", "--data", str(folder), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "table")]
    assert main([*command, "--only", EXPERIMENTS[0].name, "--epochs", "1", "--resume"]) == FAILED
    assert "does not contain the same images" in capsys.readouterr().err
    assert read_table(tmp_path / "table").rows[0].last_accuracy is None
