"""The tests, and what they draw and start, which benchmarks use too."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
BUNDLED_MODEL = ROOT / "models" / "pneumonia" / "2"
