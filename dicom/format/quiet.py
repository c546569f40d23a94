"""Silences pydicom and highdicom, which print names and values of elements in warnings and log lines.

No log may hold patient data. What they warn about is checked in this package where it matters.
"""

import logging
import warnings

import pydicom.config

# Warnings are attributed to these modules, and to those of this package that call them.
_MODULES = r"(py|high)?dicom(\.|$)"


def silence() -> None:
    """Silence them in this process, for good; called before each object, and cheap the second time.

    Not by ``catch_warnings``, which would change the filters of all threads for as long as it lasts.
    """
    warnings.filterwarnings("ignore", module=_MODULES)
    settings = pydicom.config.settings
    settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
    for name in ("pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
