"""The API keys in force: the key file is reloaded when it changes, so that keys change without a restart."""

import logging
import math
import time
from pathlib import Path

from service.access.keys import Key, KeyFile, KeyFileError, read_keys
from service.access.watch import Clock, Reloaded, WatchedFiles
from service.errors import QuotaExceeded

# Seconds between two checks of the key file: the longest time for which a revoked key is still accepted.
CHECK_INTERVAL_S = 1.0
_MINUTE_S = 60.0
# Images. The difference of two clock readings may lose this much to rounding. Without it, a client that retries
# exactly after ``Retry-After`` could be rejected once more.
_ROUNDING = 1e-7

log = logging.getLogger(__name__)


class KeyRing:
    """The keys of a key file, and the quotas of these keys.

    If the file becomes unreadable or invalid, the keys that were loaded last stay in force, and the log reports it, so
    that a slip in editing does not lock out all clients. (An empty list of keys is valid: it rejects every key.)

    Args:
        path: the key file.
        clock: monotonic clock, in seconds.

    Raises:
        KeyFileError: the file cannot be used now.
    """

    def __init__(self, path: Path, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._keys = Reloaded(
            WatchedFiles(path, interval_s=CHECK_INTERVAL_S, clock=clock),
            lambda: read_keys(path),
            faults=KeyFileError,
            on_reload=self._reloaded,
            on_fault=_report,
        )

    def find(self, text: str) -> Key | None:
        """The key in force with this text; None if there is none."""
        return self._keys.current().find(text)

    def quota(self, key: Key) -> "Quota | None":
        """The quota of a key; None if it has none. If its rate was changed, the quota starts full again."""
        if key.images_per_minute is None:
            return None
        quota = self._quotas.get(key.id)
        if quota is None or quota.per_minute != key.images_per_minute:
            quota = self._quotas[key.id] = Quota(key.images_per_minute, self._clock)
        return quota

    def _reloaded(self, keys: KeyFile) -> None:
        ids = {key.id for key in keys.keys}
        self._quotas = {key_id: quota for key_id, quota in self._quotas.items() if key_id in ids}
        log.info("API keys reloaded", extra={"keys": len(ids)})


def _report(reason: str) -> None:
    log.error("cannot reload the API keys: the keys loaded last stay in force", extra={"reason": reason})


class Quota:
    """A token bucket that holds one minute's allowance of images and refills at a constant rate.

    Args:
        per_minute: images per minute.
        clock: monotonic clock, in seconds.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left, self._refilled_at = float(per_minute), clock()

    def take_one(self) -> None:
        """Take one image.

        Raises:
            QuotaExceeded: no image is left; it gives the seconds until one is.
        """
        self._refill()
        if self._left < 1 - _ROUNDING:
            wait_s = math.ceil((1 - self._left) * _MINUTE_S / self.per_minute)
            raise QuotaExceeded(f"this key may submit {self.per_minute} images per minute", retry_after_s=wait_s)
        self._left -= 1

    def take_more(self, count: int) -> None:
        """Take ``count`` further images of a request that was accepted. The bucket may go below zero: later requests
        are then rejected until it is refilled.
        """
        self._left -= count

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self.per_minute, self._left + (now - self._refilled_at) * self.per_minute / _MINUTE_S)
        self._refilled_at = now
