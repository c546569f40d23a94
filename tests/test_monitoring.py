"""Monitoring as files: what they ask for, the service really tells; what is shown says what to do; nothing leaves."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.inference.session import CUDA
from service.settings import Device
from tests import ROOT
from tests.commands import run
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.programs import needs

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "xray-inference.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULE_FILES = [FOLDER / name for name in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"]]
RULES: list[dict[str, Any]] = [
    rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = [file.with_suffix(".test.yml") for file in RULE_FILES]
CASES = [case for file in TESTS for case in yaml.safe_load(file.read_text())["tests"]]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.monitoring.yaml").read_text())
ADDED = {name: service for name, service in COMPOSE["services"].items() if name != "service"}

# An older one need not know all that the version that is deployed knows.
DEPLOYED = re.search(r"prometheus:v(\d+)\.(\d+)", ADDED["prometheus"]["image"])
assert DEPLOYED
PROMTOOL = needs("promtool", at_least=tuple(map(int, DEPLOYED.groups())), package="prometheus")

# What Prometheus adds to each series, and the series it makes itself.
ADDED_LABELS = {"instance", "job"}
PROMETHEUS_OWN = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
# Okabe and Ito's colours, which nearly everybody can tell apart.
COLOURS = {"#56B4E9", "#E69F00", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
SUBJECTS = {
    "request rate": r"rate\(xray_requests_total\{route=\"/predict\"\}",
    "errors by status": r"sum by \(status\) \(rate\(xray_requests_total",
    "refusals": r"status=\"503\"",
    "p50 of whole requests": r"histogram_quantile\(0\.5, .*xray_request_seconds_bucket",
    "p95 of whole requests": r"histogram_quantile\(0\.95, .*xray_request_seconds_bucket",
    "p99 of whole requests": r"histogram_quantile\(0\.99, .*xray_request_seconds_bucket",
    "where an image's time goes": r"sum by \(stage\) \(rate\(xray_stage_seconds_sum",
    "batch size": r"xray_batch_size_sum.*xray_batch_size_count",
    "queue depth": r"^xray_queue_depth$",
    "seats taken": r"^xray_seats_taken$",
    "model, graph and provider": r"^xray_model_info$",
    "CUDA ordered, something else runs": rf"device_requested=\"cuda\", provider!=\"{CUDA}\"",
    "readiness": r"^xray_ready or up\b",
    "share of PNEUMONIA": r"label=\"PNEUMONIA\"",
    "guard warnings, rate": r"rate\(xray_guard_flagged_total",
    "guard warnings, share": r"increase\(xray_guard_flagged_total.* / sum\(increase\(xray_guard_score_count",
    "guard score": r"histogram_quantile\(.*xray_guard_score_bucket",
    "change against the reference": r"^xray:drift_psi:reference$",
    "change against the past": r"^xray:drift_psi:past$",
    **{
        f"the reference's bins, {feature}": rf"xray:drift_share:reference\{{feature=\"{feature}\"\}}"
        for feature in ("guard_score", "brightness", "contrast", "probability")
    },
    "memory": r"process_resident_memory_bytes",
    "CPU": r"rate\(process_cpu_seconds_total",
}
OFF = [
    "ANALYTICS_REPORTING_ENABLED",
    "ANALYTICS_CHECK_FOR_UPDATES",
    "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
    "AUTH_BASIC_ENABLED",
    "NEWS_NEWS_FEED_ENABLED",
    "PLUGINS_PLUGIN_ADMIN_ENABLED",
    "PUBLIC_DASHBOARDS_ENABLED",
    "SNAPSHOTS_EXTERNAL_ENABLED",
    "USERS_ALLOW_SIGN_UP",
]
ON = [
    "AUTH_ANONYMOUS_ENABLED",
    "AUTH_DISABLE_LOGIN_FORM",
    "PLUGINS_PREINSTALL_DISABLED",
    "PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED",
    "SECURITY_DISABLE_GRAVATAR",
    "SECURITY_DISABLE_INITIAL_ADMIN_CREATION",
]

Exported = dict[str, dict[str, set[str]]]


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]


def groupings(expr: str) -> set[str]:
    """The labels that an expression groups or matches by."""
    lists = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expr)
    return {label for names in lists for label in re.findall(r"\w+", names)}


def selectors(expr: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics that an expression names, each with its matchers: label, operator, value."""
    bare = re.sub(r"\b(?:by|on|without)\s*\([^)]*\)|\[[^\]]*\]|\boffset\s+\w+", " ", expr)
    for name, matchers in re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{[^}]*\})?", bare):
        if name not in {"and", "or", "unless"}:
            yield name, re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"", matchers)


def asked_for(label: str, operator: str = "") -> set[str]:
    """The values that any expression asks for of a label, with this operator or with any."""
    found = [matcher for expr in expressions() for _, matchers in selectors(expr) for matcher in matchers]
    return {value for name, how, value in found if name == label and operator in {"", how}}


