"""The unit for installations without containers."""

import re
from pathlib import Path

from service.settings import Settings
from tests import ROOT
from tests.commands import run
from tests.programs import needs

UNIT = ROOT / "deploy" / "systemd" / "xray-inference.service"
SYSTEMD = needs("systemd-analyze", at_least=(250,), package="systemd")


def here(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/xray-inference/bin/xray-service", "/bin/true"))
    return path


@SYSTEMD
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    checked = run(["systemd-analyze", "verify", here(tmp_path)])
    assert UNIT.name not in checked.stdout + checked.stderr, checked.stderr


@SYSTEMD
def test_its_protection_is_that_of_the_documentation(tmp_path: Path) -> None:
    rated = run(["systemd-analyze", "security", "--offline=true", "--no-pager", here(tmp_path)])
    level = re.search(r"exposure level.*: ([\d.]+)", rated.stdout)
    assert level, rated.stderr
    assert float(level[1]) <= 1.5
    assert "rates the unit 1.3" in (ROOT / "docs" / "administration.md").read_text()


def test_it_waits_longer_than_the_service_takes_to_stop() -> None:
    wait = re.search(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.M)
    settings = Settings()
    assert wait
    assert int(wait[1]) > settings.drain_s + settings.upload_s + settings.deadline_s + 5 + 3.5
