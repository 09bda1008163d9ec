"""Every error this package raises on purpose, and the exit code each one carries.

::

    CfcreError                    exit 1, a retry will not help
    ├── ConfigurationError        exit 2   a setting, option or argument is wrong
    ├── NotFoundError             exit 3   the named stream, batch or version does not exist
    ├── DataError                 exit 65  the user's data is at fault
    │   └── BatchRejected         exit 65  a whole batch is at fault; carries a reason code
    ├── LeaseLost                 exit 73  another run holds this stream's task now (fencing)
    ├── StateError                exit 74  a learner state is missing, damaged or incompatible
    └── RetryableError            exit 75  something outside failed; the same call may succeed later
        ├── StoreUnavailable
        ├── LedgerUnavailable
        ├── TrackingUnavailable
        ├── KubeflowUnavailable
        ├── QueueUnavailable
        └── LeadershipLost     another watcher leads now, or nobody can tell

The exit code is the contract with schedulers: 75 (``EX_TEMPFAIL``) means "retry", any other
non-zero code means "do not". An error in the user's data is never reported as a framework error.

A message says what was given, what is accepted, and what to do, in one line.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BatchRejected",
    "CfcreError",
    "ConfigurationError",
    "DataError",
    "KubeflowUnavailable",
    "LeadershipLost",
    "LeaseLost",
    "LedgerUnavailable",
    "NotFoundError",
    "QueueUnavailable",
    "RetryableError",
    "StateError",
    "StoreUnavailable",
    "TrackingUnavailable",
]


class CfcreError(Exception):
    """Base of all errors raised on purpose by this package."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class ConfigurationError(CfcreError):
    """A setting, option or argument is wrong."""

    exit_code = 2


class NotFoundError(CfcreError):
    """The named stream, batch, relation or model version does not exist."""

    exit_code = 3


class DataError(CfcreError):
    """The user's data is at fault."""

    exit_code = 65


class BatchRejected(DataError):
    """A whole batch is at fault and is moved aside.

    Args:
        reason: Stable machine-readable code, for example ``checksum_mismatch``.
        detail: One line for the data engineer: what was found, what is accepted, what to do.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class LeaseLost(CfcreError):
    """The fencing token is stale: another run has taken this stream's task over."""

    exit_code = 73


class StateError(CfcreError):
    """A learner state is missing, damaged, or was written by an incompatible version."""

    exit_code = 74


class RetryableError(CfcreError):
    """Something outside this program failed; the same call may succeed later."""

    exit_code = 75
    retryable = True


class StoreUnavailable(RetryableError):
    """The object store did not answer, or answered with a server error."""


class LedgerUnavailable(RetryableError):
    """The ledger's database did not answer."""


class TrackingUnavailable(RetryableError):
    """The MLflow tracking server did not answer."""


class KubeflowUnavailable(RetryableError):
    """The Kubeflow Pipelines API did not answer, or answered with a server error."""


class QueueUnavailable(RetryableError):
    """The queue of storage events did not answer."""


class LeadershipLost(RetryableError):
    """This watcher's leader lease ended; another one acts now, or will."""
