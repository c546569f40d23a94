"""The model that Triton's Python backend loads: one instance, in a process of its own."""

import os
import sys
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

sys.path.append(os.environ["PYTHONPATH"])  # the backend runs Python isolated, which ignores the variable

from benchmarks.peers import work


class TritonPythonModel:
    """The steps that the backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Called once in each instance."""
        self._decode, self._score = work.decoder(), work.scorer(threads=1)

    def execute(self, requests: list[Any]) -> list[Any]:
        """The requests of one dynamic batch, each with one image: the probability of each."""
        images = [triton.get_input_tensor_by_name(request, "image").as_numpy().item() for request in requests]
        probabilities = self._score([self._decode(data) for data in images])
        return [self._response(probability) for probability in probabilities]

    def _response(self, probability: float) -> Any:
        return triton.InferenceResponse([triton.Tensor("probability", np.full((1, 1), probability, np.float32))])
