"""``POST /feedback``: what became known of an image after its analysis, kept in the audit log."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from contract.io.messages import first_error
from service.access.authentication import Caller, require_scope
from service.audit.line import ImageRead
from service.audit.search import find_images
from service.core import Service
from service.errors import AuditUnavailable, Forbidden, InvalidFeedback, InvalidParameter, UnknownRequest, raises
from service.http.openapi import CONTENT_DIGEST
from service.http.routes import ServiceDep, allow_only
from service.http.uploads import BODY_PROBLEMS, read_body
from service.wire import FeedbackRecorded, FeedbackRequest

router = APIRouter()
# Seconds before the audit log is searched again: a worker usually writes its queued lines within milliseconds.
_PAUSES_S = (0.1, 0.4)
_BODY = {
    "parameters": [CONTENT_DIGEST],
    "requestBody": {"required": True, "content": {"application/json": {"schema": FeedbackRequest.model_json_schema()}}},
}


@router.post("/feedback", tags=["Prediction"], summary="Report the truth about an image", openapi_extra=_BODY)
@raises(AuditUnavailable, Forbidden, InvalidFeedback, InvalidParameter, TimeoutError, UnknownRequest, *BODY_PROBLEMS)
async def feedback(
    request: Request, service: ServiceDep, _caller: Annotated[Caller, Depends(require_scope("feedback"))]
) -> FeedbackRecorded:
    """The later truth about an image that the service has analysed, from another reader or the clinical course. It is
    kept in the audit log, from which `python -m service validate --from-audit` computes sensitivity and specificity.
    Of several reports about an image the last one counts. Available only while the service keeps an audit log.
    """
    allow_only(request)
    if service.settings.audit == "off":
        raise Forbidden("feedback is kept in the audit log, and XRAY_AUDIT is off")
    truth = _parse(await read_body(request, service.settings))
    async with asyncio.timeout(service.settings.deadline_s):
        await service.audit.settle()  # an answer does not wait for its line, unless XRAY_AUDIT is required
        image = _only(await _find(service, truth.request_id), truth)
    recorded_at = await service.audit.record_feedback(request, image, truth)
    return FeedbackRecorded(
        request_id=truth.request_id,
        image=image.image,
        image_sha256=image.image_sha256,
        label=truth.label,
        recorded_at=recorded_at,
    )


def _parse(body: bytes) -> FeedbackRequest:
    try:
        return FeedbackRequest.model_validate_json(body)
    except ValidationError as error:
        where, what = first_error(error)
        if where not in FeedbackRequest.model_fields:  # the name of an unknown member is content of the request
            where, what = "the body", what if not where else "it has an unknown member"
        raise InvalidFeedback(f"{where}: {what}") from None


async def _find(service: Service, request_id: str) -> list[ImageRead]:
    """The lines of a request. The answer may have come from another worker, whose line may still be on its way."""
    settings = service.settings
    pauses_s = _PAUSES_S if settings.workers > 1 and settings.audit != "required" else ()
    found = await _search(service, request_id)
    for pause_s in pauses_s:
        if found:
            break
        await asyncio.sleep(pause_s)
        found = await _search(service, request_id)
    return found


async def _search(service: Service, request_id: str) -> list[ImageRead]:
    folder = service.settings.audit_folder
    if folder is None:
        raise AuditUnavailable
    try:
        return await asyncio.get_running_loop().run_in_executor(service.searcher, find_images, folder, request_id)
    except OSError:
        raise AuditUnavailable from None


def _only(images: Sequence[ImageRead], truth: FeedbackRequest) -> ImageRead:
    """The one image that the feedback is about.

    Raises:
        UnknownRequest: there is no image of this request.
        InvalidFeedback: it could be about several images, or is about none that got an answer.
    """
    if not images:
        raise UnknownRequest("the audit log has no image of this request id")
    wanted = [
        each for each in images if truth.image in (None, each.image) and truth.image_sha256 in (None, each.image_sha256)
    ]
    answered = [each for each in wanted if each.problem is None]
    if len({each.image_sha256 for each in answered}) > 1:
        raise InvalidFeedback(
            "several images were analysed under this request id: name one by its number, image, or its digest, "
            "image_sha256"
        )
    if not answered:
        reason = (
            "that image got no answer" if wanted else f"the request has {len(images)} image(s), none of them this one"
        )
        raise InvalidFeedback(reason)
    return answered[0]
