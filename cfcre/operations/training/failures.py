"""How a training process tells why it ended, and what the stage that waits for it makes of that.

A process that ends with an error leaves ``error-RANK.json`` in the job's folder. One that is killed
leaves nothing, and those that wait for it end with a lost connection, which is a consequence and
never the reason.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cfcre.errors
from cfcre.data.files import read_json, write_json
from cfcre.errors import BatchRejected, CfcreError, DataError, RetryableError

__all__ = ["ERROR_FILES", "describe", "error_from", "read_records", "write_record"]

ERROR_FILES = "error-*.json"
_LONGEST = 2000
# torchrun's summary lists the processes that failed; a negative code is a signal. Its log line
# before the summary also holds "local_rank: 0", which is no entry.
_SUMMARY = re.compile(r"^\s*rank\s*:\s*(\d+) .*\n\s*exitcode\s*:\s*(-?\d+)", re.MULTILINE)
_LOST = re.compile(r"gloo|nccl|connection (closed|reset)|peer|tcpstore|timed? ?out", re.IGNORECASE)


def describe(error: BaseException, rank: int) -> dict[str, Any]:
    """The error as JSON-able data."""
    text = " ".join(str(error).split())[:_LONGEST]
    known = isinstance(error, CfcreError) and not isinstance(error, BatchRejected)
    kind = type(error).__name__
    return {
        "rank": rank,
        "kind": kind if known else RetryableError.__name__,
        "message": text if known else f"{kind}: {text}" if text else kind,
        # A RuntimeError of an exchange between processes: another one is gone or too late.
        "lost": not known and isinstance(error, RuntimeError) and bool(_LOST.search(text)),
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Leave the error in the job's folder."""
    write_json(folder / f"error-{int(record['rank'])}.json", dict(record))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """What the processes left; a file that was not finished is passed over."""
    found = []
    for path in sorted(folder.glob(ERROR_FILES)):
        try:
            found.append(dict(read_json(path)))
        except (DataError, TypeError, ValueError):
            continue
    return found


def error_from(records: Iterable[Mapping[str, Any]], output: str, where: str) -> CfcreError:
    """The error that the stage raises.

    Args:
        records: What the processes left.
        output: The end of what torchrun printed.
        where: What was run, for the message.

    Returns:
        The first process's own error, of its class; else a retryable one that says which process
        was lost.
    """
    all_records = list(records)
    for record in all_records:
        if not record.get("lost"):
            kind = getattr(cfcre.errors, str(record.get("kind")), None)
            if not (isinstance(kind, type) and issubclass(kind, CfcreError)):
                kind = RetryableError
            message = str(record.get("message"))[:_LONGEST]
            return kind(f"{message} (training process {record.get('rank')} of {where})")
    killed = _killed(output)
    if killed is not None:
        rank, number = killed
        return RetryableError(
            f"training process {rank} of {where} was killed by signal {number}; the "
            "others were stopped. Memory is the most common reason: lower method.batch_size or "
            "raise pipeline.train_memory"
        )
    if all_records:
        message = json.dumps(all_records[0].get("message"))[:_LONGEST]
        return RetryableError(f"the training processes of {where} lost each other: {message}")
    return RetryableError(
        f"the training processes of {where} ended without saying why; see the log"
    )


def _killed(output: str) -> tuple[int, int] | None:
    """Rank and signal of the process that was killed; None where none was.

    torchrun takes the process whose end it saw first for the root cause. One that lost its
    connection to a killed one is sometimes seen before it. SIGTERM is how torchrun ends the others.
    """
    listed, _, root = output.rpartition("Root Cause")
    found = [(int(rank), -int(code)) for rank, code in _SUMMARY.findall(root)[:1]]
    found += [(int(rank), -int(code)) for rank, code in _SUMMARY.findall(listed)]
    first = found[0][1] if found else 0
    if first > 0:
        return found[0]
    return next((f for f in found if f[1] > 0 and f[1] != signal.SIGTERM), None)
