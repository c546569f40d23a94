"""BentoML.

- One worker process per CPU (``workers="cpu_count"``, "Parallelize requests handling"), each with a session of one
  thread.
- The image is the whole body ("Input and output types", root input), as a file, which is how BentoML passes bytes.
- No adaptive batching: a batchable call takes a list, so that each request must be a form, and it was slower here, both
  under load and with one connection.
"""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from benchmarks.peers import work


@bentoml.service(workers="cpu_count", traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Pneumonia:
    """The service."""

    def __init__(self) -> None:
        self._decode, self._score = work.decoder(), work.scorer(threads=1)

    @bentoml.api(route="/predict")
    def predict(self, image: Annotated[Path, ContentType("image/jpeg")], /) -> dict[str, float]:
        """The probability of one image."""
        return {"probability": self._score([self._decode(image.read_bytes())])[0]}
