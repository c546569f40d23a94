"""The responses of the edge itself: problems (RFC 9457) with a request id, counted and logged like all others."""

import uuid
from http import HTTPStatus

from service.errors import ServiceError
from service.problems import HEADERS, PROBLEM_JSON, RETRY_AFTER_S, problem
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord

_FIELDS = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in HEADERS)
_HEAD = (
    "HTTP/1.1 {status} {phrase}\r\n"
    f"content-type: {PROBLEM_JSON}\r\n"
    "content-length: {length}\r\n"
    f"{_FIELDS}"
    "x-request-id: {request_id}\r\n"
    "{more}\r\n"
)
_RETRY, _CLOSE = f"retry-after: {RETRY_AFTER_S}\r\n", "connection: close\r\n"


def rejection(
    error: ServiceError, metrics: Metrics, record: RequestRecord | None = None, *, closes: bool = True
) -> bytes:
    """The whole response to a request that is not passed to the application. Counts and logs the request.

    Args:
        error: why.
        metrics: count it.
        record: what is known of it; None if it has no valid header.
        closes: whether the connection is closed after the response.
    """
    record = record or RequestRecord(uuid.uuid4().hex)
    sent = problem(error, record.request_id)
    record.status, record.outcome = sent.status, sent.type.rpartition("/")[2]
    record.emit(metrics)
    body = sent.model_dump_json().encode()
    head = _HEAD.format(
        status=sent.status,
        phrase=HTTPStatus(sent.status).phrase,
        length=len(body),
        request_id=record.request_id,
        more=(_RETRY if sent.status == HTTPStatus.SERVICE_UNAVAILABLE else "") + (_CLOSE if closes else ""),
    )
    return head.encode() + body


def note_gone(metrics: Metrics) -> None:
    """Count and log a client that disconnected before its request was complete."""
    RequestRecord(uuid.uuid4().hex, outcome="client-gone").emit(metrics)
