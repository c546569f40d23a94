"""The app: routes, errors and the outermost layer around a service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from service import problems
from service.core import Service
from service.http import explain, openapi, page_files
from service.http import responses as answers
from service.http.context import RequestContext
from service.http.direct import Direct
from service.http.routes import predict, router
from service.oip import repository as oip_repository
from service.oip import routes as oip
from service.oip.request import HEADER_LENGTH
from service.settings import listed

# Not asked of the installed package, since a clone and the image are not installed; a test holds it to pyproject.toml.
VERSION = "0.1.0"
_DESCRIPTION = """\
Reads frontal chest radiographs for pneumonia. **Not a medical device: decision support and research only.**
For whom the model is meant, for whom it is not, and how well it does: `GET /model/card`.

Whatever goes wrong, the answer is a problem object (RFC 9457, `application/problem+json`). Programs look at its `type`;
each call lists those it may have. Besides: a path that is not listed here answers 404 (`/problems/not-found`), a method
that is not 405 (`/problems/method-not-allowed`, with `Allow`).
"""
_TAGS = [
    {"name": "Reading", "description": "From radiographs to answers."},
    {"name": "Model", "description": "What answers, and what is known of it."},
    {"name": "Health", "description": "For those, and the programs, that keep the service running."},
    {"name": oip.TAG, "description": "KServe's and Triton's \"v2\", for their clients."},
]
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
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        generate_unique_id_function=openapi.operation_id,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    routers = (router, explain.router, oip.router, oip_repository.router, page_files.page_router())
    for part in routers:
        app.include_router(part)
    # The one added last is outermost.
    if origins := listed(service.settings.cors_origins):
        app.add_middleware(CORSMiddleware, allow_origins=origins, **_CORS)
    else:  # what these two answer has no headers for a page of another origin
        app.add_middleware(Direct, route=_route(predict))
    check = None if origins else service.admission.check
    hosts = listed(service.settings.allowed_hosts)
    app.add_middleware(RequestContext, metrics=service.metrics, hosts=hosts, check=check)
    answers.install(app)
    openapi.complete(app, routers, service.authenticator.anonymous_scopes)
    kinds = problems.kinds()
    service.metrics.expect_requests(
        ("/predict", "/explain"), (kind.status for kind in kinds), (kind.type for kind in kinds)
    )
    return app


def _route(call: object) -> APIRoute:
    return next(route for route in router.routes if isinstance(route, APIRoute) and route.endpoint is call)
