"""A bundle with a new input guard: the same network, the same figures, a new version.

The graphs are changed in one constant, the projection that features are computed with; probabilities and heatmaps stay
the same to the last bit, which is checked. So everything that the card says of them holds, and only what it says of the
guard is measured anew.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.bundle import (
    CARD,
    FEATURES,
    GRAPH,
    HEATMAP,
    INT8_GRAPH,
    PROBABILITY,
    Bundle,
    InputGuard,
    Manifest,
    Measured,
    refuse_occupied,
    sha256,
    write_bundle,
)
from contract.guard import Statistics, distance
from contract.io.report import interval
from training.data.dataset import Dataset
from training.errors import ExportError
from training.evaluation.assess import Parts, graph_output
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, share
from training.exporting.guard import fit_guards, of_training, projection_of
from training.exporting.onnx import components_of, with_projection
from training.networks.features import Projection
from training.reporting.card import with_about, with_guard
from training.reporting.report import ExtraData, measure_groups, split_of
from training.reporting.tables import groups_table

# Images that the outputs besides the features are compared on.
_COMPARED = 64


def refit_guard(bundle: Bundle, data: Dataset, folder: Path, about: str, extra: ExtraData) -> Manifest:
    """Write a bundle with the network of another one and a guard that is fitted anew.

    Args:
        bundle: of several populations.
        data: the images that its training, validation and test parts were taken from.
        folder: models/NAME/VERSION of the new bundle.
        about: Markdown for the card: intended use and training data.
        extra: images from elsewhere and of other kinds, for the card.

    Raises:
        ExportError: the bundle has no guard of several populations, or another output changed.
        TrainingError: these are other images, or the bundle's card was not written by ``training.reporting.card``.
        BundleError: the folder already holds a bundle.
    """
    refuse_occupied(folder)
    parts = Parts.of(data, split_of(bundle.manifest, data))
    if len(np.unique(parts.train.populations)) == 1:
        raise ExportError("the bundle is of one population: nothing about its guard would change")
    projection, guard = _fit(bundle, parts)
    graphs: dict[str, bytes] = {
        name: _changed(graph, projection, parts.validation)
        for name, graph in ((GRAPH, bundle.graph), (INT8_GRAPH, bundle.int8_graph))
        if graph is not None
    }
    draft = bundle.manifest.model_copy(
        update={
            "name": folder.parent.name,
            "version": folder.name,
            "input_guard": guard,
            "results": _results(bundle, graphs, guard, parts),
            "created_at": datetime.now(UTC).replace(microsecond=0),
        }
    )
    contents: dict[str, bytes] = {
        **graphs,
        CARD: _card(with_about(bundle.card, about), draft, graphs[GRAPH], parts, extra).encode(),
    }
    manifest = draft.model_copy(update={"files": {name: sha256(content) for name, content in contents.items()}})
    write_bundle(folder, manifest, contents)
    return manifest


def _fit(bundle: Bundle, parts: Parts) -> tuple[Projection, InputGuard]:
    """The projection and the guard, fitted on the layouts of the network as ``export`` does."""
    same = np.eye(len(components_of(bundle.graph)), dtype=np.float32)
    layouts = graph_output(with_projection(bundle.graph, same), FEATURES)
    known = of_training(layouts, parts.train, bundle.manifest.provenance.seed)
    whose = np.tile(parts.train.populations, 2)
    projection = projection_of(known, whose)

    def features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return layouts(pixels) @ projection.components

    return projection, fit_guards(known @ projection.components, whose, features, parts.validation)


def _changed(graph: bytes, projection: Projection, validation: Dataset) -> bytes:
    """The graph with this projection; all its other outputs are verified to be those of the graph."""
    changed, pixels = with_projection(graph, projection.components), validation.pixels[:_COMPARED]
    for name in (PROBABILITY, HEATMAP):
        if not np.array_equal(graph_output(changed, name)(pixels), graph_output(graph, name)(pixels)):
            raise ExportError(f"with another projection of the features the output {name} is another one")
    return changed


def _results(bundle: Bundle, graphs: dict[str, bytes], guard: InputGuard, parts: Parts) -> dict[str, Any]:
    """The parent's figures with those of the new guard."""
    alone, right = _covered(graphs[GRAPH], guard, parts.held_out)
    found = {
        **bundle.manifest.results,
        "guard": {
            "network_of": f"{bundle.manifest.name}/{bundle.manifest.version}",
            "parent_digest": bundle.digest,
            "covered_by_one_population": alone,
            "by_its_own": right,
        },
    }
    if INT8_GRAPH in graphs:
        flagged = _flagged(graphs[INT8_GRAPH], guard, parts.held_out)
        found["int8"] = {**found["int8"], "flagged_by_guard": flagged.model_dump()}
    return found


def _covered(graph: bytes, guard: InputGuard, held_out: Dataset) -> tuple[float, float]:
    """The fraction of images that one population alone covers; and of these, those that are of that population."""
    known = Statistics(guard)
    covering = known.covered_by(known.multiples(in_batches(graph_output(graph, FEATURES), held_out.pixels)))
    named = [(name, truth) for name, truth in zip(covering, held_out.populations, strict=True) if name]
    return len(named) / len(covering), float(np.mean([name == truth for name, truth in named])) if named else 0.0


def _flagged(graph: bytes, guard: InputGuard, data: Dataset) -> Measured:
    far = distance(in_batches(graph_output(graph, FEATURES), data.pixels), guard)
    return share(Scores.of(data, far), far > guard.threshold)


def _card(parent: str, draft: Manifest, graph: bytes, parts: Parts, extra: ExtraData) -> str:
    """The parent's card with what is measured of the new guard."""
    guard, results = draft.input_guard, draft.results
    if guard is None:
        raise ExportError("no guard was fitted")
    figures = {name: interval(_flagged(graph, guard, part)) for name, part in parts.held_out.by_population().items()}
    if INT8_GRAPH in draft.files:
        figures["int8"] = interval(Measured(**results["int8"]["flagged_by_guard"]))
    groups = groups_table(measure_groups(draft, graph, parts.held_out, extra))
    alone, right = results["guard"]["covered_by_one_population"], results["guard"]["by_its_own"]
    covered = (
        f"{alone:.1%} of the held-out radiographs are covered by one population alone, which answers name in "
        f"`covered_by`; of these it is their own for {right:.1%}.\n"
    )
    return with_guard(parent, f"{draft.name} {draft.version}", guard, figures, f"{groups}\n{covered}")
