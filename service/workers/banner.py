"""What a terminal shows once the service accepts connections."""

import socket

from service.core import Service
from service.wire import VERSION


def banner(service: Service, listener: socket.socket) -> str:
    """What is served, and the address to open; three lines.

    Args:
        service: the running service.
        listener: a socket that it listens on.
    """
    settings, model = service.settings, service.main
    scheme = "https" if settings.tls_certificate else "http"
    address = f"{scheme}://{_host(settings.host)}:{listener.getsockname()[1]}{settings.root_path}"
    return (
        f"\nxray-inference {VERSION}: {model.name} {model.version} on {model.backend.provider}, operating point "
        f"{model.default_point.name}. Not a medical device.\n"
        f"Open {address}/ in a browser; the API is described at {address}/docs. Ctrl-C stops the service.\n\n"
    )


def _host(host: str) -> str:
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  nothing is bound here
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
