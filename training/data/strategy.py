"""The names of the split strategies, without the libraries that split: the command line needs the names at start."""

from typing import Literal

Strategy = Literal["patient", "random"]
