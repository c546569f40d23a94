"""Kinds of problems, and how one is told: what needs no web framework."""

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


def tell(kind: Kind, detail: str, request_id: str) -> Problem:
    """The problem object of this kind."""
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail, request_id=request_id)
