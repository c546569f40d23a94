"""Spaces events out in time, whichever clients cause them: pipelined requests, and rejections under overload."""


class Pacer:
    """Schedules events at least ``interval_s`` apart: the generic cell rate algorithm, as virtual scheduling (ITU-T
    I.371). Not thread-safe.

    Args:
        interval_s: seconds between two events, over 0.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s, self._free_at = interval_s, float("-inf")

    def backlog_s(self, now: float) -> float:
        """Seconds for which an event that is scheduled now would have to wait, 0 or more.

        Args:
            now: on a monotonic clock, in seconds; always the same one.
        """
        return max(0.0, self._free_at - now)

    def schedule(self, now: float) -> float:
        """Schedule one more event. Returns the seconds until it is due, 0 or more; ``now`` as for ``backlog_s``."""
        due = max(now, self._free_at)
        self._free_at = due + self._interval_s
        return due - now
