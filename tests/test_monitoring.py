"""The monitoring files: the metrics they query exist, panels and alerts are explained, and no data leaves the host."""

import json
import os
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
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from node.config import SpoolSection
from node.monitor import Metrics, SpoolCollector
from node.storage.ledger import Ledger
from node.storage.records import DEAD
from node.storage.spool import Spool
from service.inference.session import CUDA
from service.settings import Device
from tests import ROOT
from tests.commands import run
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.programs import needs, unusable

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

# Debian 12's. The version that is deployed is newer, and leaves out a sample at the very beginning of a range; no
# result here depends on it.
PROMTOOL = needs("promtool", at_least=(2, 42), package="prometheus")

# The labels that Prometheus adds to each series, and the series it generates itself.
ADDED_LABELS = {"instance", "job"}
PROMETHEUS_OWN = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
# Okabe and Ito's colours, which are distinguishable with all common kinds of colour vision.
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
    "slots in use": r"^xray_seats_taken$",
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
    "audit lines": r"rate\(xray_audit_lines_total",
    "audit lines lost": r"rate\(xray_audit_lost_total",
    "audit failing": r"^xray_audit_failing$",
    "clients that gave up": r"status=\"499\"",
    "log lines dropped": r"rate\(xray_log_lines_dropped_total",
    "what a node receives": r"xray_node_received_total",
    "what waits at a node": r"^xray_node_oldest_waiting_seconds",
    "dead letters of a node": r"xray_node_deliveries\{state=\"dead\"\}",
    "what a node sends": r"xray_node_sent_total",
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

# Sample name -> label -> its values.
Exposed = dict[str, dict[str, set[str]]]


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]


def groupings(expr: str) -> set[str]:
    """The labels that an expression groups by or joins on."""
    lists = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expr)
    return {label for names in lists for label in re.findall(r"\w+", names)}


