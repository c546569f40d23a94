"""Which sites may call: the names of this service, and, where it requires no key, the pages of other sites.

A service on this machine alone that requires no key is open to every program of the machine, and so, without this
check, to every page in its browser: a page of any site can send requests to localhost, and one whose name is made to
resolve to 127.0.0.1 (DNS rebinding) can read the answers.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import CrossSite, UnknownHost
from service.telemetry.metrics import HEALTH

_PORT = re.compile(r":\d*$")


class SiteCheck:
    """Checks the Host header, and the site for which a browser states that it sends the request.

    Args:
        hosts: accepted host names, without port; empty: any, or those of this machine if it is private.
        origins: origins of other sites whose pages may call.
        is_private: whether only this machine reaches the service, and without a key.
    """

    def __init__(self, hosts: Collection[str] = (), origins: Collection[str] = (), *, is_private: bool = False) -> None:
        self._hosts = {host.lower() for host in hosts}
        self._origins, self._is_private = set(origins), is_private

    def check(self, scope: Scope, headers: Headers) -> None:
        """Check one request. Health checks and OPTIONS may use any name.

        Raises:
            UnknownHost: the Host header names another service.
            CrossSite: the page of another site sent it.
        """
        if scope["path"].startswith(HEALTH) or scope["method"] == "OPTIONS":
            return
        host = headers.get("host", "").lower()
        name = _PORT.sub("", host)
        if self._hosts and name not in self._hosts:
            raise UnknownHost("the Host header does not name this service (see XRAY_ALLOWED_HOSTS)")
        if self._is_private:
            if not self._hosts and not _is_local(name):
                raise UnknownHost(
                    "this service requires no key, so it answers only to names of its own machine; set "
                    "XRAY_ALLOWED_HOSTS to accept others"
                )
            self._check_site(scope["method"], host, headers)

    def _check_site(self, method: str, host: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin in self._origins:
            return
        site = headers.get("sec-fetch-site")
        if site is None:  # no browser, an old one, or a page over plain HTTP
            is_foreign = origin is not None and urlsplit(origin).netloc.lower() != host
        else:
            is_foreign = site not in {"same-origin", "none"}
        # A link to the page is followed: what it loads is for the person who clicks, and no script sees it.
        is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if is_foreign and not (is_link and headers.get("sec-fetch-dest") == "document"):
            raise CrossSite("the page of another site sent this request; XRAY_CORS_ORIGINS names sites that may")


def _is_local(name: str) -> bool:
    """Whether no foreign domain can have this name: an address, or a name without a dot."""
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
