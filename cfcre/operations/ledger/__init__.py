"""The SQL ledger: batches, tasks, leases with fencing tokens, and the champion's history."""

from cfcre.operations.ledger.ledger import Ledger
from cfcre.operations.ledger.records import (
    Activity,
    BatchRecord,
    Claim,
    LeaderRecord,
    LiveClaim,
    Outcome,
    Promotion,
    Recorded,
)

__all__ = [
    "Activity",
    "BatchRecord",
    "Claim",
    "LeaderRecord",
    "Ledger",
    "LiveClaim",
    "Outcome",
    "Promotion",
    "Recorded",
]
