"""Static checks of the container files; tests/container.sh tests the same on a container engine."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from service import problems
from service.settings import Settings
from service.wire import VERSION
from service.workers.grace import KILL_MARGIN_S, grace_s
from tests import ROOT
from tests.commands import run
from tests.programs import needs

Instruction = tuple[str, str]
Service = dict[str, Any]
OVERRIDES = sorted(path.name for path in ROOT.glob("compose.*.yaml"))
NAMED = {"MODEL_FOLDER": "/model", "TRAINING_DATA": "/data", "RUNS": "/runs"}


class Compose(yaml.SafeLoader):  # type: ignore[misc]  # yaml ships no types
    """Loads YAML with compose's own tags, which say how a value is merged."""


for tag in ("!reset", "!override"):
    Compose.add_constructor(
        tag, lambda loader, node: loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else None
    )


def services(name: str) -> dict[str, Service]:
    """The services of a compose file."""
    found: dict[str, Service] = yaml.load((ROOT / name).read_text(), Compose)["services"]  # noqa: S506  a SafeLoader
    return found


@pytest.fixture(scope="module")
def service() -> Service:
    """The service of docker-compose.yml."""
    return services("docker-compose.yml")["service"]


def long_running() -> Iterator[Any]:
    """Every long-running service by file, those that the override files add included."""
    for name in ("docker-compose.yml", *OVERRIDES):
        for key, value in services(name).items():
            if (key != "service" or name == "docker-compose.yml") and "profiles" not in value:
                yield pytest.param(value, id=f"{name}:{key}")


LONG_RUNNING = list(long_running())


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, in order."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def stage(instructions: list[Instruction], name: str) -> list[Instruction]:
    """The instructions of one stage, after those of the stages that it is based on."""
    starts = [at for at, (word, _) in enumerate(instructions) if word == "FROM"]
    start = next(at for at in starts if instructions[at][1].endswith(f" AS {name}"))
    end = next((at for at in starts if at > start), len(instructions))
    below = instructions[start][1].split()[0]
    known = {instructions[at][1].split()[-1] for at in starts}
    return [*(stage(instructions, below) if below in known else []), *instructions[start + 1 : end]]


def last(instructions: list[Instruction], word: str) -> str:
    """The argument of the last instruction of this kind."""
    return [value for each, value in instructions if each == word][-1]


@pytest.mark.parametrize("each", LONG_RUNNING)
def test_every_service_is_hardened(each: Service) -> None:
    assert each["read_only"] is True
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert each["mem_limit"]
    assert each["pids_limit"]
    assert each["cpu_period"] == 100000
    assert str(each["cpu_quota"]).endswith("000")
    assert "cpus" not in each  # a service with more CPUs than the host has does not start
    assert all("noexec" in mount for mount in each["tmpfs"])
    assert each["restart"] == "unless-stopped"
    assert each["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & each.keys()


@pytest.mark.parametrize("each", LONG_RUNNING)
def test_ports_are_published_on_localhost_by_default(each: Service) -> None:
    for port in each.get("ports", []):
        assert port.startswith(("${PUBLISH_ADDRESS:-127.0.0.1}:", "${NODE_ADDRESS:-127.0.0.1}:", "127.0.0.1:"))


@pytest.mark.parametrize("each", LONG_RUNNING)
def test_mounts_are_read_only_or_managed_by_the_engine(each: Service) -> None:
    for mount in each.get("volumes", []):
        if isinstance(mount, str):
            assert not mount.startswith(".") or mount.endswith(":ro,z")
        else:
            assert mount["read_only"]
            assert mount["bind"]["create_host_path"] is False


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("docker-compose.yml", "service"),
        ("compose.proxy.yaml", "proxy"),
        ("compose.node.yaml", "node"),
        ("compose.training.yaml", "training"),
    ],
)
def test_what_holds_images_dumps_no_core(name: str, key: str) -> None:
    assert services(name)[key]["ulimits"] == {"core": 1}


@pytest.mark.parametrize("name", ["docker-compose.yml", *OVERRIDES])
def test_the_engine_is_not_reachable_from_a_container(name: str) -> None:
    assert "docker.sock" not in (ROOT / name).read_text()


def test_compose_waits_longer_than_the_service_needs_to_stop(service: Service) -> None:
    settings = Settings()
    assert float(service["stop_grace_period"].removesuffix("s")) > grace_s(settings) + KILL_MARGIN_S


def test_training_has_no_network_and_writes_only_its_runs() -> None:
    training = services("compose.training.yaml")["training"]
    assert training["profiles"] == ["training"]  # `up` does not start it
    assert training["network_mode"] == "none"
    assert training["read_only"] is True
    assert [mount["target"] for mount in training["volumes"] if not mount.get("read_only")] == ["/runs"]


