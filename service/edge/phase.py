"""The phases of a connection, each of which has its own deadline."""

import enum


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()  # no byte of the next request is there
    HEAD = enum.auto()  # the header arrives
    BODY = enum.auto()  # a body arrives that is short enough to wait for before the application is told
    ANSWERING = enum.auto()  # the application has the request, or a part of it
    DISCARDING = enum.auto()  # it has answered, and the rest of the body is read past
    LINGERING = enum.auto()  # the same, and the connection ends then
    CLOSING = enum.auto()  # what was sent goes out
