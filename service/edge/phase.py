"""The phases of a connection, each of which has its own deadline."""

import enum


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()  # waiting for the first byte of a request
    HEAD = enum.auto()  # the header is arriving
    BODY = enum.auto()  # a short body is arriving; the application is called when it is complete
    ANSWERING = enum.auto()  # the application is handling the request
    DISCARDING = enum.auto()  # answered; the rest of the body is read and discarded
    LINGERING = enum.auto()  # the same, and then the connection is closed
    CLOSING = enum.auto()  # closed for input; buffered bytes are being sent
