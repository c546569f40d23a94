"""The app: routes, errors and the outermost layer around a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from service import errors, explain, oip, oip_repository, page_files
from service.context import RequestContext
from service.core import Service
from service.oip_request import HEADER_LENGTH
from service.routes import router
from service.settings import listed

# Not asked of the installed package, since a clone and the image are not installed; a test holds it to pyproject.toml.
VERSION = "0.1.0"
_DESCRIPTION = """\
Reads frontal chest radiographs for pneumonia. **Not a medical device: decision support and research only.**
For whom the model is meant, for whom it is not, and how well it does: `GET /model/card`.
"""
# What a page of another origin may send, and see of an answer besides its body.
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["Authorization", "Content-Digest", "Content-Type", HEADER_LENGTH, "X-Request-ID"],
    "expose_headers": [
        HEADER_LENGTH,
        "Retry-After",
        "Server-Timing",
        "X-Label",
        "X-Model",
        "X-Operating-Point",
        "X-Probability",
        "X-Request-ID",
        "X-Threshold",
        "X-Warnings",
    ],
}


def create_app(service: Service) -> FastAPI:
    """The app of a service. Its lifespan is the service's life, and the audit's.

    ``/docs`` takes its scripts from the package fastapi-offline: it works without internet.

    Raises:
        SettingsError: the audit is required and cannot be written.
    """
    service.audit.open()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.audit.alive(service.main, VERSION), service.alive():
            yield

    app: FastAPI = FastAPIOffline(
        title="xray-inference",
        description=_DESCRIPTION,
        version=VERSION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for part in (router, explain.router, oip.router, oip_repository.router, page_files.page_router()):
        app.include_router(part)
    # The one added last is outermost.
    if origins := listed(service.settings.cors_origins):
        app.add_middleware(CORSMiddleware, allow_origins=origins, **_CORS)
    app.add_middleware(RequestContext, metrics=service.metrics, hosts=listed(service.settings.allowed_hosts))
    errors.install(app)
    kinds = errors.kinds()
    service.metrics.expect_requests(
        ("/predict", "/explain"), (kind.status for kind in kinds), (kind.type for kind in kinds)
    )
    return app
