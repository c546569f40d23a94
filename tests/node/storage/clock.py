"""A clock that tests set."""

from node.storage.clock import Reading


class Clock:
    """``now`` is what tests set. Time passes (``running``) as it is told."""

    def __init__(self) -> None:
        self.now, self.running, self.boot = 1e9, 0.0, "first"

    def __call__(self) -> Reading:
        return Reading(self.now, self.running, self.boot)

    def passes(self, seconds: float) -> None:
        """The machine runs for so long."""
        self.now, self.running = self.now + seconds, self.running + seconds

    def restart(self, off_s: float) -> None:
        """The machine is off for so long, by its clock."""
        self.now, self.running, self.boot = self.now + off_s, 1.0, "second"
