"""Every exception has a row in the table, and internal errors reveal nothing."""

import pytest

from contract import errors as image
from service import errors, problems


def subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind_ for direct in kind.__subclasses__() for kind_ in (direct, *subclasses(direct))]


@pytest.mark.parametrize("kind", [*subclasses(image.ImageRefused), *subclasses(errors.ServiceError)])
def test_every_error_has_a_row(kind: type[Exception]) -> None:
    assert kind in problems.TABLE


def test_slugs_mean_one_thing() -> None:
    titles = {
        kind.slug: {other.title for other in problems.TABLE.values() if other.slug == kind.slug}
        for kind in problems.TABLE.values()
    }
    assert all(len(found) == 1 for found in titles.values())


@pytest.mark.parametrize("error", [ValueError("/etc/passwd"), RuntimeError("secret"), MemoryError()])
def test_internal_errors_reveal_nothing(error: Exception) -> None:
    problem = problems.problem(error, "id")
    assert problem.status == 500
    assert "secret" not in problem.detail
    assert "passwd" not in problem.detail
