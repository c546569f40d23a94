"""From a folder of chest radiographs to a model bundle: train, evaluate, export."""

import contract  # noqa: F401  before onnxruntime: it turns its telemetry off
