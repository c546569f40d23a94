"""The FastAPI application of a service: routes, middleware, exception handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from service import problems
from service.access.authentication import is_private
from service.access.credentials import KEY_HEADER
from service.core import Service
from service.http import explain, feedback, model, openapi, page_files, render, responses
from service.http.direct import DirectPredict
from service.http.documents import problems as problem_pages
from service.http.middleware.context import RequestContext
from service.http.middleware.cors import Cors
from service.http.middleware.prefix import Prefix
from service.http.middleware.site import SiteCheck
from service.http.routes import predict, router
from service.oip import inspection as oip_inspection
from service.oip import repository as oip_repository
from service.oip import routes as oip
from service.oip.request import HEADER_LENGTH
from service.oip.statistics import Statistics
from service.settings.network import listed
from service.wire import VERSION
from service.workers.overload import PacedCheck

_DESCRIPTION = """\
Analyses frontal chest radiographs for pneumonia. **Not a medical device: decision support and research only.**
Intended use, limits and measured performance of the model: `GET /model/card`.

Every error response is a problem object (RFC 9457, `application/problem+json`; below `/v2`: `application/json`).
Clients should branch on its `type`; each operation lists the types it can return. In addition, a path that is not
listed here returns 404 (`/problems/not-found`), an unsupported method 405 (`/problems/method-not-allowed`, with
`Allow`), and what is not a valid HTTP request, before it reaches any operation, 400 (`/problems/bad-request`), 408
(`/problems/header-timeout`) or 431 (`/problems/header-too-large`).
"""
_TAGS = [
    {"name": "Prediction", "description": "Analyse radiographs."},
    {"name": "Model", "description": "The served model and its model card."},
    {"name": "Health", "description": "Probes and metrics for administrators, orchestrators and monitoring."},
    {"name": oip.TAG, "description": 'The "v2" inference protocol of KServe and Triton, for their clients.'},
]
# The methods and headers that a page of another origin may send, and the response headers that it may read.
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["Authorization", "Content-Digest", "Content-Type", HEADER_LENGTH, KEY_HEADER, "X-Request-ID"],
    "expose_headers": [
        HEADER_LENGTH,
        "Retry-After",
        "Server-Timing",
        "X-Label",
        "X-Model",
        "X-Operating-Point",
        "X-Population",
        "X-Probability",
        "X-Request-ID",
        "X-Site",
        "X-Threshold",
        "X-Warnings",
    ],
}


def create_app(service: Service) -> FastAPI:
    """The FastAPI application of a service. Its lifespan starts and stops the service and its audit.

    The scripts of ``/docs`` come from the package fastapi-offline, so the page works without internet.

    Raises:
        SettingsError: the audit is required and cannot be written.
    """
    service.audit.open()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.audit.alive(service.main, VERSION), service.running():
            yield

    app: FastAPI = FastAPIOffline(
        title="xray-inference",
        description=_DESCRIPTION,
        version=VERSION,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        generate_unique_id_function=openapi.operation_id,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked for every request, and never wanted here
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service, app.state.oip_statistics = service, Statistics(service.metrics)
    routers = _routers()
    for each in routers:
        app.include_router(each)
    # The middleware added last is the outermost.
    if origins := listed(service.settings.cors_origins):
        app.add_middleware(Cors, allow_origins=origins, **_CORS)
    else:
        app.add_middleware(DirectPredict, route=_route(predict))
    # Early rejections, and the responses of DirectPredict, carry no CORS headers: with CORS, neither is used.
    check = None if origins else PacedCheck(service.admission.check)
    site = SiteCheck(listed(service.settings.allowed_hosts), origins, is_private=is_private(service.settings))
    prefix = Prefix(service.settings.root_path, service.proxies)
    app.add_middleware(RequestContext, metrics=service.metrics, site=site, prefix=prefix, check=check)
    responses.install(app)
    openapi.complete(app, routers, service.authenticator.anonymous_scopes)
    kinds = problems.kinds()
    service.metrics.initialise_requests(
        ("/predict", "/explain", "/render"), (kind.status for kind in kinds), (kind.type for kind in kinds)
    )
    return app


def _routers() -> list[APIRouter]:
    v2 = [oip_inspection.router, oip.router, oip_repository.router]
    ours = [router, explain.router, render.router, model.router, feedback.router]
    return [*ours, *v2, problem_pages.router, page_files.page_router()]


def _route(endpoint: object) -> APIRoute:
    return next(route for route in router.routes if isinstance(route, APIRoute) and route.endpoint is endpoint)
