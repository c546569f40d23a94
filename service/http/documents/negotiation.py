"""Content negotiation by the Accept header of a request."""

import re

_WEIGHT = re.compile(r"q=([01](?:\.\d{0,3})?)")


def qualities(accept: str) -> dict[str, float]:
    """The media ranges of an Accept header, in lower case, with their quality: over 0, at most 1 (RFC 9110).

    Ranges with the quality 0 are left out, since they are not accepted.
    """
    found = {}
    for entry in accept.lower().replace(" ", "").split(","):
        media, *parameters = entry.split(";")
        weights = [float(match[1]) for each in parameters if (match := _WEIGHT.fullmatch(each))]
        if quality := min(weights[0] if weights else 1.0, 1.0):
            found[media] = quality
    return found


def prefers(accept: str, media: str, *, over: str) -> bool:
    """Whether a media type is accepted by its name, with at least the quality of the other one."""
    accepted = qualities(accept)
    return accepted.get(media, 0) > 0 and accepted[media] >= accepted.get(over, 0)
