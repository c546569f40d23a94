"""The peers of a node, in this process: a service, a PACS, a modality. Their ports are free ones."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.config import COMPREHENSIVE_3D_SR, CR_IMAGE, SECONDARY_CAPTURE
from tests.node.objects import content, result
from tests.waiting import DEADLINE_S


class FakeService:
    """Answers ``/predict`` and ``/explain`` as the service does for DICOM; with ``tls`` over HTTPS.

    ``failures``: answers to give first, as status, slug of the problem, and headers. ``calls``: path and SOP Instance
    UID of each request that was answered with a result.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.failures: list[tuple[int, str, dict[str, str]]] = []
        self.calls: list[tuple[str, str]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.requests.append((self.path, dict(self.headers.items())))
                status, headers, sent = fake._answer(self.path.split("?")[0], body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        if self._tls:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go down."""
        assert self._server
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.failures:
            status, slug, headers = self.failures.pop(0)
            problem = {"type": f"/problems/{slug}", "title": "A title", "status": status, "detail": "a detail"}
            return status, headers, json.dumps(problem | {"request_id": "r"}).encode()
        image = dcmread(BytesIO(body), stop_before_pixels=True)
        uid = str(image.SOPInstanceUID)
        self.calls.append((path, uid))
        sent = content(result(uid, "sr" if path == "/predict" else "heatmap", image.StudyInstanceUID))
        return 200, {"Content-Type": "application/dicom"}, sent


class FakePacs:
    """Takes results by C-STORE. ``stored``: how often each SOP Instance UID came. ``statuses``: to answer first.
    ``aborts``: SOP Instance UIDs over which it aborts the association.
    """

    def __init__(
        self,
        classes: Iterable[str] = (COMPREHENSIVE_3D_SR, SECONDARY_CAPTURE),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.stored: Counter[str] = Counter()
        self.statuses: list[int] = []
        self.aborts: set[str] = set()
        self.callers: set[str] = set()
        self._entity, self._tls = AE("PACS"), tls
        self._entity.maximum_associations = 100
        for sop_class in classes:
            self._entity.add_supported_context(sop_class)
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        server = self._entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            ssl_context=self._tls,
            evt_handlers=[(evt.EVT_C_STORE, self._store)],
        )
        assert server
        self.port = server.server_address[1]

    def stop(self) -> None:
        """Go down."""
        for each in self._entity.active_associations:
            if each.is_rejected:  # pynetdicom cannot abort what is ending already
                each.join(DEADLINE_S)
        self._entity.shutdown()

    def require_called(self, ae_title: str) -> None:
        """Reject associations with another called AE title."""
        self._entity.require_called_aet = True
        self.stop()
        self._entity.ae_title = ae_title
        self.start()

    def _store(self, event: Event) -> int:
        if cast(Any, event.request).AffectedSOPInstanceUID in self.aborts:
            event.assoc.abort()
        status = self.statuses.pop(0) if self.statuses else 0
        self.callers.add(str(event.assoc.requestor.ae_title))
        if status == 0:
            request: Any = event.request
            self.stored[str(request.AffectedSOPInstanceUID)] += 1
        return status


@contextmanager
def association(port: int, called: str = "XRAYNODE", calling: str = "MODALITY", **options: Any) -> Iterator[Any]:
    """An association of a modality with a node; established, or not."""
    entity = AE(calling)
    for sop_class in (CR_IMAGE, SECONDARY_CAPTURE, COMPREHENSIVE_3D_SR, "1.2.840.10008.1.1"):
        entity.add_requested_context(sop_class, options.get("syntaxes"))
    made = entity.associate("127.0.0.1", port, ae_title=called, tls_args=options.get("tls_args"))
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def send(port: int, *datasets: Dataset, **options: Any) -> list[int | None]:
    """Send objects to a node over one association. Returns the statuses; None: no answer."""
    with association(port, **options) as made:
        assert made.is_established
        return [_send(made, dataset) for dataset in datasets]


def _send(association: Any, dataset: Dataset) -> int | None:
    try:
        response = association.send_c_store(dataset)
    except RuntimeError:  # the association was lost
        return None
    return int(response.Status) if "Status" in response else None


def accepted_syntax(association: Any) -> UID:
    """The transfer syntax of the first accepted presentation context."""
    return UID(association.accepted_contexts[0].transfer_syntax[0])