@pytest.fixture
async def exported(guarded_folder: Path, make_service: MakeService, connect: Connect) -> Exported:
    """What the service tells once it has been busy: by sample, each label with its values."""
    white = encode(np.full((300, 300), 250, np.uint8))
    found: Exported = {}
    async with connect(make_service(model=guarded_folder)) as client:
        for body in (white, jpeg(), b"no image"):
            await client.post("/predict", content=body, headers={"Content-Type": "image/jpeg"})
        await client.post("/predict", files=[("file", white), ("file", b"no image")])
        text = (await client.get("/metrics")).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


def known_labels(exported: Exported) -> dict[str, set[str]]:
    """The labels of each metric that there is; a recorded one may have those of what it is made of, in order."""
    known = {name: set(labels) for name, labels in exported.items()} | PROMETHEUS_OWN
    for rule in RULES:
        if "record" in rule:
            known[rule["record"]] = set().union(*(known[name] for name, _ in selectors(rule["expr"])))
    return known


def test_expressions_are_taken_apart_as_meant() -> None:
    expr = 'sum by (le, a) (rate(m_bucket{x="1", y!~"2|3"}[$__rate_interval])) or on () (n:o[7d] offset 1h) > 0.5 and p'
    assert groupings(expr) == {"le", "a"}
    assert dict(selectors(expr)) == {"m_bucket": [("x", "=", "1"), ("y", "!~", "2|3")], "n:o": [], "p": []}


@pytest.mark.anyio
async def test_every_metric_and_label_in_use_is_exported(exported: Exported) -> None:
    known = known_labels(exported)
    for expr in expressions():
        metrics = list(selectors(expr))
        assert {name for name, _ in metrics} <= known.keys(), expr
        for name, matchers in metrics:
            assert {label for label, _, _ in matchers} <= known[name] | ADDED_LABELS, expr
        assert groupings(expr) <= set().union(*(known[name] for name, _ in metrics)) | ADDED_LABELS, expr


@pytest.mark.anyio
@pytest.mark.parametrize("label", ["route", "label", "feature"])
async def test_every_label_value_in_use_is_exported(exported: Exported, label: str) -> None:
    asked = asked_for(label, "=")
    assert asked
    assert asked <= set().union(*(labels.get(label, set()) for labels in exported.values()))


@pytest.mark.anyio
async def test_every_stage_has_a_colour_of_its_own(exported: Exported) -> None:
    for panel in PANELS:
        if any("stage" in groupings(target["expr"]) for target in panel["targets"]):
            coloured = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
            assert coloured == exported["xray_stage_seconds_count"]["stage"]


def test_devices_and_providers_are_named_as_the_service_names_them() -> None:
    assert asked_for("provider") == {CUDA}
    assert asked_for("device_requested") < set(get_args(Device))


