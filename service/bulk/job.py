"""What an engine is told of a run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.bulk.part import PartCounts


@dataclass(frozen=True, slots=True)
class Job:
    """A run whose plan is written.

    Attributes:
        where: folder or ``s3://bucket/prefix``.
        fields: the settings, for ``PartWorker``.
        parts: how many are missing.
        workers: most processes; None: as many as there are CPUs.
        address: of the cluster; None: this machine.
    """

    where: str
    fields: Mapping[str, Any]
    parts: int
    workers: int | None = None
    address: str | None = None


class Engine(Protocol):
    """Does parts, in any order and place."""

    def __call__(self, job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
        """Do these parts of a job; ``on_done`` is called in this thread after each.

        Raises:
            BundleError, DeviceError, SettingsError: a worker cannot do any part.
            StorageError: the storage fails or refuses, or the workers do not stay alive.
        """
