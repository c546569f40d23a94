"""From a folder of chest radiographs to a model bundle: train, evaluate, export.

Each folder here is a room; docs/architecture.md has the table of rooms and what each may import. In the order of the
work:

    networks, data -> augmentation -> fitting (a run) -> evaluation (figures) -> reporting (report, card)
        -> exporting (a bundle)
"""

import contract  # noqa: F401  before onnxruntime: it turns its telemetry off
