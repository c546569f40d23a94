"""One training run: its configuration, its folder, the loop. Imports ``networks`` and ``data``."""
