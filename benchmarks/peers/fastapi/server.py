"""Plain FastAPI, as its documentation suggests and as it is usually written.

- A plain ``def`` runs in a thread pool, so that the event loop is not blocked ("Concurrency and async / await", "Path
  operation functions").
- One worker process per CPU ("Server Workers - Uvicorn with Workers"), each with a session of one thread, so that as
  many threads compute as there are CPUs.
- FastAPI has no batching.
"""

import os
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI

from benchmarks.peers import work

app = FastAPI()
decode = work.decoder()
score = work.scorer(threads=1)


@app.post("/predict")
def predict(data: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, float]:
    """The probability of one image."""
    return {"probability": score([decode(data)])[0]}


if __name__ == "__main__":
    port = int(os.environ["PEER_PORT"])
    uvicorn.run("server:app", port=port, workers=work.cpus(), log_level="warning")
