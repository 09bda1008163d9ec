"""Two models in one ledger: their version numbers are the same, and are never mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfcre.operations.ledger import Ledger
from cfcre.operations.owner import current_owner
from cfcre.operations.states import learned_tasks, stream_of_version


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", model="m")
    ledger.create()
    for stream, figure in (("news", 0.5), ("news.documents", 0.75)):
        ledger.record_batch(stream, stream[:1] * 64, name=f"{stream}-batch", keys=["k"])
        claim = ledger.claim(
            stream, owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=1
        )
        assert claim is not None
        ledger.advance(
            claim, "evaluated", model_version="1", verdict="promote", average_accuracy=figure
        )
        ledger.settle(claim)
    return ledger


def test_settling_promotes_in_the_model_of_the_stream(ledger: Ledger) -> None:
    spans = ledger.for_model("m-spans")
    assert (ledger.champion(), spans.champion()) == ("1", "1")
    assert [p.stream for p in ledger.promotions()] == ["news"]
    assert [p.stream for p in spans.promotions()] == ["news.documents"]
    assert ledger.for_model("m-extractor").champion() is None


def test_a_version_belongs_to_a_stream_of_its_model(ledger: Ledger) -> None:
    spans = ledger.for_model("m-spans")
    assert stream_of_version(ledger, "1") == "news"
    assert stream_of_version(spans, "1") == "news.documents"
    assert [t["stream"] for t in learned_tasks(ledger)] == ["news"]
    assert [t["stream"] for t in learned_tasks(ledger, "news.documents")] == ["news.documents"]


@pytest.mark.parametrize(("model", "figure"), [("m", 0.5), ("m-spans", 0.75)])
def test_a_promotion_by_hand_takes_the_figures_of_its_own_batch(
    ledger: Ledger, model: str, figure: float
) -> None:
    view = ledger.for_model(model)
    view.promote("7", expected_old="1", actor="a", reason="r")
    move = view.promote("1", expected_old="7", actor="a", reason="r")
    assert move.metrics["average_accuracy"] == figure


def test_a_claim_tells_the_champion_of_its_model(ledger: Ledger) -> None:
    ledger.for_model("m-spans").promote("9", expected_old="1", actor="a", reason="r")
    for stream, champion in (("news", "1"), ("news.documents", "9")):
        ledger.record_batch(stream, "e" * 64, name="next", keys=["k2"])
        claim = ledger.claim(
            stream, owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=1
        )
        assert claim is not None
        assert claim.champion_version == champion
        ledger.settle(claim)


def test_status_shows_scores_of_documents_alone(ledger: Ledger) -> None:
    tasks = {s["name"]: s["tasks"][0] for s in ledger.status()["streams"]}
    assert "scores" not in tasks["news"]
    assert tasks["news.documents"]["scores"] is None
