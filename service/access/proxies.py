"""The proxies whose forwarded headers are trusted: any other client could put anything into them."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

USER_HEADER = "x-forwarded-user"
_MAX_USER = 256


class TrustedProxies:
    """Recognises the addresses of trusted proxies.

    Args:
        networks: addresses, or networks in CIDR notation.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(each) for each in networks]
        self._is_within = lru_cache(1024)(self._look_up)

    def trusts(self, client: tuple[str, int] | None) -> bool:
        """Whether the client at this address, as the ASGI scope has it, is a trusted proxy."""
        return bool(self._networks) and client is not None and self._is_within(client[0])

    def _look_up(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:  # a Unix socket has no address
            return False
        return any(found in network for network in self._networks)


def printable_user(sent: str) -> str:
    """A user name as it may be recorded: what is not printable ASCII is percent-encoded, and its length is limited."""
    return quote(sent.encode("latin-1"), safe="@\\+ !#$&'()*,;=/:")[:_MAX_USER]
