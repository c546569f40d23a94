"""A run is saved after every epoch, and an interrupted run ends with the same result as an uninterrupted one."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.datasets import write_data_folder, write_sources
from training.__main__ import FAILED, main
from training.augmentation.augment import acquisition
from training.augmentation.batches import shuffled_batches
from training.data.dataset import Dataset, load_dataset
from training.data.split import split_dataset
from training.errors import TrainingError
from training.fitting.config import TrainingConfig
from training.fitting.curves import draw_curves
from training.fitting.fit import _fresh, _weights, fit
from training.fitting.network import compiled
from training.fitting.run import DataRecord, Epoch, Run, best_epoch
from training.networks.names import PROBABILITY

pytestmark = pytest.mark.usefixtures("narrow")
CONFIG = TrainingConfig(architecture="deep", epochs=3, batch=16, folds=4, seed=5)


def begun(folder: Path, data: Dataset, config: TrainingConfig = CONFIG) -> Run:
    split = split_dataset(data, config.split, folds=config.folds, seed=config.seed)
    return Run.create(folder, config, split, DataRecord.of(folder, data))


def epochs(*losses: float) -> list[Epoch]:
    return [
        Epoch(epoch=number, loss=1, accuracy=1, val_loss=loss, val_accuracy=1, seconds=1)
        for number, loss in enumerate(losses, start=1)
    ]


def test_an_interrupted_run_ends_as_an_uninterrupted_one(data: Dataset, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 2 * total // 3:  # during the last epoch
            raise KeyboardInterrupt

    whole, broken = begun(tmp_path / "whole", data), begun(tmp_path / "broken", data)
    fit(whole, data)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, data, on_step=interrupt)
    assert len(broken.history) == 2
    trained_epochs: list[int] = []
    fit(broken, data, on_epoch=lambda epoch: trained_epochs.append(epoch.epoch))
    assert trained_epochs == [3]
    for one, other in zip(whole.history, broken.history, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-3)
    for one, other in zip(whole.last_model().get_weights(), broken.last_model().get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_a_run_that_diverges_ends_there_and_says_so(
    data: Dataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 1e30, "architecture": "baseline"})
    run = begun(tmp_path / "run", data, wild)
    history = fit(run, data)
    assert [epoch.diverged for epoch in history] == [True]
    assert len(fit(run, data)) == len(run.history) == 1  # resumed, it stays where it is
    cache = str(tmp_path / "cache")
    command = ["train", "--resume", str(run.folder), "--data", str(folder), "--cache", cache]
    assert main(command) == FAILED
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{run.folder}: diverged in epoch 1 (the loss is not a number)" in line
    assert not any(epoch.diverged for epoch in epochs(1.0, 2.0))


def test_a_run_writes_its_documented_files(data: Dataset, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", data, CONFIG.model_copy(update={"epochs": 1}))
    history = fit(run, data)
    draw_curves(history, run.folder / "curves.png")
    left = {path.name for path in run.folder.iterdir()}
    assert left == {
        "best.keras",
        "config.json",
        "curves.png",
        "data.json",
        "environment.json",
        "epoch-001.keras",
        "history.json",
        "split.json",
    }
    assert json.loads((run.folder / "config.json").read_text())["learning_rate"] == 0.001
    assert run.data.fingerprint == data.fingerprint
    assert run.environment.packages["keras"]
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    best = run.best_model()
    assert np.allclose(best(data.pixels[:2]), run.last_model()(data.pixels[:2]))


def test_figures_are_of_all_images_not_of_the_last_batch(data: Dataset, tmp_path: Path) -> None:
    """With a learning rate near zero the network does not change, so the epoch's figures can be computed."""
    config = CONFIG.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    run = begun(tmp_path / "run", data, config)
    epoch = fit(run, data)[0]
    for names, loss, accuracy in (
        (run.split.train, epoch.loss, epoch.accuracy),
        (run.split.validation, epoch.val_loss, epoch.val_accuracy),
    ):
        part = data.rows(names)
        probability = np.asarray(run.best_model()(part.pixels))[:, 0]
        likelihood = np.where(part.labels == 1, probability, 1 - probability)
        assert loss == pytest.approx(-np.log(likelihood).mean(), rel=1e-4)
        assert accuracy == pytest.approx(((probability > 0.5) == part.labels).mean())


@pytest.mark.parametrize(
    ("losses", "best"),
    [((3, 1, 2), 2), ((1, 1), 1), ((float("nan"), 2), 2), ((2, float("nan")), 1), ((float("nan"),) * 2, 1)],
)
def test_the_best_epoch_is_that_of_lowest_validation_loss(losses: tuple[float, ...], best: int) -> None:
    assert best_epoch(epochs(*losses)).epoch == best


