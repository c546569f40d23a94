"""Where a request carries its API key: clients differ in what they can send."""

import base64
import binascii

from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

KEY_HEADER = "X-API-Key"
# For the OpenAPI document: the ways beside the one that FastAPI knows of.
OTHER_SCHEMES = {
    "keyHeader": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    "keyPassword": {"type": "http", "scheme": "basic", "description": "The key as the password, with any user name."},
}


class ApiKeyHeaders(HTTPBearer):
    """A FastAPI dependency that finds the API key of a request.

    In this order: ``Authorization: Bearer KEY``, ``X-API-Key: KEY``, and the password of Basic authentication, with any
    user name, for tools that know nothing else (Orthanc's HTTP client, tritonclient's BasicAuth).
    """

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        """The key, or None if there is none."""
        scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
        sent = sent.strip()
        if scheme.lower() == "bearer" and sent:
            return HTTPAuthorizationCredentials(scheme=scheme, credentials=sent)
        if key := request.headers.get(KEY_HEADER):
            return HTTPAuthorizationCredentials(scheme=KEY_HEADER, credentials=key)
        password = _password(sent) if scheme.lower() == "basic" else None
        return HTTPAuthorizationCredentials(scheme=scheme, credentials=password) if password else None


def _password(sent: str) -> str | None:
    """The password of Basic credentials (RFC 7617); None if they are malformed."""
    try:
        return base64.b64decode(sent, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