def test_the_node_reaches_the_pacs_behind_the_proxy_too() -> None:
    """There the default network is internal, and docker publishes no port of a container that is on no other."""
    text = yaml.load((ROOT / "compose.node.yaml").read_text(), Compose)  # noqa: S506  a SafeLoader
    assert set(text["services"]["node"]["networks"]) == {"default", "pacs", "monitoring"}
    assert not (text["networks"]["pacs"] or {}).get("internal")


def test_behind_the_proxy_the_service_has_no_port_and_no_outside_network() -> None:
    text = (ROOT / "compose.proxy.yaml").read_text()
    assert "ports: !reset []" in text
    assert yaml.load(text, Compose)["networks"]["default"] == {"internal": True}  # noqa: S506  a SafeLoader


def test_a_requested_gpu_is_not_silently_replaced_by_the_cpu() -> None:
    assert services("compose.gpu.yaml")["service"]["environment"]["XRAY_DEVICE"] == "${XRAY_DEVICE:-cuda}"
    assert "deploy" not in services("docker-compose.yml")["service"]  # the default requests no GPU


@pytest.mark.parametrize("target", ["service", "service-gpu", "bulk", "node", "training"])
def test_an_image_runs_as_a_fixed_user_that_is_not_root(instructions: list[Instruction], target: str) -> None:
    assert [value for word, value in stage(instructions, target) if word == "USER"] == ["10001:10001"]


