"""The drift reference: quantiles over the validation images, which a service compares incoming images with."""

from pathlib import Path

import numpy as np

from contract.bundle import INT8_GRAPH, SIGNATURE, Bundle, read_bundle, write_manifest
from contract.drift import DriftReference, brightness_and_contrast, quantiles
from training.data.dataset import Dataset
from training.data.split import Split
from training.errors import TrainingError
from training.evaluation.assess import Parts, graph_predict
from training.evaluation.evaluate import in_batches
from training.reporting.report import split_of

_DIGITS = 6


def measure_reference(graph: bytes, data: Dataset, split: Split) -> DriftReference:
    """Measure the drift reference of a model.

    Args:
        graph: the graph that a CPU runs.
        data: the images that the split names.
        split: its validation part is measured; it was not trained on, and the test part stays unused.
    """
    parts = Parts.of(data, split)
    brightness, contrast = zip(*(brightness_and_contrast(pixels) for pixels in parts.validation.pixels), strict=True)
    return DriftReference(
        measured_on=parts.chosen_on,
        images=len(parts.validation.pixels),
        brightness=quantiles(np.array(brightness), _DIGITS),
        contrast=quantiles(np.array(contrast), _DIGITS),
        probability=quantiles(in_batches(graph_predict(graph), parts.validation.pixels), _DIGITS),
    )


def add_reference(folder: Path, data: Dataset) -> DriftReference:
    """Write the reference into the manifest of a bundle that has none; nothing else in the bundle changes.

    Args:
        folder: the bundle's.
        data: the images that the bundle's training, validation and test parts were taken from.

    Raises:
        TrainingError: the bundle has a reference, or is signed; these are other images; the manifest cannot be written.
        BundleError: the bundle is missing or inconsistent.
    """
    bundle = read_bundle(folder)
    if bundle.manifest.drift_reference is not None:
        raise TrainingError(f"{folder}: already has a drift reference, and published versions are never edited")
    if bundle.signature is not None:  # of the manifest as it is
        raise TrainingError(
            f"{folder}: is signed, and the signature does not cover what would be added; remove {SIGNATURE}, repeat "
            "this, and have the bundle signed again (python -m service bundle sign)"
        )
    reference = measure_reference(_cpu_graph(bundle), data, split_of(bundle.manifest, data))
    try:
        write_manifest(folder, bundle.manifest.model_copy(update={"drift_reference": reference}))
    except OSError as error:
        raise TrainingError(f"{folder}: the manifest cannot be written ({error.strerror})") from None
    return reference


def _cpu_graph(bundle: Bundle) -> bytes:
    return bundle.int8_graph if bundle.int8_graph and bundle.manifest.cpu_graph == INT8_GRAPH else bundle.graph
