"""The manifests are valid, and say the same as the code and compose: paths, ports, metrics, grace, limits, users."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service.access.keys import add_key, make_key, read_keys
from service.access.watch import WatchedFiles
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.workers.grace import KILL_MARGIN_S, grace_s
from tests import ROOT
from tests.commands import run
from tests.kubernetes.manifests import FOLDER, KUBECTL, Object, built, container, of_kind, pod, size, written
from tests.programs import needs
from tests.service.access.test_authentication import OPEN

OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))
# The oldest version of Kubernetes that has all that is used (a pause in preStop), and the newest known.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
OURS = yaml.safe_load(Path(__file__).with_name("custom_kinds.yaml").read_text())
DEPLOYMENT = written("base/deployment.yaml", "Deployment")
POD = pod(DEPLOYMENT)
CONTAINER = container(POD)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["service"]
NAME = {"app.kubernetes.io/name": "xray-inference"}
SPECS = {
    "Deployment": DEPLOYMENT["spec"]["template"],
    "ServingRuntime": written("kserve/inference.yaml", "ServingRuntime"),
}
PREDICTOR = written("kserve/inference.yaml", "InferenceService")["spec"]["predictor"]


def check(found: Object, version: str) -> None:
    """Raise what a Kubernetes of this version would refuse an object for."""
    kind = found["kind"]
    if kind not in OURS:
        kubernetes_validate.validate(found, version, strict=True)
        return
    jsonschema.validate(found["spec"], OURS[kind])
    if "x-pod" in OURS[kind]:
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod_of(found)}, version)


def pod_of(found: Object) -> Object:
    """What a custom object has of a PodSpec. Kubernetes requires a container, which may be written elsewhere."""
    kind, spec = OURS[found["kind"]], found["spec"]
    if kind["x-pod"]:
        kind, spec = kind["properties"][kind["x-pod"]], spec[kind["x-pod"]]
    return {
        "containers": [{"name": "x"}],
        **{key: value for key, value in spec.items() if key not in kind["properties"]},
    }


def variables(of: Object) -> dict[str, str]:
    """The environment of a container."""
    return {each["name"]: each["value"] for each in of["env"]}


@KUBECTL
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_builds_is_valid(overlay: str, version: str) -> None:
    objects = built(overlay)
    assert objects
    for each in objects:
        check(each, version)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "xray-inference"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.yaml")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_each_file_belongs_to_its_kustomization_or_is_explained(path: Path) -> None:
    used = (path.parent / "kustomization.yaml").read_text()
    assert path.name in used or path.name == "kustomization.yaml"


def test_a_misspelt_field_and_a_missing_one_are_found() -> None:
    wrong = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "minReadySecond": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong, VERSIONS[0])
    service = written("kserve/inference.yaml", "InferenceService")
    wrong = {**service, "spec": {"predictor": {**PREDICTOR, "securityContexts": {}}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong, VERSIONS[0])
    with pytest.raises(jsonschema.ValidationError):
        check({**service, "spec": {"predictor": {**PREDICTOR, "model": {}}}}, VERSIONS[0])


def test_probes_ask_what_is_open_at_the_port_of_the_service() -> None:
    probes = {name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {name: each["path"] for name, each in probes.items()} == {
        "startupProbe": "/health/live",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    assert {each["path"] for each in probes.values()} <= OPEN
    assert {each["port"] for each in probes.values()} == {"http"}
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": Settings().port}]
    assert COMPOSE["ports"][0].endswith(f":{Settings().port}")


@pytest.mark.parametrize(("spec", "of"), [(POD, CONTAINER), (PREDICTOR, container(SPECS["ServingRuntime"]["spec"]))])
def test_a_pod_has_the_pause_and_then_the_grace_of_compose(spec: Object, of: Object) -> None:
    pause = of["lifecycle"]["preStop"]["sleep"]["seconds"]
    compose = float(COMPOSE["stop_grace_period"].removesuffix("s"))
    assert spec["terminationGracePeriodSeconds"] == pause + compose
    assert spec["terminationGracePeriodSeconds"] > pause + grace_s(Settings()) + KILL_MARGIN_S


@pytest.mark.parametrize("strategy", [DEPLOYMENT["spec"]["strategy"], PREDICTOR["deploymentStrategy"]])
def test_an_update_surges_and_then_drains(strategy: Object) -> None:
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


@pytest.mark.parametrize(("spec", "of"), [(POD, CONTAINER), (PREDICTOR, container(SPECS["ServingRuntime"]["spec"]))])
def test_the_container_is_as_hardened_as_in_compose(spec: Object, of: Object) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert user
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert of["securityContext"] == {
        "allowPrivilegeEscalation": "no-new-privileges:true" not in COMPOSE["security_opt"],
        "readOnlyRootFilesystem": COMPOSE["read_only"],
        "capabilities": {"drop": COMPOSE["cap_drop"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & spec.keys()


@pytest.mark.parametrize("kind", SPECS)
def test_limits_are_those_of_compose(kind: str) -> None:
    spec = SPECS[kind]["spec"]
    limits = container(spec)["resources"]["limits"]
    assert size(limits["memory"]) == size(re.sub(r".*:-(\w+)}", r"\1", COMPOSE["mem_limit"]))
    quota = int(re.sub(r".*:-(\d+)}", r"\1", COMPOSE["cpu_quota"]))
    assert int(limits["cpu"]) == quota / COMPOSE["cpu_period"]
    tmp = next(volume["emptyDir"] for volume in spec["volumes"] if volume["name"] == "tmp")
    assert tmp["medium"] == "Memory"
    found = re.search(r"size=(\w+)", COMPOSE["tmpfs"][0])
    assert found
    assert size(tmp["sizeLimit"]) == size(found[1])
    assert {"name": "tmp", "mountPath": COMPOSE["tmpfs"][0].partition(":")[0]} in container(spec)["volumeMounts"]


def test_images_are_those_of_compose() -> None:
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text().replace("!override ", ""))["services"]["service"]
    assert {container(each["spec"])["image"] for each in SPECS.values()} == {COMPOSE["image"]}
    patch = container(pod(written("gpu/deployment.yaml", "Deployment")))
    assert patch["image"] == re.sub(r"\$\{CUDA:-(\d+)}", r"\1", gpu["image"])
    assert size(patch["resources"]["limits"]["memory"]) == size(re.sub(r".*:-(\w+)}", r"\1", gpu["mem_limit"]))


def test_a_gpu_is_required_and_given() -> None:
    patch = container(pod(written("gpu/deployment.yaml", "Deployment")))
    assert variables(patch) == {"XRAY_DEVICE": "cuda"}
    assert patch["resources"]["limits"]["nvidia.com/gpu"] == patch["resources"]["requests"]["nvidia.com/gpu"] == 1


@KUBECTL
def test_the_gpu_overlay_changes_nothing_else_of_the_container() -> None:
    changed = {"image", "env", "resources", "startupProbe"}
    base, gpu = (container(pod(of_kind(built(name), "Deployment"))) for name in ("base", "gpu"))
    assert {key for key in base if base[key] != gpu[key]} == changed
    assert variables(gpu) == {**variables(base), "XRAY_DEVICE": "cuda"}
    assert gpu["resources"]["limits"].keys() - base["resources"]["limits"].keys() == {"nvidia.com/gpu"}


@pytest.mark.parametrize("spec", [POD, PREDICTOR])
def test_no_variable_is_mistaken_for_a_setting(spec: Object) -> None:
    """A Service xray-inference would give each pod XRAY_INFERENCE_PORT and others."""
    assert spec["enableServiceLinks"] is False
    set_here = {name for each in SPECS.values() for name in variables(container(each["spec"]))}
    assert {name.removeprefix("XRAY_").lower() for name in set_here} <= Settings.model_fields.keys()


def test_everything_selects_the_pods_and_nothing_else() -> None:
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"] == NAME
    assert DEPLOYMENT["spec"]["selector"] == {"matchLabels": NAME}
    assert POD["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": NAME}
    assert written("base/service.yaml", "Service")["spec"]["selector"] == NAME
    assert written("base/disruption.yaml", "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": NAME}
    assert written("base/network.yaml", "NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": NAME}
    assert written("kserve/inference.yaml", "InferenceService")["metadata"]["labels"] == NAME


def test_the_service_leads_to_the_port_and_prometheus_to_its_metrics() -> None:
    service = written("base/service.yaml", "Service")
    assert service["spec"]["ports"] == [{"name": "http", "port": Settings().port, "targetPort": "http"}]
    monitor = written("monitoring/servicemonitor.yaml", "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"] == service["metadata"]["labels"] == NAME
    assert (monitor["endpoints"][0]["port"], monitor["endpoints"][0]["path"]) == ("http", "/metrics")
    scrape = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text())
    assert monitor["endpoints"][0]["interval"] == scrape["global"]["scrape_interval"]
    alerts = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    jobs = set(re.findall(r'job="([^"]+)"', alerts)) - {"xray-node"}  # the manifests have no DICOM node
    assert jobs == {service["metadata"]["labels"][monitor["jobLabel"]]}


def test_nothing_leaves_a_pod_and_only_the_port_is_reached() -> None:
    policy = written("base/network.yaml", "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert rule["from"]  # an empty list would be everybody


def test_pods_that_are_not_restricted_are_refused() -> None:
    labels = written("base/namespace.yaml", "Namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize("file", ["base/autoscaler.yaml", "gpu/autoscaler.yaml"])
def test_the_autoscaler_asks_for_a_metric_that_exists_and_the_adapter_gives(file: str) -> None:
    (metric,) = written(file, "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    text = Path(Metrics.__module__.replace(".", "/") + ".py")
    assert f'("{name}", ' in (ROOT / text).read_text()
    (rule,) = adapter_rules()
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    assert 0 < int(metric["pods"]["target"]["averageValue"]) < Settings().capacity


def adapter_rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / "monitoring" / "adapter-values.yaml").read_text())["rules"][
        "custom"
    ]
    return found


@needs("promtool", package="prometheus")
def test_the_adapter_s_query_is_the_mean_of_a_minute_of_each_pod(tmp_path: Path) -> None:
    """The adapter puts these in for its placeholders; promtool evaluates what comes out."""
    (rule,) = adapter_rules()
    query = rule["metricsQuery"]
    for placeholder, value in (
        ("<<.Series>>", "xray_seats_taken"),
        ("<<.LabelMatchers>>", 'namespace="xray-inference",pod=~"a|b"'),
        ("<<.GroupBy>>", "pod"),
    ):
        query = query.replace(placeholder, value)
    series = 'xray_seats_taken{{namespace="xray-inference",pod="{}"}}'
    case = {
        "interval": "15s",
        "input_series": [
            {"series": series.format("a"), "values": "0 0 0 0 0 0 8 8 8 8 8"},
            {"series": series.format("b"), "values": "40x10"},
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "150s",
                "exp_samples": [{"labels": '{pod="a"}', "value": 8}, {"labels": '{pod="b"}', "value": 40}],
            }
        ],
    }
    file = tmp_path / "adapter.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": [case]}))
    done = run(["promtool", "test", "rules", file])
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_always_a_pod_left() -> None:
    scaler = written("base/autoscaler.yaml", "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in DEPLOYMENT["spec"]  # each `apply` would undo what the autoscaler decided
    assert scaler["minReplicas"] > written("base/disruption.yaml", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_kserve_s_container_is_ours_with_the_mounted_model() -> None:
    runtime, service = (written("kserve/inference.yaml", kind) for kind in ("ServingRuntime", "InferenceService"))
    of, expected = container(runtime["spec"]), dict(CONTAINER)
    expected["name"] = "kserve-container"
    expected["ports"] = [{**port, "protocol": "TCP"} for port in CONTAINER["ports"]]
    expected["env"] = [{"name": "XRAY_MODEL", "value": "/mnt/models"}, *CONTAINER["env"]]
    assert of == expected
    assert runtime["spec"]["volumes"] == POD["volumes"]
    shared = PREDICTOR.keys() - {"model", "deploymentStrategy"}
    assert {key: PREDICTOR[key] for key in shared} == {key: POD[key] for key in shared}
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["storageUri"].startswith("pvc://")  # anything else would have to be downloaded
    formats = runtime["spec"]["supportedModelFormats"]
    assert model["modelFormat"] in [{key: each[key] for key in ("name", "version")} for each in formats]


@KUBECTL
def test_on_kserve_the_autoscaler_moves_what_kserve_makes() -> None:
    objects = built("kserve")
    assert not {"Deployment", "Service"} & {each["kind"] for each in objects}
    scaler, service = (of_kind(objects, kind) for kind in ("HorizontalPodAutoscaler", "InferenceService"))
    assert scaler["spec"]["scaleTargetRef"]["name"] == f"{service['metadata']['name']}-predictor"
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


def test_keys_in_a_secret_are_read_and_a_change_is_seen(tmp_path: Path) -> None:
    """Kubernetes mounts a Secret as links to a folder, and replaces the link to that folder when the Secret changes."""
    mount = tmp_path / "keys"
    mount.mkdir(mode=0o777)
    mount.chmod(0o1777)
    for number in (1, 2):
        folder = mount / f"..{number}"
        folder.mkdir(mode=0o755)
        add_key(folder / "keys.json", make_key(f"ward-{number}", ["predict"])[1])
        (folder / "keys.json").chmod(0o640)
    (mount / "..data").symlink_to("..1")
    keys = mount / "keys.json"
    keys.symlink_to("..data/keys.json")
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    assert f"{mounts['keys']}/{keys.name}" == variables(CONTAINER)["XRAY_KEYS_FILE"]
    watched = WatchedFiles(keys, interval_s=0)
    assert [key.name for key in read_keys(keys).keys] == ["ward-1"]
    (mount / "..new").symlink_to("..2")
    (mount / "..new").rename(mount / "..data")
    assert watched.changed()
    assert [key.name for key in read_keys(keys).keys] == ["ward-2"]
