"""The tests, with helpers that the benchmarks use too: drawn images, servers, bundles."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models" / "pneumonia"
VERSIONS = sorted((path.name for path in MODELS.iterdir()), key=int)
BUNDLED_MODEL = MODELS / "7"
