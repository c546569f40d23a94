"""The responses of the edge itself: problems (RFC 9457) with a request id, counted and logged like all others."""

import uuid
from http import HTTPStatus

from service.errors import ServiceError
from service.problems import problem
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord

_HEAD = (
    "HTTP/1.1 {status} {phrase}\r\n"
    "content-type: application/problem+json\r\n"
    "content-length: {length}\r\n"
    "cache-control: no-store\r\n"
    "x-content-type-options: nosniff\r\n"
    "x-request-id: {request_id}\r\n"
    "connection: close\r\n\r\n"
)


def refusal(error: ServiceError, metrics: Metrics) -> bytes:
    """The whole response to an invalid or overdue request; the connection is closed after it."""
    record = RequestRecord(uuid.uuid4().hex)
    sent = problem(error, record.request_id)
    record.status, record.outcome = sent.status, sent.type.rpartition("/")[2]
    record.emit(metrics)
    body = sent.model_dump_json().encode()
    head = _HEAD.format(
        status=sent.status, phrase=HTTPStatus(sent.status).phrase, length=len(body), request_id=record.request_id
    )
    return head.encode() + body


def note_gone(metrics: Metrics) -> None:
    """Count and log a client that disconnected before its request was complete."""
    RequestRecord(uuid.uuid4().hex, outcome="client-gone").emit(metrics)