def selectors(expr: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics in an expression, each with its matchers: label, operator, value."""
    bare = re.sub(r"\b(?:by|on|without)\s*\([^)]*\)|\[[^\]]*\]|\boffset\s+\w+", " ", expr)
    for name, matchers in re.findall(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{[^}]*\})?", bare):
        if name not in {"and", "or", "unless"}:
            yield name, re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"", matchers)


def queried_values(label: str, operator: str = "") -> set[str]:
    """The values of a label that any expression matches, with this operator or with any."""
    all_matchers = [matcher for expr in expressions() for _, matchers in selectors(expr) for matcher in matchers]
    return {value for name, how, value in all_matchers if name == label and operator in {"", how}}


def exposed_by_a_node(folder: Path) -> str:
    """The metrics of a node that has sent one result, and not the other."""
    spool, metrics = Spool(SpoolSection(folder=folder / "spool")), Metrics()
    spool.claim()
    ledger = Ledger(spool.ledger_path)
    ledger.add("1.2")
    ledger.answer("1.2", [("sr", "pacs", "1.2.1"), ("heatmap", "pacs", "1.2.2")])
    ledger.close_delivery(ledger.due_deliveries("pacs", 1)[0], DEAD)
    metrics.sent.labels("pacs", "stored").inc()
    metrics.registry.register(SpoolCollector(ledger, spool, lambda: 0, list))
    text = generate_latest(metrics.registry).decode()
    ledger.close()
    spool.close()
    return text


@pytest.fixture
async def exposed(guarded_folder: Path, make_service: MakeService, connect: Connect, tmp_path: Path) -> Exposed:
    """The samples that a service exposes after some requests, and those of a DICOM node: by name, each label with its
    values.
    """
    white = encode(np.full((300, 300), 250, np.uint8))
    samples: Exposed = {}
    async with connect(make_service(model=guarded_folder)) as client:
        for body in (white, jpeg(), b"no image"):
            await client.post("/predict", content=body, headers={"Content-Type": "image/jpeg"})
        await client.post("/predict", files=[("file", white), ("file", b"no image")])
        text = (await client.get("/metrics")).text
    for family in text_string_to_metric_families(text + exposed_by_a_node(tmp_path)):
        for sample in family.samples:
            labels = samples.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return samples


def known_labels(exposed: Exposed) -> dict[str, set[str]]:
    """The labels of each metric. A recording rule may have the labels of all metrics in its expression."""
    known = {name: set(labels) for name, labels in exposed.items()} | PROMETHEUS_OWN
    for rule in RULES:
        if "record" in rule:
            known[rule["record"]] = set().union(*(known[name] for name, _ in selectors(rule["expr"])))
    return known


def test_expressions_are_parsed() -> None:
    expr = 'sum by (le, a) (rate(m_bucket{x="1", y!~"2|3"}[$__rate_interval])) or on () (n:o[7d] offset 1h) > 0.5 and p'
    assert groupings(expr) == {"le", "a"}
    assert dict(selectors(expr)) == {"m_bucket": [("x", "=", "1"), ("y", "!~", "2|3")], "n:o": [], "p": []}


@pytest.mark.anyio
async def test_every_queried_metric_and_label_is_exposed(exposed: Exposed) -> None:
    known = known_labels(exposed)
    for expr in expressions():
        metrics = list(selectors(expr))
        assert {name for name, _ in metrics} <= known.keys(), expr
        for name, matchers in metrics:
            assert {label for label, _, _ in matchers} <= known[name] | ADDED_LABELS, expr
        assert groupings(expr) <= set().union(*(known[name] for name, _ in metrics)) | ADDED_LABELS, expr


@pytest.mark.anyio
@pytest.mark.parametrize("label", ["route", "label", "feature", "outcome", "state"])
async def test_every_queried_label_value_is_exposed(exposed: Exposed, label: str) -> None:
    queried = queried_values(label, "=")
    assert queried
    assert queried <= set().union(*(labels.get(label, set()) for labels in exposed.values()))


@pytest.mark.anyio
async def test_every_stage_has_its_own_colour(exposed: Exposed) -> None:
    for panel in PANELS:
        if any("stage" in groupings(target["expr"]) for target in panel["targets"]):
            coloured = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
            assert coloured == exposed["xray_stage_seconds_count"]["stage"]


def test_devices_and_providers_are_named_as_the_service_names_them() -> None:
    assert queried_values("provider") == {CUDA}
    assert queried_values("device_requested") < set(get_args(Device))


@pytest.mark.anyio
async def test_every_label_in_a_legend_exists(exposed: Exposed) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            own = set().union(*(known_labels(exposed)[name] for name, _ in selectors(target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= own | ADDED_LABELS, title(panel)


@pytest.mark.anyio
async def test_the_table_of_models_shows_every_label(exposed: Exposed) -> None:
    table = next(panel for panel in PANELS if panel["targets"][0]["expr"] == "xray_model_info")
    shown = table["transformations"][0]["options"]["indexByName"]
    assert shown.keys() == exposed["xray_model_info"].keys() | {"instance"}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_panel(subject: str) -> None:
    assert any(re.search(SUBJECTS[subject], target["expr"]) for panel in PANELS for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=title)
def test_every_panel_has_a_description_unit_and_source(panel: dict[str, Any]) -> None:
    provisioned = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())
    sources = {(source["type"], source["uid"]) for source in provisioned["datasources"]}
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for holder in (panel, *panel["targets"]):
        assert (holder["datasource"]["type"], holder["datasource"]["uid"]) in sources


@pytest.mark.parametrize("panel", PANELS, ids=title)
def test_colours_are_distinguishable(panel: dict[str, Any]) -> None:
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


def test_panels_do_not_overlap_and_have_unique_ids() -> None:
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
    fewer_collections = os.environ | {"GOGC": "400"}  # of garbage, which take a quarter of the CPU time
    done = run(["promtool", *arguments], cwd=FOLDER, env=fewer_collections)
    assert done.returncode == 0, done.stdout + done.stderr


@PROMTOOL
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "monitoring")
    config = folder / "prometheus.yml"
    (tmp_path / "key").touch()  # compose mounts one, or an empty file
    config.write_text(config.read_text().replace("/run/metrics-key", str(tmp_path / "key")))
    promtool("check", "config", str(config))


@PROMTOOL
@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.name))
def test_promtool_runs_the_alerts_tests(file: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "monitoring")
    if unusable(("promtool",), at_least=(3, 0)):  # an older one knows no other comparison, and needs none
        tests = re.sub(r"^fuzzy_compare: true.*\n", "", file.read_text(), flags=re.M)
        (folder / file.name).write_text(tests)
    promtool("test", "rules", str(folder / file.name))


def test_every_replica_is_scraped_and_no_other_host() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    (found,) = jobs["xray-inference"]["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["service."], "A", 8000)
    assert jobs["xray-node"]["static_configs"] == [{"targets": ["node:9113"]}]
    assert jobs["prometheus"]["static_configs"] == [{"targets": ["localhost:9090"]}]
    assert config.keys() == {"global", "rule_files", "scrape_configs"}
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_no_external_host_is_named() -> None:
    files = [ROOT / "compose.monitoring.yaml", *(path for path in FOLDER.rglob("*") if path.is_file())]
    hosts = {host for path in files for host in re.findall(r"\w+://([\w.-]+)", path.read_text())}
    assert hosts == {"prometheus", "localhost", "127.0.0.1"}


@pytest.mark.parametrize("name", ADDED)
def test_every_monitoring_service_is_hardened(name: str) -> None:
    service = ADDED[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["cpu_quota"] == service["cpu_period"]
    assert "cpus" not in service  # a service with more CPUs than the host has does not start
    assert all("noexec" in mount for mount in service["tmpfs"])
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["healthcheck"]["test"][:2] == ["CMD", "wget"]
    assert not {"privileged", "network_mode", "pid", "build"} & service.keys()


@pytest.mark.parametrize("name", ADDED)
def test_an_image_is_pinned_and_can_be_replaced(name: str) -> None:
    assert re.fullmatch(rf"\$\{{{name.upper()}_IMAGE:-\S+/{name}:v?\d+\.\d+\.\d+\}}", ADDED[name]["image"])


@pytest.mark.parametrize("name", ADDED)
def test_mounts_exist_and_are_read_only_or_named_volumes(name: str) -> None:
    for source, _, *mode in (re.sub(r"\$\{\w+:-(.*?)\}", r"\1", each).split(":") for each in ADDED[name]["volumes"]):
        if source == "/dev/null":  # instead of an optional file
            assert mode == ["ro"]
        elif source.startswith("."):
            assert (ROOT / source).is_dir()
            assert mode == ["ro,z"]
        else:
            assert source in COMPOSE["volumes"]


def test_only_grafana_is_published_and_only_on_localhost() -> None:
    assert ADDED["grafana"]["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    assert "ports" not in ADDED["prometheus"]
    assert COMPOSE["services"]["service"] == {"networks": ["default", "monitoring"]}


def test_metrics_are_scraped_over_an_internal_network() -> None:
    assert COMPOSE["networks"]["monitoring"] == {"internal": True}
    assert ADDED["prometheus"]["networks"] == ["monitoring"]
    (own,) = set(ADDED["grafana"]["networks"]) - {"monitoring"}
    assert COMPOSE["networks"][own]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def test_stored_metrics_are_limited_in_time_and_size() -> None:
    kept = dict(re.findall(r"--storage\.tsdb\.retention\.(time|size)=(\S+)", "\n".join(ADDED["prometheus"]["command"])))
    assert kept == {"time": "30d", "size": "2GB"}


@pytest.mark.parametrize(("names", "value"), [(OFF, "false"), (ON, "true")], ids=["off", "on"])
def test_grafana_contacts_no_host_and_has_no_logins(names: list[str], value: str) -> None:
    environment = ADDED["grafana"]["environment"]
    assert {name: environment.get(f"GF_{name}") for name in names} == dict.fromkeys(names, value)
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@needs("promtool", package="prometheus")
def test_what_the_documentation_says_of_any_promtool() -> None:
    for command in (["check", "config", "--syntax-only", "prometheus.yml"], ["check", "rules", *map(str, RULE_FILES)]):
        checked = run(["promtool", *command], cwd=FOLDER)
        assert checked.returncode == 0, checked.stderr