def test_a_history_may_contain_nan(data: Dataset, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", data)

    run.save_epoch(compiled(CONFIG, 1), epochs(float("nan"), 1.0))
    assert np.isnan(run.history[0].val_loss)


def test_batches_hold_each_image_once_in_an_order_of_the_seed(data: Dataset) -> None:
    def order(seed: tuple[int, int]) -> list[float]:
        return [float(row.mean()) for pixels, *_ in shuffled_batches(data, 32, seed) for row in pixels]

    assert sorted(order((1, 0))) == sorted(float(row.mean()) for row in data.pixels)
    assert order((1, 0)) == order((1, 0)) != order((1, 1))
    assert [len(labels) for _, labels, _ in shuffled_batches(data, 32, (1, 0))] == [32, 16]


def test_processes_make_the_same_batches_as_threads(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    augment = acquisition(data.pixels, data.labels)
    made = []
    for cpus in (2, 4):
        monkeypatch.setattr("training.augmentation.batches.cpu_count", lambda cpus=cpus: cpus)
        made.append(list(shuffled_batches(data, 16, (1, 0), augment)))
    for (pixels, labels, _), (others, of_others, _) in zip(*made, strict=True):
        assert (pixels == others).all()
        assert (labels == of_others).all()


def test_an_averaged_run_is_the_mean_of_its_last_epochs(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"average_epochs": 2})
    run = begun(tmp_path / "run", data, config)
    with pytest.raises(TrainingError, match="no finished epoch yet"):
        run.best_model()
    model, losses = compiled(config, 1), epochs(3.0, 2.0, 1.0)
    for done in (1, 2, 3):
        model.set_weights([weight + done for weight in model.get_weights()])
        run.save_epoch(model, losses[:done])
    kept = sorted(run.folder.glob("*.keras"))
    assert [path.name for path in kept] == ["epoch-002.keras", "epoch-003.keras"]
    weights = [keras.models.load_model(path, compile=False).get_weights() for path in kept]
    for weight, *versions in zip(run.best_model().get_weights(), *weights, strict=True):
        assert weight == pytest.approx(np.mean(versions, axis=0), abs=1e-6)

    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    run.finish()
    assert (run.folder / "averaged.keras").stat().st_ino in flushed


def test_a_run_never_replaces_another(data: Dataset, tmp_path: Path) -> None:
    begun(tmp_path / "run", data)
    with pytest.raises(TrainingError, match="--resume"):
        begun(tmp_path / "run", data)


def test_a_damaged_checkpoint_is_named(data: Dataset, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", data)
    (run.folder / "history.json").write_text(json.dumps([epochs(1.0)[0].model_dump()]))
    (run.folder / "epoch-001.keras").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"epoch-001\.keras: cannot be read"):
        fit(run, data)


def test_a_folder_that_is_not_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not the folder of a run"):
        _ = Run(tmp_path).config
    (tmp_path / "config.json").write_text("{}x")
    with pytest.raises(TrainingError, match="not a valid file of a run"):
        _ = Run(tmp_path).config


def test_every_population_and_label_weighs_the_same(tmp_path: Path) -> None:
    data = load_dataset(write_sources(tmp_path), tmp_path / "cache")
    balanced = CONFIG.model_copy(update={"class_balance": True})
    weights = _weights(balanced, data)(data)
    assert weights.mean() == pytest.approx(1)
    sums = [weights[(data.populations == name) & (data.labels == label)].sum() for name, label in CELLS]
    assert sums == pytest.approx([len(data.labels) / 4] * 4)
    assert (_weights(CONFIG, data)(data) == 1).all()


def test_a_randomised_run_ends_as_a_network_and_teaches_another(data: Dataset, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"augmentation": "randomised", "mixed": 0.5, "epochs": 1, "average_epochs": 1})
    teacher = begun(tmp_path / "teacher", data, config)
    fit(teacher, data)
    assert (tmp_path / "teacher" / "averaged.keras").exists()
    (tmp_path / "teacher" / "epoch-001.keras").unlink()
    known = teacher.best_model().get_weights()
    taught = config.model_copy(update={"teachers": str(teacher.folder), "start": str(teacher.folder)})
    assert all((one == other).all() for one, other in zip(_fresh(taught, data, 1).get_weights(), known, strict=True))
    pupil = begun(tmp_path / "pupil", data, taught)
    assert np.isfinite(fit(pupil, data)[-1].loss)


CELLS = [(name, label) for name in ("child", "adult") for label in (0, 1)]


def test_final_weights_keep_a_share_of_the_initial_ones(data: Dataset, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 1, "average_epochs": 1})
    first = begun(tmp_path / "first", data, config)
    fit(first, data)
    changes = {"start": str(first.folder), "start_share": 0.25, "learning_rate": 0.01}
    second = begun(tmp_path / "second", data, config.model_copy(update=changes))
    fit(second, data)
    weights = zip(
        *(run.get_weights() for run in (first.best_model(), second.last_model(), second.best_model())), strict=True
    )
    for before, after, kept in weights:
        assert kept == pytest.approx(0.25 * before + 0.75 * after, abs=1e-6)
    assert not np.allclose(before, after)


def test_evidence_is_to_lie_where_the_lungs_of_the_healthy_are_in_either_orientation(tmp_path: Path) -> None:
    write_data_folder(tmp_path / "drawn", patients=8)
    drawn = load_dataset(tmp_path / "drawn", tmp_path / "cache")
    config = CONFIG.model_copy(update={"architecture": "efficientnet-lite", "epochs": 1, "lungs": 0.5})
    run = begun(tmp_path / "run", drawn, config)
    fit(run, drawn)
    outside = np.asarray(run.last_model().get_layer(PROBABILITY).outside)
    assert outside.shape == (25, 25)
    assert outside.min() == 0
    assert outside[0].tolist() == [0.5] * 25  # above the shoulders
    assert np.array_equal(outside, outside[:, ::-1])
    assert 0.3 < (outside == 0.5).mean() < 0.9


def test_a_network_without_a_place_for_it_cannot_keep_its_evidence_in_the_lungs(data: Dataset, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", data, CONFIG.model_copy(update={"lungs": 0.5}))
    with pytest.raises(TrainingError, match="lungs: this network cannot"):
        fit(run, data)
