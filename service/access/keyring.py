"""The keys in force: a file's, read again when it changes, so that a key comes and goes without a restart."""

import logging
import math
import time
from pathlib import Path

from service.access.keys import Key, KeyFile, KeyFileError, read_keys
from service.access.watch import Clock, Watched
from service.errors import QuotaExceeded

# A revoked key is refused after this at the latest; to look at a file ten times a second would tell nobody more.
LOOK_EVERY_S = 1.0
_MINUTE_S = 60.0
# Of an image: what a difference of two clock readings may lose, for who comes back on the second it was told.
_ROUNDING = 1e-7

log = logging.getLogger(__name__)


class KeyRing:
    """The keys of a file, and how much of their quota is used.

    A file that turns unreadable or wrong does not lock everybody out: the keys read last stay in force, and the log
    says so. (An empty list of keys is not wrong, and lets nobody in.)

    Args:
        path: of the file.
        clock: seconds that only go up.

    Raises:
        KeyFileError: it cannot be used now.
    """

    def __init__(self, path: Path, clock: Clock = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._watched = Watched(path, every_s=LOOK_EVERY_S, clock=clock)
        self._keys: KeyFile = read_keys(path)
        self._quotas: dict[str, Quota] = {}

    def find(self, text: str) -> Key | None:
        """The key in force that this text is, if it is one."""
        if self._watched.changed():
            self._read_again()
        return self._keys.find(text)

    def quota(self, key: Key) -> "Quota | None":
        """What a key has left, if it has a quota. A change of its rate starts it anew."""
        if key.images_per_minute is None:
            return None
        quota = self._quotas.get(key.id)
        if quota is None or quota.per_minute != key.images_per_minute:
            quota = self._quotas[key.id] = Quota(key.images_per_minute, self._clock)
        return quota

    def _read_again(self) -> None:
        try:
            self._keys = read_keys(self._path)
        except KeyFileError as error:
            log.error("the keys cannot be read: those read last stay in force", extra={"reason": str(error)})
            return
        ids = {key.id for key in self._keys.keys}
        self._quotas = {ident: quota for ident, quota in self._quotas.items() if ident in ids}
        log.info("the keys were read again", extra={"keys": len(ids)})


class Quota:
    """A token bucket: a minute's images at once at most, and then as they come back, evenly.

    Args:
        per_minute: images.
        clock: seconds that only go up.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left, self._at = float(per_minute), clock()

    def take_one(self) -> None:
        """Take one image.

        Raises:
            QuotaExceeded: none is left; it tells after how many seconds there is.
        """
        self._refill()
        if self._left < 1 - _ROUNDING:
            wait_s = math.ceil((1 - self._left) * _MINUTE_S / self.per_minute)
            raise QuotaExceeded(f"this key may send {self.per_minute} images a minute", retry_after_s=wait_s)
        self._left -= 1

    def take_more(self, count: int) -> None:
        """Take what turned out to come with the one: perhaps more than is left, and then later requests wait for it."""
        self._left -= count

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / _MINUTE_S)
        self._at = now
