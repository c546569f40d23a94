"""The fields of the audit log's lines, from what the service knows."""

from typing import Any, Protocol

from fastapi import Request

from contract.bundle import Bundle
from service.inference.backend import Backend
from service.inference.points import Point
from service.wire import Prediction


class ServedModel(Protocol):
    """A model in service."""

    @property
    def bundle(self) -> Bundle:
        """Its verified bundle."""

    @property
    def backend(self) -> Backend:
        """The loaded model."""


def model_fields(served: ServedModel) -> dict[str, str]:
    """The model that analyses the images, down to the bytes of its graph."""
    manifest, graph = served.bundle.manifest, served.backend.graph
    return {
        "model": manifest.name,
        "version": manifest.version,
        "graph": graph,
        "graph_sha256": manifest.files[graph],
        "provider": served.backend.provider,
    }


def caller_fields(request: Request) -> dict[str, Any]:
    """The caller of a request, and the ids of the request."""
    record = request.state.record
    return {
        "caller": record.caller,
        "user": record.user,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
    }


def analysis_fields(request: Request, served: ServedModel, point: Point) -> dict[str, Any]:
    """How the images of a request are analysed."""
    return {
        "route": request.scope["route"].path,
        "operating_point": point.name,
        "population": point.population,
        "threshold": point.threshold,
        **model_fields(served),
    }


def answer_fields(prediction: Prediction | None) -> dict[str, Any]:
    """The answer for one image; None: the request only drew a picture of it."""
    if prediction is None:
        return {}
    if prediction.error:
        return {"problem": prediction.error.type.rpartition("/")[2]}
    return {
        "label": prediction.label,
        "probability": prediction.probability,
        "guard_score": prediction.guard_score,
        "population": prediction.population,
        "threshold": prediction.threshold,
        "warnings": tuple(warning.code for warning in prediction.warnings),
    }
