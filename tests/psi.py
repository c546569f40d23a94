"""The population stability index in Python; deploy/monitoring/drift.yml computes it in PromQL."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client.parser import text_string_to_metric_families

Counts = dict[str, dict[str, float]]


def psi(counts: ArrayLike, expected: ArrayLike) -> NDArray[np.float64]:
    """The index of image counts, (..., bins), against expected shares; an empty bin counts as half an image."""
    counted, shares = np.asarray(counts, float), np.asarray(expected, float)
    found = counted.clip(0.5) / counted.sum(-1, keepdims=True)
    return np.asarray(((found - shares) * np.log(found / shares)).sum(-1))


def by_bin(metrics: str, name: str) -> Counts:
    """The values of a metric by its labels feature and bin, with the bins in order."""
    found: Counts = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == name:
                found.setdefault(sample.labels["feature"], {})[sample.labels["bin"]] = sample.value
    return {feature: dict(sorted(bins.items())) for feature, bins in found.items()}


def psi_of_metrics(metrics: str) -> dict[str, float]:
    """The index of each feature that has a reference, of all images since the start."""
    counts, shares = by_bin(metrics, "xray_drift_images_total"), by_bin(metrics, "xray_drift_reference_share")
    return {name: float(psi([*counts[name].values()], [*shares[name].values()])) for name in shares}
