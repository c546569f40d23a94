"""How a destination responded to a result: stored, failed for now, or refused for good."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.storage.records import Delivery


class Verdict(Enum):
    """STORED: acknowledged. LATER: try again. NEVER: refused for good."""

    STORED = "stored"
    LATER = "later"
    NEVER = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``reason``: one line without anything of a patient; empty if stored."""

    verdict: Verdict
    reason: str = ""


STORED = Outcome(Verdict.STORED)
DAMAGED = Outcome(Verdict.NEVER, "the result is damaged in the spool")


class Unavailable(Exception):
    """A destination cannot be reached now, with any result. The message is one line with the reason."""


class Interrupted(Unavailable):
    """A destination went away, or failed, while it was given one result, which may be the reason."""


class Sender(Protocol):
    """A connection to a destination, open while it is used as a context. Blocks; used by one thread at a time."""

    def check(self) -> str:
        """Look for renewed certificates and credentials. Returns why their files cannot be used, so that what was read
        before stays in use; empty: they can.
        """

    def __enter__(self) -> "Sender":
        """Connect.

        Raises:
            Unavailable: the destination cannot be reached.
        """

    def __exit__(self, *_exception: object) -> None:
        """Disconnect."""

    def send(self, delivery: Delivery, content: bytes) -> Outcome:
        """Send one result, a DICOM file.

        Raises:
            Interrupted: the destination went away; whether it has stored the result is not known.
            Unavailable: it takes none now.
        """


# Failures of C-STORE (PS3.7 annex C, PS3.4 table B.2-1) and STOW-RS (PS3.18 table 10.5.3-1) that another attempt
# cannot change: SOP class not supported, invalid object or argument, data set does not match, cannot understand.
_FINAL = {0x0105, 0x0106, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0122, 0x0212}
_WARNINGS = {0x0001, 0x0107, 0x0116}  # stored, with a warning; so are 0xB000 to 0xBFFF


def outcome_of(status: int) -> Outcome:
    """The outcome by the status of a C-STORE response, or by the failure reason of STOW-RS."""
    if status == 0x0000 or status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return STORED
    final = status in _FINAL or 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF
    return Outcome(Verdict.NEVER if final else Verdict.LATER, f"status 0x{status:04X}")
