"""NVIDIA Triton Inference Server, the binary that the package ``nvidia-pytriton`` brings.

- Python backend (``model.py``): the package has no ONNX Runtime backend, and the image must be decoded in any case. The
  server itself is started, not PyTriton, which would add a process between it and the model.
- One instance per CPU ("Instance Groups"), each a process with a session of one thread.
- Dynamic batching with its default delay of 0 ("Dynamic Batcher"): a batch consists of the queued images.
- The image is the whole body ("Raw Binary Request", by the header in ``contenders.py``), so that clients have no more
  to do than with the other servers.
- Shared memory between server and instances has 64 MiB from the start (``shm-default-byte-size``). With the default,
  1 MiB that grows, the server aborted once as it started, by the exception of its open issue 8882.
- gRPC and metrics, which have ports of their own, are off.
"""

import importlib.metadata
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from benchmarks.peers import work

_CONFIGURATION = """
name: "pneumonia"
backend: "python"
max_batch_size: 4
input [{{ name: "image", data_type: TYPE_STRING, dims: [1] }}]
output [{{ name: "probability", data_type: TYPE_FP32, dims: [1] }}]
instance_group [{{ count: {instances}, kind: KIND_CPU }}]
dynamic_batching {{ }}
"""


def write_repository(to: Path) -> None:
    """Write a model repository with the one model."""
    folder = to / "pneumonia"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_CONFIGURATION.format(instances=work.cpus()))
    shutil.copy(Path(__file__).with_name("model.py"), folder / "1")


def choose_stub(binaries: Path) -> None:
    """Put the backend's program for this version of Python where the server looks for it, as PyTriton does."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = binaries / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, binaries / "backends" / "python")


def environment() -> dict[str, str]:
    """The variables by which the backend finds this Python: its shared library, and its environment."""
    library, path = sysconfig.get_config_var("LIBDIR"), os.environ["PATH"]
    return {**os.environ, "LD_LIBRARY_PATH": library, "PATH": f"{sys.prefix}/bin:{path}"}


if __name__ == "__main__":
    binaries = Path(str(importlib.metadata.distribution("nvidia-pytriton").locate_file("pytriton/tritonserver")))
    repository = Path(tempfile.mkdtemp())
    write_repository(repository)
    choose_stub(binaries)
    options = {
        "model-repository": repository,
        "backend-directory": binaries / "backends",
        "http-address": "127.0.0.1",
        "http-port": os.environ["PEER_PORT"],
        "allow-grpc": "false",
        "allow-metrics": "false",
        "log-info": "false",
        "backend-config": "python,shm-default-byte-size=67108864",
    }
    command = [str(binaries / "bin" / "tritonserver"), *(f"--{name}={value}" for name, value in options.items())]
    os.execve(command[0], command, environment())  # noqa: S606  no shell: signals reach the server
