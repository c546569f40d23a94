"""Kinds of problems, and those that the command line knows too: what needs no web framework to be told."""

from dataclasses import dataclass

from service.wire import Problem


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its HTTP status, its name in the type URI, and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The type URI, relative."""
        return f"/problems/{self.slug}"


EMPTY_FILE = Kind(422, "empty-file", "An empty file")
BODY_TOO_LARGE = Kind(413, "body-too-large", "Too many bytes")
# Of the command line alone: the server opens no files, and asks nobody.
UNREADABLE_FILE = Kind(422, "unreadable-file", "The file cannot be opened")
NO_IMAGES = Kind(422, "no-images", "No image in the folder")
UNREACHABLE = Kind(503, "unreachable", "The service gave no answer")
COMMAND_LINE = (UNREADABLE_FILE, NO_IMAGES, UNREACHABLE)


def tell(kind: Kind, detail: str, request_id: str) -> Problem:
    """The problem object of this kind."""
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail, request_id=request_id)
