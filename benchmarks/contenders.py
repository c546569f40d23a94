"""Who is compared, doing what: our service and its peers, and the three kinds of work."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests import ROOT

PEERS = ROOT / "benchmarks" / "peers"
OURS = "xray-inference"


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with each image.

    Attributes:
        name: in results.
        told: over tables.
        short: in a sentence.
        model: folder of the bundle.
        graph: file in it.
        decode: one of ``peers.work.DECODERS``.
        settings: what our service has to be told for it.
    """

    name: str
    told: str
    short: str
    model: Path
    graph: str
    decode: Literal["contract", "full"]
    settings: dict[str, str] = field(default_factory=dict)


_MODELS = ROOT / "models" / "pneumonia"
DEFAULT = Work(
    "default", "What we serve: int8, scaled decoding", "as we serve it", _MODELS / "2", "model.int8.onnx", "contract"
)
SAME = Work(
    "same",
    "The network deep, fp32, scaled decoding",
    "deep",
    _MODELS / "1",
    "model.onnx",
    "contract",
    {"XRAY_PRECISION": "float32"},
)
ORDINARY = Work(
    "ordinary", "The network deep, fp32, full decoding", "deep, decoding in full", _MODELS / "1", "model.onnx", "full"
)
WORKS = {work.name: work for work in (DEFAULT, SAME, ORDINARY)}


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer is started.

    Attributes:
        title: its name as it writes it.
        arguments: of its Python; ``{port}`` stands for the port.
        environment: beside what all get. Nothing here reports its use to anybody.
    """

    title: str
    arguments: tuple[str, ...] = ("server.py",)
    environment: dict[str, str] = field(default_factory=dict)


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
}
NAMES = (OURS, *PEER_SERVERS)
TITLES = {OURS: OURS} | {name: peer.title for name, peer in PEER_SERVERS.items()}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that does one kind of work."""

    name: str
    work: Work

    def command(self, python: Path, port: int) -> list[str]:
        """What starts it, with the Python of its environment."""
        if self.name == OURS:
            return [str(python), "-m", "service", "serve", "--port", str(port), "--model", str(self.work.model)]
        return [str(python), *(part.format(port=port) for part in PEER_SERVERS[self.name].arguments)]

    @property
    def folder(self) -> Path:
        """Where it is started."""
        return ROOT if self.name == OURS else PEERS / self.name

    def environment(self, scratch: Path, port: int) -> dict[str, str]:
        """Its variables: ours without any setting of this machine, and temporary files in one place."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XRAY_")}
        kept |= {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
        if self.name == OURS:
            return kept | {"XRAY_DEVICE": "cpu", "XRAY_LOG_LEVEL": "warning"} | self.work.settings
        told = {
            "PEER_GRAPH": str(self.work.model / self.work.graph),
            "PEER_DECODE": self.work.decode,
            "PEER_CPUS": str(len(os.sched_getaffinity(0))),
            "PEER_PORT": str(port),
            "BENTOML_HOME": str(scratch / "bentoml"),
            "RAY_TMPDIR": str(scratch),
        }
        return kept | told | PEER_SERVERS[self.name].environment


def contenders(names: list[str], works: list[str]) -> list[Contender]:
    """All that are compared, in the order in which they take their turns: ours by default, ours and peers with the same
    work, peers as people ordinarily write them.
    """
    turns = [(OURS, DEFAULT), *((name, SAME) for name in NAMES), *((name, ORDINARY) for name in PEER_SERVERS)]
    return [Contender(name, work) for name, work in turns if name in names and work.name in works]


def python_of(name: str, environments: Path) -> Path:
    """The Python that a contender runs on: for ours, this one."""
    return Path(sys.executable) if name == OURS else environments / name / "bin" / "python"
