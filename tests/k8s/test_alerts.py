"""The alert rules: they parse, ask for metrics that exist, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from k8s_bundle import K8S, ROOT, Bundle

# The contract: what the watcher and the server show, with the labels of each.
METRICS = {
    "cfcre_last_reconcile_timestamp_seconds": set(),
    "cfcre_batches": {"stream", "state"},
    "cfcre_oldest_pending_seconds": {"stream"},
    "cfcre_leader": set(),
    "cfcre_trigger_events_total": {"source", "outcome"},
    "cfcre_reconcile_errors_total": set(),
    "cfcre_task_running_seconds": {"stream"},
    "cfcre_versions_held_in_a_row": {"stream"},
    "cfcre_average_accuracy": {"stream"},
    "cfcre_forgetting": {"stream"},
    "cfcre_serve_requests_total": {"code"},
    "cfcre_serve_request_seconds_bucket": {"le"},
    "cfcre_serve_request_seconds_sum": set(),
    "cfcre_serve_request_seconds_count": set(),
    "cfcre_serve_rows_total": set(),
    "cfcre_serve_model_info": {"version"},
    "cfcre_serve_reload_failures_total": set(),
}
# What Prometheus adds to whatever it scrapes.
ADDED = {"namespace", "pod", "job", "instance"}
OPERATIONS = ROOT / "docs" / "operations.md"
CASES = Path(__file__).with_name("alert_cases.yaml")


def alerts() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted((K8S / "components" / "monitoring").glob("alerts-*.yaml"))
        for group in yaml.safe_load(path.read_text())["spec"]["groups"]
        for rule in group["rules"]
    ]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metric and labels of each selector in an expression."""
    waiting: list[Any] = [promql_parser.parse(expression)]
    while waiting:
        node = waiting.pop()
        match type(node).__name__:
            case "VectorSelector":
                yield node.name, {matcher.name for matcher in node.matchers.matchers}
            case "MatrixSelector":
                waiting.append(node.vector_selector)
            case "BinaryExpr":
                waiting += [node.lhs, node.rhs]
            case "Call":
                waiting += list(node.args)
            case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
                waiting.append(node.expr)
            case "NumberLiteral" | "StringLiteral":
                pass
            case other:
                pytest.fail(f"{other} in {expression}")


def wrong_metrics(expression: str) -> list[str]:
    wrong = []
    for name, labels in selectors(expression):
        if name not in METRICS:
            wrong.append(name)
        else:
            wrong += [f"{name}{{{label}}}" for label in sorted(labels - METRICS[name] - ADDED)]
    return wrong


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
class TestAlerts:
    def test_it_asks_for_metrics_that_exist(self, alert: dict[str, Any]) -> None:
        assert wrong_metrics(alert["expr"]) == []

    def test_labels_in_its_summary_are_in_its_result(self, alert: dict[str, Any]) -> None:
        kept = set(re.findall(r"by \(([^)]*)\)", alert["expr"]))
        used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        assert used <= {label.strip() for group in kept for label in group.split(",")}

    def test_it_says_how_bad_and_what_to_do(self, alert: dict[str, Any]) -> None:
        assert alert["labels"]["severity"] in {"critical", "warning"}
        link = alert["annotations"]["runbook_url"]
        assert link == f"docs/operations.md#alert-{alert['alert']}"
        assert f'<a id="alert-{alert["alert"]}"></a>' in OPERATIONS.read_text(encoding="utf-8")


def test_the_runbook_explains_no_other_alert() -> None:
    explained = re.findall(r'<a id="alert-(\w+)"></a>', OPERATIONS.read_text(encoding="utf-8"))
    assert sorted(explained) == sorted(alert["alert"] for alert in alerts())


def test_the_scaler_asks_for_metrics_that_exist(bundles: dict[str, Bundle]) -> None:
    (scaler,) = bundles["production-keda"].of("ScaledObject")
    for trigger in scaler["spec"]["triggers"]:
        assert wrong_metrics(trigger["metadata"]["query"]) == []


def test_a_metric_that_does_not_exist_is_noticed() -> None:
    assert wrong_metrics("sum(rate(cfcre_serve_request_total[5m])) > 1") == [
        "cfcre_serve_request_total"
    ]
    assert wrong_metrics('max(cfcre_batches{status="failed"}) > 0') == ["cfcre_batches{status}"]
    with pytest.raises(ValueError, match=r"."):
        wrong_metrics("max(cfcre_leader")


class TestWithPrometheus:
    """Prometheus' own tool reads the rules, and feeds them series."""

    @pytest.fixture
    def rules(self, tmp_path: Path) -> Path:
        if shutil.which("promtool") is None:
            pytest.skip("promtool is not on this machine; Debian's package prometheus has it")
        file = tmp_path / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "cfcre", "rules": alerts()}]}))
        return file

    def test_it_accepts_them(self, rules: Path) -> None:
        done = subprocess.run(
            ["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(alerts())} rules found" in done.stdout

    def test_they_fire_when_they_should(self, rules: Path) -> None:
        cases = yaml.safe_load(CASES.read_text())
        for asked in (asked for case in cases["tests"] for asked in case["alert_rule_test"]):
            for expected in asked.get("exp_alerts") or ():
                link = f"docs/operations.md#alert-{asked['alertname']}"
                expected["exp_annotations"]["runbook_url"] = link
        rules.with_name("cases.yaml").write_text(yaml.safe_dump(cases))
        done = subprocess.run(
            ["promtool", "test", "rules", str(rules.with_name("cases.yaml"))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    fires: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for asked in case["alert_rule_test"]:
            fires.setdefault(asked["alertname"], set()).add(bool(asked.get("exp_alerts")))
    assert fires == {alert["alert"]: {True, False} for alert in alerts()}
