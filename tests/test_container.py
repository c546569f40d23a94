"""The container's files, read: what tests/container.sh shows on an engine is written down at least."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from service.app import VERSION
from service.server import SLOW_READERS_S
from service.settings import Settings
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """The service of docker-compose.yml."""
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    found: dict[str, Any] = compose["services"]["service"]
    return found


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def stage(instructions: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """The instructions of one stage."""
    starts = [at for at, (word, _) in enumerate(instructions) if word == "FROM"]
    start = next(at for at in starts if instructions[at][1].endswith(f" AS {name}"))
    end = next((at for at in starts if at > start), len(instructions))
    return instructions[start + 1 : end]


def test_compose_hardens_the_service(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert all("noexec" in mount for mount in service["tmpfs"])
    assert not {"privileged", "network_mode", "pid", "volumes"} & service.keys()


def test_compose_publishes_to_this_machine_unless_told_otherwise(service: dict[str, Any]) -> None:
    assert service["ports"] == ["${PUBLISH_ADDRESS:-127.0.0.1}:8000:8000"]


def test_compose_waits_longer_than_the_service_needs_to_end(service: dict[str, Any]) -> None:
    settings = Settings()
    needed = settings.drain_s + settings.upload_s + settings.deadline_s + SLOW_READERS_S
    assert float(service["stop_grace_period"].removesuffix("s")) > needed


def test_the_image_runs_as_a_fixed_user_that_is_not_root(instructions: list[tuple[str, str]]) -> None:
    users = [value for word, value in stage(instructions, "service") if word == "USER"]
    assert users == ["10001:10001"]


def test_signals_reach_the_service(instructions: list[tuple[str, str]]) -> None:
    final = dict(stage(instructions, "service"))
    for word in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(final[word]), list)  # the exec form: no shell in between
    assert final["STOPSIGNAL"] == "SIGTERM"


def test_the_health_check_needs_no_tool(instructions: list[tuple[str, str]]) -> None:
    check = dict(stage(instructions, "service"))["HEALTHCHECK"]
    assert json.loads(check[check.index("CMD ") + 4 :])[0] == "python3"


def test_the_final_stage_installs_nothing(instructions: list[tuple[str, str]]) -> None:
    assert not [value for word, value in stage(instructions, "service") if word in {"RUN", "ADD"}]


def test_what_is_installed_is_what_the_lock_names(instructions: list[tuple[str, str]]) -> None:
    runs = [value for word, value in stage(instructions, "build") if word == "RUN" and "install" in value]
    assert all("--require-hashes" in value and "--no-deps" in value for value in runs)
    assert ("COPY", "requirements/cpu.txt /tmp/requirements.txt") in instructions


def test_only_what_the_service_needs_is_copied(instructions: list[tuple[str, str]]) -> None:
    copied = {shlex.split(value)[0] for word, value in instructions if word == "COPY" and "--from" not in value}
    assert copied == {"contract", "service", "models", "requirements/cpu.txt"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored  # everything, but for what is named
    assert {line[1:] for line in ignored if line.startswith("!")} == {"contract", "service", "models", "requirements"}


def test_the_versions_agree(instructions: list[tuple[str, str]], service: dict[str, Any]) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert version[1] == VERSION
    assert service["image"] == f"xray-inference:{version[1]}"
    assert f'image.version="{version[1]}"' in dict(stage(instructions, "service"))["LABEL"]
    assert f"image={service['image']}" in (ROOT / "tests" / "container.sh").read_text()