@pytest.mark.parametrize("target", ["service", "service-gpu", "bulk", "node", "training"])
def test_signals_reach_the_process(instructions: list[Instruction], target: str) -> None:
    final = stage(instructions, target)
    for word in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(last(final, word)), list)  # the exec form: no shell in between
    assert last(final, "STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("target", ["service", "service-gpu", "node"])
def test_the_health_check_needs_no_tool(instructions: list[Instruction], target: str) -> None:
    check = last(stage(instructions, target), "HEALTHCHECK")
    assert json.loads(check[check.index("CMD ") + 4 :])[0] == "python3"


@pytest.mark.parametrize("target", ["service", "service-gpu", "node"])
def test_a_slow_machine_has_as_long_to_start_as_in_kubernetes(instructions: list[Instruction], target: str) -> None:
    """Else compose calls it unhealthy, and does not start the proxy."""
    deployment = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert f"--start-period={seconds}s" in last(stage(instructions, target), "HEALTHCHECK")


@pytest.mark.parametrize("target", ["service", "service-gpu", "bulk", "node", "training"])
def test_the_final_stage_installs_nothing(instructions: list[Instruction], target: str) -> None:
    assert not [value for word, value in stage(instructions, target) if word in {"RUN", "ADD"}]


def test_the_default_target_is_the_cpu_service(instructions: list[Instruction]) -> None:
    assert last(instructions, "FROM").endswith(" AS service")
    assert "XRAY_DEVICE=cpu" in last(stage(instructions, "service"), "ENV")


def test_packages_are_installed_from_lock_files_only(instructions: list[Instruction]) -> None:
    script = (ROOT / "deploy" / "install.sh").read_text()
    assert "--no-deps --require-hashes" in script
    installs = [value for word, value in instructions if word == "RUN" and "install" in value]
    assert len(installs) == 5
    for value in installs:
        assert "install-locked" in value
        assert "pip install" not in value
        assert "--mount=type=cache" in value


@pytest.mark.parametrize(("cuda", "lock"), [("12", "gpu-cuda12"), ("13", "gpu")])
def test_each_cuda_has_its_lock(instructions: list[Instruction], cuda: str, lock: str) -> None:
    command = next(value for word, value in stage(instructions, "build-gpu") if word == "RUN" and "gpu" in value)
    expression = command[command.index('install-locked "') + len('install-locked "') : command.rindex('"')]
    done = subprocess.run(
        ["sh", "-c", f'echo "{expression}"'], env={"CUDA": cuda}, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"/requirements/{lock}.txt"
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert f"nvidia-cudnn-cu{cuda}==" in text
    assert "onnxruntime-gpu==" in text


def test_only_the_files_that_an_image_needs_are_copied(instructions: list[Instruction]) -> None:
    copied = {
        name: {shlex.split(value)[-2] for word, value in stage(instructions, name) if word == "COPY"}
        for name in ("app", "training")
    }
    assert copied["app"] == {"deploy/install.sh", "contract", "dicom", "service", "node", "models", "docs/errors.md"}
    assert copied["training"] == {"/opt/venv", "contract", "dicom", "training"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored  # everything is ignored except the named files
    named = {line[1:] for line in ignored if line.startswith("!")}
    build_context = {shlex.split(value)[-2] for word, value in instructions if word == "COPY" and "--from" not in value}
    assert named == build_context | {"requirements"}


def test_the_versions_agree(instructions: list[Instruction], service: Service) -> None:
    assert 'path = "service/wire.py"' in (ROOT / "pyproject.toml").read_text()  # where hatchling reads it
    assert ("ARG", f"VERSION={VERSION}") in instructions
    assert 'image.version="${VERSION}"' in last(stage(instructions, "service"), "LABEL")
    assert service["image"] == f"xray-inference:{VERSION}"
    assert services("compose.gpu.yaml")["service"]["image"].startswith(f"xray-inference:{VERSION}-cuda")
    assert services("compose.training.yaml")["training"]["image"] == f"xray-training:{VERSION}"
    assert f"image={service['image']}\n" in (ROOT / "tests" / "container" / "lib.sh").read_text()
    assert f"xray-inference-{VERSION}-offline.tar" in (ROOT / "docs" / "install-offline.md").read_text()


def proxy(name: str) -> str:
    return (ROOT / "deploy" / "proxy" / name).read_text()


def test_the_proxy_s_limits_match_the_service_s() -> None:
    settings, text = Settings(), proxy("nginx.conf")
    limit = re.search(r"client_max_body_size (\d+)m;", text)
    wait = re.search(r"proxy_read_timeout (\d+)s;", text)
    assert limit
    assert wait
    assert int(limit[1]) * 2**20 == settings.max_body_bytes
    assert int(wait[1]) > settings.deadline_s


def test_the_proxy_s_own_problems_are_the_service_s_or_documented() -> None:
    known = {kind.slug: kind for kind in (*problems.TABLE.values(), problems.INTERNAL)}
    documented = (ROOT / "docs" / "errors.md").read_text()
    bodies = re.findall(r"return (\d+) '(.*)';", proxy("problems.conf"))
    assert len(bodies) >= 8
    for status, body in bodies:
        problem = json.loads(body)
        assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
        assert problem["status"] == int(status)
        slug = problem["type"].removeprefix("/problems/")
        if slug in known:
            assert (known[slug].status, known[slug].title) == (problem["status"], problem["title"])
        else:
            assert f"\n## {slug}\n{status}" in documented


def test_every_problem_of_the_proxy_is_used() -> None:
    named = set(re.findall(r"@(\w+)", proxy("problems.conf")))
    retries = set(re.findall(r"location @(\w+)", proxy("nginx.conf")))
    assert named == set(re.findall(r"error_page [^;]*@(\w+);", proxy("nginx.conf"))) - retries
    paths = set(re.findall(r"location = (/\S+)", proxy("problems.conf")))
    assert paths == set(re.findall(r"error_page [0-9 ]+ (/\S+);", proxy("nginx.conf")))


def test_the_proxy_contacts_no_other_host_and_logs_no_query() -> None:
    text = proxy("nginx.conf")
    assert re.findall(r"resolver (\S+)", text) == ["127.0.0.11"]
    assert "ssl_stapling" not in text
    log = text[text.index("log_format") : text.index("access_log")]
    assert not re.search(r"\$(request\b|request_uri|args|query_string|uri|http_\w+|cookie_\w+)", log)


@pytest.mark.parametrize("name", ["docker-compose.yml", *OVERRIDES])
def test_compose_files_match_their_schema(name: str) -> None:
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    file = yaml.load((ROOT / name).read_text(), Compose)  # noqa: S506  a SafeLoader
    jsonschema.validate(file, json.loads(schema.read_text()))


@needs("docker", "compose", at_least=(2, 24, 4), ask="version", package="docker-compose")  # !reset
@pytest.mark.parametrize("names", [[], *([name] for name in OVERRIDES)], ids=lambda names: " ".join(names) or "default")
def test_compose_accepts_its_files(names: list[str]) -> None:
    files = [word for name in ["docker-compose.yml", *names] for word in ("-f", name)]
    environment = {**os.environ, **NAMED}
    ended = run(["docker", "compose", *files, "config", "--quiet"], cwd=ROOT, env=environment)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/container*.sh")) + sorted(ROOT.glob("tests/container/*.sh")))
def test_the_scripts_are_shell(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.parametrize("path", sorted(ROOT.glob("deploy/**/*.sh")), ids=lambda path: path.name)
def test_the_deployment_s_scripts_are_posix_shell_and_executable(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(path)], check=True)
