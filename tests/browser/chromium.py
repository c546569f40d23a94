"""Debian's Chromium, for tests and for the pictures of the documentation."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.waiting import DEADLINE_S

DEADLINE_MS = 1000 * DEADLINE_S
# Chromium would else ask its maker for updates and lists; --no-sandbox because tests run as root in a container.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_FLAGS += ["--disable-sync", "--no-first-run"]
# Chromium loads the popups of its address bar for every window, which takes as long as all of our page does. A second
# list of features replaces that of Playwright, so its own follow.
_DISABLED = ["WebUIOmniboxPopup", "WebUIOmniboxAimPopup"]
_DISABLED += ["AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync"]
_DISABLED += ["DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay"]
_DISABLED += ["MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch"]
_DISABLED += ["ThirdPartyStoragePartitioning"]
_FLAGS.append(f"--disable-features={','.join(_DISABLED)}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it, and end it. Until then, what is expected of a page may take ``DEADLINE_MS``.

    Raises:
        FileNotFoundError: it is not installed.
    """
    executable = shutil.which("chromium")
    if executable is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS, timeout=DEADLINE_MS)
        yield browser
        browser.close()
