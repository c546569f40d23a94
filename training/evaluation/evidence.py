"""Whether the evidence in heatmaps is in the lungs, and how stable heatmaps are when the image shifts slightly."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contract.bundle import HEATMAP, Measured
from training.augmentation.shifts import affine
from training.data.dataset import Dataset
from training.data.lungs import Mask, in_places
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, mean, share
from training.evaluation.sides import pointed_side


class Evidence(BaseModel):
    """Figures of the heatmaps of all PNEUMONIA images that show any evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    lung_area: float = Field(description="Fraction of the image that is lung: the value for randomly placed evidence.")
    lung_overlap: float = Field(description="Dice coefficient of the lung atlas and healthy images' own masks.")
    inside: Measured | None = Field(description="Mean fraction of evidence within the lungs; null: no evidence.")
    peak_inside: Measured | None = Field(description="Fraction of images whose strongest place touches the lungs.")
    ill_side: Measured | None = Field(
        default=None, description="Fraction of half-ill pictures with more evidence in the ill half; see ``sides``."
    )
    moved_probability: float = Field(description="Mean change of probability for a shift by one heatmap place.")
    moved_heatmap: float = Field(description="Mean correlation of the heatmaps before and after the shift.")


def measure_evidence(graph: bytes, data: Dataset, atlas: Mask, atlas_overlap: float) -> Evidence:
    """Measure the heatmaps of a graph.

    Args:
        graph: of a bundle.
        data: images of one population.
        atlas: bool (200, 200), the usual place of the lungs in this population.
        atlas_overlap: the accuracy of the atlas, from ``training.data.lungs.lung_atlas``.
    """
    sick = data.rows(row.name for row in data.radiographs if row.label)
    maps = in_batches(graph_output(graph, HEATMAP), sick.pixels)
    shown = maps.max((1, 2)) > 0
    lungs = in_places(atlas, maps.shape[1])
    scores = Scores.of(sick, maps.max((1, 2))).rows(np.flatnonzero(shown))
    lit = maps[shown]
    inside = (lit * lungs).sum((1, 2)) / lit.sum((1, 2))
    peaks = lungs.ravel()[lit.reshape(len(lit), -1).argmax(1)] > 0
    return Evidence(
        images=len(lit),
        lung_area=float(atlas.mean()),
        lung_overlap=atlas_overlap,
        inside=mean(scores, inside) if len(lit) else None,
        peak_inside=share(scores, peaks) if len(lit) else None,
        ill_side=pointed_side(graph, data),
        **_stability(graph, sick, maps),
    )


def _stability(graph: bytes, sick: Dataset, maps: NDArray[np.float32]) -> dict[str, float]:
    """Measure the changes when each image shifts to the right and down by one place of the heatmap."""
    step = 1 / maps.shape[1]
    moved = np.stack([affine(row, shift_x=step, shift_y=step) for row in sick.pixels[..., 0]])[..., np.newaxis]
    predict = graph_predict(graph)
    change = np.abs(in_batches(predict, moved) - in_batches(predict, sick.pixels)).mean()
    before = maps[:, :-1, :-1].reshape(len(maps), -1)
    after = in_batches(graph_output(graph, HEATMAP), moved)[:, 1:, 1:].reshape(len(maps), -1)
    alike = [
        np.corrcoef(*pair)[0, 1] for pair in zip(before, after, strict=True) if min(part.std() for part in pair) > 0
    ]
    return {"moved_probability": float(change), "moved_heatmap": float(np.mean(alike)) if alike else 0.0}
