"""The contenders of the comparison: our service and its peers, and the three kinds of work."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.bundle import read_bundle
from tests import BUNDLED_MODEL, MODELS, ROOT

PEERS = ROOT / "benchmarks" / "peers"
OURS = "xray-inference"


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with each image.

    Attributes:
        name: in results.
        title: of tables.
        short: for a sentence.
        model: folder of the bundle.
        graph: file in it.
        decode: one of ``peers.work.DECODERS``.
        settings: environment variables that our service needs for it.
    """

    name: str
    title: str
    short: str
    model: Path
    graph: str
    decode: Literal["contract", "full"]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def contract(self) -> int:
        """The image contract of the bundle."""
        return read_bundle(self.model).manifest.image_contract


DEFAULT = Work(
    "default", "What we serve: int8, scaled decoding", "as we serve it", BUNDLED_MODEL, "model.int8.onnx", "contract"
)
SAME = Work(
    "same",
    "The network deep, fp32, scaled decoding",
    "deep",
    MODELS / "1",
    "model.onnx",
    "contract",
    {"XRAY_PRECISION": "float32"},
)
ORDINARY = Work(
    "ordinary", "The network deep, fp32, full decoding", "deep, decoding in full", MODELS / "1", "model.onnx", "full"
)
WORKS = {work.name: work for work in (DEFAULT, SAME, ORDINARY)}


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer is started.

    Attributes:
        title: its name, in its own spelling.
        arguments: command line after its Python; ``{port}`` is replaced by the port.
        environment: variables in addition to those of all peers. Usage reporting is turned off.
        path: receives the images.
        headers: of each request, in addition to those of all contenders.
    """

    title: str
    arguments: tuple[str, ...] = ("server.py",)
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/predict"
    headers: dict[str, str] = field(default_factory=dict)


PEER_SERVERS = {
    "fastapi": Peer("plain FastAPI"),
    "litserve": Peer("LitServe"),
    "mosec": Peer("mosec", ("server.py", "--address", "127.0.0.1", "--port", "{port}", "--log-level", "error")),
    "bentoml": Peer(
        "BentoML",
        ("-m", "bentoml", "serve", "server:Pneumonia", "--host", "127.0.0.1", "--port", "{port}"),
        {"BENTOML_DO_NOT_TRACK": "True"},
    ),
    "ray": Peer(
        "Ray Serve",
        environment={
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        },
    ),
    "triton": Peer(
        "Triton",
        path="/v2/models/pneumonia/infer",
        headers={"Inference-Header-Content-Length": "0"},  # the whole body is the one input
    ),
}
NAMES = (OURS, *PEER_SERVERS)
TITLES = {OURS: OURS} | {name: peer.title for name, peer in PEER_SERVERS.items()}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that does one kind of work."""

    name: str
    work: Work

    def command(self, python: Path, port: int) -> list[str]:
        """The command that starts it, with the Python of its environment."""
        if self.name == OURS:
            return [str(python), "-m", "service", "serve", "--port", str(port), "--model", str(self.work.model)]
        return [str(python), *(part.format(port=port) for part in PEER_SERVERS[self.name].arguments)]

    @property
    def folder(self) -> Path:
        """The working directory to start it in."""
        return ROOT if self.name == OURS else PEERS / self.name

    @property
    def path(self) -> str:
        """Where it receives the images."""
        return "/predict" if self.name == OURS else PEER_SERVERS[self.name].path

    @property
    def headers(self) -> dict[str, str]:
        """What its requests need beside the type of the image."""
        return {} if self.name == OURS else PEER_SERVERS[self.name].headers

    def environment(self, scratch: Path, port: int) -> dict[str, str]:
        """Its environment variables: without XRAY_* settings of this machine; temporary files go to ``scratch``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XRAY_")}
        kept |= {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
        if self.name == OURS:
            return kept | {"XRAY_DEVICE": "cpu", "XRAY_LOG_LEVEL": "warning"} | self.work.settings
        peer = {
            "PEER_GRAPH": str(self.work.model / self.work.graph),
            "PEER_DECODE": self.work.decode,
            "PEER_CONTRACT": str(self.work.contract),
            "PEER_CPUS": str(len(os.sched_getaffinity(0))),
            "PEER_PORT": str(port),
            "BENTOML_HOME": str(scratch / "bentoml"),
            "RAY_TMPDIR": str(scratch),
        }
        return kept | peer | PEER_SERVERS[self.name].environment


def contenders(names: list[str], works: list[str]) -> list[Contender]:
    """The contenders, in the order of measurement: ours with its defaults; ours and the peers with the same work; the
    peers with the usual way of decoding.
    """
    turns = [(OURS, DEFAULT), *((name, SAME) for name in NAMES), *((name, ORDINARY) for name in PEER_SERVERS)]
    return [Contender(name, work) for name, work in turns if name in names and work.name in works]


def python_of(name: str, environments: Path) -> Path:
    """The Python interpreter of a contender; for our service, the current one."""
    return Path(sys.executable) if name == OURS else environments / name / "bin" / "python"
