"""The tests, with helpers that the benchmarks use too: drawn images, servers, bundles."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
BUNDLED_MODEL = ROOT / "models" / "pneumonia" / "6"
