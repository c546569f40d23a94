"""What a service at its capacity does with requests that send images: reject them early, and at a bounded rate.

    the edge, at the end of the header -> the first middleware, if the edge has not -> the endpoint

Each asks ``service.inference.admission``. What the edge lets through, because its rate is used up, the middleware
rejects later.
"""

import asyncio
import time
from collections.abc import Callable

from service.core import Service
from service.edge.pacing import Pacer
from service.edge.shared import Overload
from service.errors import ServiceError
from service.http.middleware.context import IMAGE_ROUTES
from service.settings.network import listed

# Seconds between two rejections. Each takes half a millisecond of the event loop and of the GIL, which the compute
# threads need as well.
_REJECTION_INTERVAL_S = 0.002


class PacedCheck:
    """An admission check that rejects at a bounded rate, so that many clients retrying at once do not starve the
    requests in flight. A rejection that had to be delayed is checked again when it is due; the request may be admitted
    then.

    Args:
        check: raises if no image can be admitted now.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check, self._rejections = check, Pacer(_REJECTION_INTERVAL_S)

    async def __call__(self) -> None:
        """Check once, or twice if the rejection had to be delayed.

        Raises:
            NotReady, Overloaded: as ``Admission.check``.
        """
        try:
            self._check()
        except ServiceError:
            wait_s = self._rejections.schedule(time.monotonic())
            if wait_s == 0:
                raise
            await asyncio.sleep(wait_s)
            self._check()


def overload_of(service: Service) -> Overload:
    """What the edge asks before it receives the body of a request: whether its image could be admitted now.

    With CORS it is never asked, since its rejections carry no CORS headers.
    """
    prefix = service.settings.root_path
    # A proxy may remove the prefix or not.
    routes = {f"{before}{route}": route for before in ("", prefix) for route in IMAGE_ROUTES}

    def overload(path: str) -> tuple[str, ServiceError] | None:
        error = service.admission.overload()
        return (routes[path], error) if error and path in routes else None

    return (lambda _: None) if listed(service.settings.cors_origins) else overload
