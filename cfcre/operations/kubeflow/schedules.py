"""Recurring runs by name: created, changed, shown and removed, whatever was there before.

Kubeflow can not change a recurring run, only make and delete one. So a change is a new one first
and the deletion of the others after it; stopped in between, two are left for a while (the ledger
lets one task of a stream run), and the same command cleans up. What a recurring run does is told
apart by a digest in its description, which no rewriting of the definition by a server touches.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cfcre.errors import ConfigurationError
from cfcre.operations.kubeflow.client import KubeflowClient

__all__ = ["Schedule", "check_cron", "remove_schedule", "set_schedule", "show_schedule"]

Change = Literal["created", "updated", "unchanged"]

_MARK = "cfcre-definition"
_RANGES = (
    ("seconds", 0, 59),
    ("minutes", 0, 59),
    ("hours", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_NAMES = {
    "month": "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(),
    "day of week": "SUN MON TUE WED THU FRI SAT".split(),
}


@dataclass(frozen=True)
class Schedule:
    """A recurring run.

    Attributes:
        stream: Stream that its runs look into.
        cron: Six fields.
        created_at: ISO time; empty where Kubeflow does not tell.
    """

    name: str
    recurring_run_id: str
    stream: str
    cron: str
    enabled: bool
    max_concurrency: int
    catch_up: bool
    created_at: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping."""
        return asdict(self)


def check_cron(text: str) -> str:
    """A cron expression as Kubeflow takes it: six fields, seconds first.

    Raises:
        ConfigurationError: The number of fields is wrong, or a field is out of its range.
    """
    fields = text.split()
    if len(fields) != len(_RANGES):
        hint = f"; with seconds it is '0 {text}'" if len(fields) == 5 else ""
        raise ConfigurationError(
            f"the cron expression {text!r} has {len(fields)} fields; Kubeflow takes six: second, "
            f"minute, hour, day of month, month, day of week{hint}"
        )
    for field, (what, low, high) in zip(fields, _RANGES, strict=True):
        for part in field.split(","):
            if not _valid(part, what, low, high):
                raise ConfigurationError(
                    f"the cron expression {text!r}: {field!r} is no {what}; give *, a number from "
                    f"{low} to {high}, a range a-b, a list a,b or a step */n"
                )
    return " ".join(fields)


def _valid(part: str, what: str, low: int, high: int) -> bool:
    match = re.fullmatch(r"(\*|\?|\w+)(?:-(\w+))?(?:/([1-9][0-9]*))?", part)
    if match is None:
        return False
    start, end, _ = match.groups()
    if start in "*?":
        return end is None and (start == "*" or what.startswith("day of"))
    numbers = [_number(value, what) for value in (start, end) if value is not None]
    if any(n is None or not low <= n <= high for n in numbers):
        return False
    return len(numbers) == 1 or numbers[0] <= numbers[1]  # type: ignore[operator]


def _number(value: str, what: str) -> int | None:
    names = _NAMES.get(what, [])
    if value.upper() in names:
        return names.index(value.upper()) + (1 if what == "month" else 0)
    return int(value) if re.fullmatch(r"[0-9]{1,2}", value) else None


def set_schedule(
    client: KubeflowClient,
    package: dict[str, Any],
    *,
    name: str,
    stream: str,
    cron: str,
    settings: str,
    enabled: bool = True,
) -> tuple[Schedule, Change]:
    """Make the named recurring run be as given, and be the only one of its name.

    Args:
        client: Kubeflow.
        package: The compiled pipeline.
        name: Name of the recurring run.
        stream: Stream that its runs look into.
        cron: Six fields, see :func:`check_cron`.
        settings: Portable settings as JSON.
        enabled: Whether it starts runs.

    Returns:
        The recurring run, and what had to be done.

    Raises:
        ConfigurationError: The cron expression is wrong, somebody else's recurring run has the
            name, or Kubeflow refused.
        KubeflowUnavailable: Kubeflow did not answer; the same call goes on.
    """
    cron = check_cron(cron)
    parameters = {"stream": stream, "batch": "", "settings": settings}
    about = _description(client, package, parameters, cron, enabled)
    there = _ours(client, name)
    same = [job for job in there if job.description == about and _as_made(job, enabled)]
    if same:
        keep = same[0]
    else:
        keep = client.create_recurring_run(
            name, package, parameters, cron=cron, enabled=enabled, about=about
        )
    for job in _ours(client, name):
        if job.recurring_run_id != keep.recurring_run_id:
            client.delete_recurring_run(job.recurring_run_id)
    change: Change = "created" if not there else "unchanged" if same else "updated"
    return _schedule(keep), change


def show_schedule(client: KubeflowClient, name: str) -> list[Schedule]:
    """The recurring runs of that name: none, one, or two that a broken change left.

    Raises:
        KubeflowUnavailable: Kubeflow did not answer.
    """
    return [_schedule(job) for job in client.recurring_runs(name)]


def remove_schedule(client: KubeflowClient, name: str) -> int:
    """Remove the named recurring run; returns how many were there, 0 a second time.

    Raises:
        ConfigurationError: Somebody else's recurring run has the name.
        KubeflowUnavailable: Kubeflow did not answer.
    """
    there = _ours(client, name)
    for job in there:
        client.delete_recurring_run(job.recurring_run_id)
    return len(there)


def _ours(client: KubeflowClient, name: str) -> list[Any]:
    there = client.recurring_runs(name)
    for job in there:
        if _MARK not in (job.description or ""):
            raise ConfigurationError(
                f"a recurring run {name!r} exists that cfcre did not make "
                f"({job.recurring_run_id}); give another --name, or remove it in Kubeflow"
            )
    return there


def _description(
    client: KubeflowClient,
    package: dict[str, Any],
    parameters: dict[str, str],
    cron: str,
    enabled: bool,
) -> str:
    options = client.settings
    definition = json.dumps(
        [
            package,
            parameters,
            cron,
            enabled,
            options.experiment,
            options.service_account,
            options.pipeline_root,
        ],
        sort_keys=True,
    )
    digest = hashlib.sha256(definition.encode("utf-8")).hexdigest()
    return f"Learns the next batch of stream {parameters['stream']}. {_MARK}: {digest}"


def _as_made(job: Any, enabled: bool) -> bool:
    """Whether nobody switched it on or off since; nothing else of it can be changed."""
    return (str(job.mode or "") == "ENABLE") == enabled


def _schedule(job: Any) -> Schedule:
    schedule = job.trigger.cron_schedule if job.trigger else None
    parameters = (job.runtime_config.parameters if job.runtime_config else None) or {}
    return Schedule(
        name=job.display_name or "",
        recurring_run_id=job.recurring_run_id or "",
        stream=str(parameters.get("stream", "")),
        cron=(schedule.cron if schedule else "") or "",
        enabled=str(job.mode or "") == "ENABLE",
        max_concurrency=int(job.max_concurrency or 0),
        catch_up=not job.no_catchup,
        created_at=job.created_at.isoformat() if job.created_at else "",
    )
