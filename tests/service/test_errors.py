"""Every refusal has a row in the table, and says nothing that it should not."""

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
def test_the_service_s_own_errors_tell_nothing(error: Exception) -> None:
    told = problems.problem(error, "id")
    assert told.status == 500
    assert "secret" not in told.detail
    assert "passwd" not in told.detail
