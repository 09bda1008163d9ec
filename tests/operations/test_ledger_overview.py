"""The overview against the status, which is made another way; on every database at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cfcre.operations.ledger import Claim, Ledger


def test_every_stream_at_a_glance(
    ledger: Ledger,
    clock: Any,
    drop: Callable[..., str],
    take: Callable[..., Claim],
    learn: Callable[..., str],
) -> None:
    assert ledger.overview() == []
    for name in "abcdef":
        drop(name)
        clock.forward(10)
    begun = clock.now
    learn("1", "promote"), learn("2", "hold"), learn("3", "hold")
    claim = take()
    ledger.advance(claim, "evaluated", evaluation={"average_accuracy": 0.5, "forgetting": None})
    drop("x", stream="empty-handed")
    one, other = ledger.overview()

    assert (one.stream, other.stream) == ("empty-handed", "s")
    assert one.states == {"seen": 1} and one.claimed_at is None and one.average_accuracy is None
    (status,) = ledger.status("s")["streams"]
    counted = Counter(task["state"] for task in [*status["tasks"], *status["pending"]])
    assert other.states == counted == {"promoted": 1, "held": 2, "evaluated": 1, "seen": 2}
    assert other.oldest_pending == begun - timedelta(seconds=20)  # the fifth of six
    assert other.claimed_at == begun and other.leased_until == begun + timedelta(seconds=60)
    assert other.held_in_a_row == 2
    assert other.average_accuracy is None  # of the newest learned task, which has no figures

    ledger.advance(claim, "evaluated", verdict="promote", model_version="4")
    ledger.settle(claim)
    other = ledger.overview()[1]
    assert other.held_in_a_row == 0 and other.claimed_at is None
    assert (other.average_accuracy, other.forgetting) == (0.5, None)


def test_all_versions_held_since_the_beginning(
    ledger: Ledger, drop: Callable[..., str], learn: Callable[..., str]
) -> None:
    drop("a"), drop("b")
    learn("1", "hold"), learn("2", "hold")
    (found,) = ledger.overview()
    assert found.held_in_a_row == 2 and found.oldest_pending is None
