"""Metrics and health, on a port of their own."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from node.storage.ledger import Ledger
from node.storage.records import ANSWERED, DEAD, DELIVERED, WAITING, Counts
from node.storage.spool import Spool

_REQUEST_S = 10.0
# Of C-STORE requests. They count from zero: of a counter that begins at one, Prometheus sees no increase.
_RECEIVED = ("accepted", "known", "no room", "too large", "wrong class", "unreadable")


class Metrics:
    """The counters of a node, and the registry that serves them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "xray_node_received", "C-STORE requests, by outcome.", ["outcome"], registry=self.registry
        )
        for outcome in _RECEIVED:
            self.received.labels(outcome)
        self.associations_rejected = Counter(
            "xray_node_associations_rejected", "Associations that were rejected.", registry=self.registry
        )
        self.analyses = Counter(
            "xray_node_analyses",
            "Attempts to have an object analysed, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.sent = Counter(
            "xray_node_sent",
            "Attempts to send a result, by destination and outcome.",
            ["destination", "outcome"],
            registry=self.registry,
        )


class SpoolCollector(Collector):
    """What is in the spool and the ledger, and what does not work, when the metrics are asked for.

    Args:
        ledger: of the node.
        spool: of the node.
        associations: returns how many are open.
        problems: returns what does not work now, each one line, as ``/health`` has it.
    """

    def __init__(
        self, ledger: Ledger, spool: Spool, associations: Callable[[], int], problems: Callable[[], list[str]]
    ) -> None:
        self._ledger, self._spool, self._associations, self._problems = ledger, spool, associations, problems

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        counts = self._ledger.counts()
        objects = GaugeMetricFamily("xray_node_objects", "Objects in the ledger, by state.", labels=["state"])
        for state in sorted({WAITING, ANSWERED, DEAD, *counts.objects}):
            objects.add_metric([state], counts.objects.get(state, 0))
        yield objects
        deliveries = GaugeMetricFamily(
            "xray_node_deliveries", "Results, by destination and state.", labels=["destination", "state"]
        )
        for (destination, state), count in sorted(counts.deliveries.items()):
            deliveries.add_metric([destination, state], count)
        yield deliveries
        yield GaugeMetricFamily(
            "xray_node_oldest_waiting_seconds", "Age of what has waited longest, object or result.", oldest_s(counts)
        )
        yield GaugeMetricFamily("xray_node_spool_bytes", "Bytes that the spool takes.", self._spool.bytes_used)
        yield GaugeMetricFamily("xray_node_associations", "Open associations.", self._associations())
        yield GaugeMetricFamily(
            "xray_node_problems", "What does not work now; /health says what.", len(self._problems())
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing: the ledger is not read for a registration."""
        return iter(())


def oldest_s(counts: Counts) -> float:
    """The age of what has waited longest, in seconds; 0: nothing waits."""
    return 0.0 if counts.oldest is None else max(0.0, time.time() - counts.oldest)


def health(ledger: Ledger, problems: list[str]) -> dict[str, object]:
    """The answer to ``GET /health``. ``problems``: what does not work now, each one line."""
    counts = ledger.counts()
    return {
        "status": "degraded" if problems else "ok",
        "problems": problems,
        "waiting": counts.objects.get(WAITING, 0),
        "dead": counts.objects.get(DEAD, 0) + _total(counts, DEAD),
        "undelivered": _total(counts, WAITING),
        "delivered": _total(counts, DELIVERED),
        "oldest_waiting_s": round(oldest_s(counts), 1),
    }


def serve(
    address: str, port: int, registry: CollectorRegistry, answer: Callable[[], dict[str, object]]
) -> ThreadingHTTPServer:
    """Serve ``/metrics`` and ``/health`` from a thread; ``server_address`` of what is returned has the port.

    ``/health`` is 200 while the node accepts objects, also while the service or a destination is down: an orchestrator
    that restarted it then would only lose time.

    Raises:
        OSError: the address cannot be used.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path in {"/health", "/health/live", "/health/ready"}:
                self._send(200, "application/json", json.dumps(answer()).encode())
            else:
                self._send(404, "text/plain", b"not found\n")

        def _send(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nothing: the default writes every request to stderr."""

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
    return server


def _total(counts: Counts, state: str) -> int:
    return sum(count for (_, found), count in counts.deliveries.items() if found == state)
