"""The learning curves of a run: loss and accuracy by epoch, on training and validation images."""

from pathlib import Path

from matplotlib.figure import Figure

from training.fitting.run import Epoch, best_epoch


def draw_curves(history: list[Epoch], path: Path) -> None:
    """Write the curves as a PNG; a line marks the epoch that was kept."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    kept = best_epoch(history).epoch
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = [epoch.epoch for epoch in history]
        axes.plot(epochs, [getattr(epoch, name) for epoch in history], label="training")
        axes.plot(epochs, [getattr(epoch, f"val_{name}") for epoch in history], label="validation")
        axes.axvline(kept, color="grey", linestyle=":", label=f"kept: epoch {kept}")
        axes.set(xlabel="epoch", title=name)
        axes.legend()
    figure.savefig(path, dpi=120)
