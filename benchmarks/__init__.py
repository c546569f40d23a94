"""Timings, never pass or fail: each script prints JSON; results are kept in results/."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
BUNDLED_MODEL = ROOT / "models" / "pneumonia" / "2"