@pytest.mark.anyio
async def test_what_is_shown_of_a_series_is_a_label_it_has(exported: Exported) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            own = set().union(*(known_labels(exported)[name] for name, _ in selectors(target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= own | ADDED_LABELS, title(panel)


@pytest.mark.anyio
async def test_the_table_of_models_shows_every_label(exported: Exported) -> None:
    table = next(panel for panel in PANELS if panel["targets"][0]["expr"] == "xray_model_info")
    shown = table["transformations"][0]["options"]["indexByName"]
    assert shown.keys() == exported["xray_model_info"].keys() | {"instance"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_panel(subject: str) -> None:
    assert any(re.search(SUBJECTS[subject], target["expr"]) for panel in PANELS for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=title)
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    provisioned = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())
    sources = {(source["type"], source["uid"]) for source in provisioned["datasources"]}
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for holder in (panel, *panel["targets"]):
        assert (holder["datasource"]["type"], holder["datasource"]["uid"]) in sources


@pytest.mark.parametrize("panel", PANELS, ids=title)
def test_colours_can_be_told_apart(panel: dict[str, Any]) -> None:
    text = json.dumps(panel)
    assert set(re.findall(r"#\w{6}\b", text)) <= COLOURS
    # Not Grafana's own palette, nor its names for red and green.
    assert set(re.findall(r'"mode": "([a-z-]+)"', text)) <= {"fixed", "shades", "thresholds", "absolute"} | {
        "normal",  # stacked
        "dashed",  # a limit's line
        "multi",  # a tooltip for all series
        "outer",  # tables joined
    }
    assert all(colour in COLOURS for colour in re.findall(r'"(?:fixedC|c)olor": "([^"]+)"', text))


def test_panels_have_their_own_places_and_ids() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for one, other in combinations([panel["gridPos"] for panel in everything], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)


def test_the_dashboard_is_the_home_dashboard_and_cannot_be_changed_in_the_browser() -> None:
    provider = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/xray-inference.yml").read_text())
    grafana = ADDED["grafana"]
    target = provider["providers"][0]["options"]["path"]
    assert f"./deploy/monitoring/grafana/dashboards:{target}:ro,z" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{target}/xray-inference.json"
    assert provider["providers"][0]["allowUiUpdates"] is False
    assert DASHBOARD["editable"] is False
    assert DASHBOARD["uid"] == "xray-inference"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_explained_documented_and_tested(rule: dict[str, Any]) -> None:
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["for"]
    assert f"| `{rule['alert']}` |" in (ROOT / "docs" / "operations.md").read_text()
    tested = [case for test in CASES for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert any(case.get("exp_alerts") for case in tested)
    assert not all(case.get("exp_alerts") for case in tested)


def test_every_tested_alert_exists() -> None:
    tested = {case["alertname"] for test in CASES for case in test["alert_rule_test"]}
    assert tested == {rule["alert"] for rule in ALERTS}


def promtool(*arguments: str) -> None:
    done = run(["promtool", *arguments], cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


@PROMTOOL
def test_promtool_finds_the_configuration_right(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "monitoring")
    config = folder / "prometheus.yml"
    (tmp_path / "key").touch()  # compose mounts one, or an empty file
    config.write_text(config.read_text().replace("/run/metrics-key", str(tmp_path / "key")))
    promtool("check", "config", str(config))


@PROMTOOL
@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.name))
def test_promtool_runs_the_alerts_tests(file: Path) -> None:
    promtool("test", "rules", file.name)


def test_every_replica_is_asked_and_nobody_outside() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    (found,) = jobs["xray-inference"]["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["service."], "A", 8000)
    assert jobs["prometheus"]["static_configs"] == [{"targets": ["localhost:9090"]}]
    assert config.keys() == {"global", "rule_files", "scrape_configs"}
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_no_address_outside_is_named() -> None:
    files = [ROOT / "compose.monitoring.yaml", *(path for path in FOLDER.rglob("*") if path.is_file())]
    hosts = {host for path in files for host in re.findall(r"\w+://([\w.-]+)", path.read_text())}
    assert hosts == {"prometheus", "localhost", "127.0.0.1"}


@pytest.mark.parametrize("name", ADDED)
def test_what_is_added_is_hardened(name: str) -> None:
    service = ADDED[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["cpu_quota"] == service["cpu_period"]
    assert "cpus" not in service  # more of them than the host has do not start
    assert all("noexec" in mount for mount in service["tmpfs"])
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["healthcheck"]["test"][:2] == ["CMD", "wget"]
    assert not {"privileged", "network_mode", "pid", "build"} & service.keys()


@pytest.mark.parametrize("name", ADDED)
def test_an_image_is_pinned_and_can_be_another(name: str) -> None:
    assert re.fullmatch(rf"\$\{{{name.upper()}_IMAGE:-\S+/{name}:v?\d+\.\d+\.\d+\}}", ADDED[name]["image"])


@pytest.mark.parametrize("name", ADDED)
def test_what_is_mounted_is_there_and_is_read_or_is_a_named_volume(name: str) -> None:
    for source, _, *mode in (re.sub(r"\$\{\w+:-(.*?)\}", r"\1", each).split(":") for each in ADDED[name]["volumes"]):
        if source == "/dev/null":  # in place of a file that need not be there
            assert mode == ["ro"]
        elif source.startswith("."):
            assert (ROOT / source).is_dir()
            assert mode == ["ro,z"]
        else:
            assert source in COMPOSE["volumes"]


def test_only_grafana_is_published_and_to_this_machine_only() -> None:
    assert ADDED["grafana"]["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    assert "ports" not in ADDED["prometheus"]
    assert COMPOSE["services"]["service"] == {"networks": ["default", "monitoring"]}


def test_metrics_are_fetched_over_a_network_that_leads_nowhere() -> None:
    assert COMPOSE["networks"]["monitoring"] == {"internal": True}
    assert ADDED["prometheus"]["networks"] == ["monitoring"]
    (own,) = set(ADDED["grafana"]["networks"]) - {"monitoring"}
    assert COMPOSE["networks"][own]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def test_what_is_kept_has_bounds() -> None:
    kept = dict(re.findall(r"--storage\.tsdb\.retention\.(time|size)=(\S+)", "\n".join(ADDED["prometheus"]["command"])))
    assert kept == {"time": "30d", "size": "2GB"}


@pytest.mark.parametrize(("names", "value"), [(OFF, "false"), (ON, "true")], ids=["off", "on"])
def test_grafana_asks_nobody_and_lets_nobody_in(names: list[str], value: str) -> None:
    environment = ADDED["grafana"]["environment"]
    assert {name: environment.get(f"GF_{name}") for name in names} == dict.fromkeys(names, value)
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
