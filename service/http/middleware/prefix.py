"""The path prefix under which a proxy publishes the service, such as ``/xray``."""

from starlette.datastructures import Headers
from starlette.types import Scope

from service.access.proxies import TrustedProxies
from service.settings.network import PREFIX

_HEADER = "x-forwarded-prefix"
# Only these get ASGI's ``root_path``: mounted applications would look for it in the path, where it no longer is.
_ABSOLUTE_LINKS = {"/docs", "/openapi.json"}


class Prefix:
    """Applies the prefix to ASGI scopes, whether the proxy removes it from paths or not.

    Args:
        root_path: the prefix; empty: none.
        proxies: those that may name another in ``X-Forwarded-Prefix``.
    """

    def __init__(self, root_path: str, proxies: TrustedProxies) -> None:
        self._root_path, self._proxies = root_path.rstrip("/"), proxies

    def apply(self, scope: Scope, headers: Headers) -> str | None:
        """Remove the prefix from the path, and have the documentation link to addresses under it.

        Returns:
            The address to redirect to, if the path is the prefix alone: relative links of the page need its slash.
        """
        prefix = self._root_path
        sent = headers.get(_HEADER)
        if sent and PREFIX.fullmatch(sent.rstrip("/")) and self._proxies.trusts(scope["client"]):
            prefix = sent.rstrip("/")
        if not prefix:
            return None
        path = scope["path"]
        if path == prefix:
            return f"{prefix}/"
        if path.startswith(f"{prefix}/"):
            scope["path"] = path[len(prefix) :]
            scope["raw_path"] = scope["raw_path"].removeprefix(prefix.encode())
        if scope["path"] in _ABSOLUTE_LINKS:
            scope["root_path"] = prefix
        return None
