"""Example images with heatmaps: hits, misses and false alarms. They show patients and are confidential."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from contract.bundle import HEATMAP
from contract.image import SIDE
from training.data.dataset import Dataset
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.evaluate import in_batches

SHOWN = 8
# Cividis (Nuñez et al., PLoS ONE 2018): looks alike with and without colour vision deficiency.
_COLOURS = "cividis"
_OPACITY = 0.65


@dataclass(frozen=True, slots=True)
class Example:
    """One image: name, probability, and a JPEG that shows it without (left) and with its heatmap (right)."""

    name: str
    probability: float
    picture: bytes


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """Examples of one kind; ``of`` is the number of images of that kind."""

    title: str
    examples: tuple[Example, ...]
    of: int


def gallery(graph: bytes, held_out: Dataset, threshold: float) -> list[ExampleSet]:
    """Choose the worst misses and false alarms, and hits from the highest to the lowest probability."""
    probability = in_batches(graph_predict(graph), held_out.pixels)
    sick, called = held_out.labels == 1, probability >= threshold
    rising = np.argsort(probability, kind="stable")
    kinds: dict[str, NDArray[np.intp]] = {
        "Hits: PNEUMONIA called PNEUMONIA": _spread(rising[(sick & called)[rising]][::-1]),
        "Misses: PNEUMONIA called NORMAL": rising[(sick & ~called)[rising]],
        "False alarms: NORMAL called PNEUMONIA": rising[(~sick & called)[rising]][::-1],
    }
    numbers = [int((sick & called).sum()), int((sick & ~called).sum()), int((~sick & called).sum())]
    return [
        ExampleSet(title, _examples(graph, held_out, probability, rows[:SHOWN]), number)
        for (title, rows), number in zip(kinds.items(), numbers, strict=True)
    ]


def overlay(pixels: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend a heatmap into an image; where there is no evidence, the image is unchanged.

    Args:
        pixels: uint8 (200, 200).
        heatmap: float32 (h, w), 0..1.

    Returns:
        uint8 (200, 200, 3).
    """
    large = np.asarray(Image.fromarray(heatmap).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    colour = colormaps[_COLOURS](large)[..., :3] * 255
    weight = _OPACITY * large[..., np.newaxis]
    mixed: NDArray[np.uint8] = np.rint((1 - weight) * pixels[..., np.newaxis] + weight * colour).astype(np.uint8)
    return mixed


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most ``SHOWN`` of the rows, evenly spaced from first to last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(int))] if len(rows) else rows


def _examples(
    graph: bytes, data: Dataset, probability: NDArray[np.float32], rows: NDArray[np.intp]
) -> tuple[Example, ...]:
    if not len(rows):
        return ()
    maps = graph_output(graph, HEATMAP)(data.pixels[rows])
    return tuple(
        Example(data.radiographs[row].name, float(probability[row]), _picture(data.pixels[row, ..., 0], heat))
        for row, heat in zip(rows, maps, strict=True)
    )


def _picture(pixels: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> bytes:
    plain: Sequence[NDArray[np.uint8]] = [np.repeat(pixels[..., np.newaxis], 3, axis=2), overlay(pixels, heatmap)]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(plain, axis=1)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
