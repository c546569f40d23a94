"""How a dataset may be divided: a name that the command line knows without the libraries that divide."""

from typing import Literal

Strategy = Literal["patient", "random"]
