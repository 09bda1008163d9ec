"""The reconcile step, over a store in memory, a fake inbox and a fake launcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cfcre.config import Settings
from cfcre.errors import BatchRejected, ConfigurationError
from cfcre.operations.ledger import Claim, Ledger
from cfcre.operations.owner import Owner, current_owner
from cfcre.operations.reconciler import record_inbox
from cfcre.tracking.kinds import ModelKind

World = Any  # the fixture's class, see conftest.py


def test_batches_are_learned_one_a_step_and_moved_when_settled(world: World) -> None:
    one, two = world.drop("s/b1.jsonl", "one"), world.drop("s/b2.jsonl", "two")
    report = world.step()
    assert [b.name for b in report.recorded] == ["b1.jsonl", "b2.jsonl"]
    assert report.launched == [("s", one)]
    assert sorted(world.store.objects) == ["inbox/s/b2.jsonl", f"processed/s/{one}/b1.jsonl"]
    assert not report.idle
    assert world.step().launched == [("s", two)]
    last = world.step()
    assert last.idle and not (last.recorded or last.placed or last.launched)
    assert world.learned == [("s", "one"), ("s", "two")]
    assert world.store.objects[f"processed/s/{two}/b2.jsonl"] == b"two"


def test_streams_go_side_by_side_and_one_can_be_chosen(world: World) -> None:
    world.drop("s/a", "one"), world.drop("t/a", "two")
    assert len(world.step().launched) == 2
    world.drop("s/b", "three"), world.drop("t/b", "four")
    assert [stream for stream, _ in world.step(stream="t").launched] == ["t"]
    with pytest.raises(ConfigurationError):
        world.step(stream="../s")


def test_given_sequences_are_taken_before_numbers_are_given_out(world: World) -> None:
    world.sequences["numbered"] = 1
    world.drop("s/a", "free"), world.drop("s/b", "numbered")
    world.step(), world.step()
    assert world.learned == [("s", "numbered"), ("s", "free")]


def test_a_duplicate_of_a_settled_batch_is_moved_beside_it(world: World) -> None:
    one = world.drop("s/b1.jsonl", "one")
    world.drop("s/copy.jsonl", "one")
    world.step()
    world.drop("s/b1.jsonl", "one")  # the same name once more
    report = world.step()
    assert {b.name for b in report.duplicates} == {"b1.jsonl"}
    assert sorted(world.store.objects) == [
        f"processed/s/{one}/b1.jsonl",
        f"processed/s/{one}/duplicates/b1.jsonl",
        f"processed/s/{one}/duplicates/copy.jsonl",
    ]
    assert world.learned == [("s", "one")]
    assert world.step().idle


def test_problems_are_rejected_with_their_reason_and_stop_nothing_else(world: World) -> None:
    world.problems["bad"] = BatchRejected("unknown_format", "what is this?")
    world.sequences.update({"one": 1, "clash": 1})
    bad, clash = world.drop("s/a.xyz", "bad"), world.drop("s/c", "clash")
    world.drop("s/b", "one")
    report = world.step()
    assert sorted((b.name, b.reason) for b in report.rejected) == [
        ("a.xyz", "unknown_format"),
        # Of two with one number the name decides which came first.
        ("c", "sequence_conflict"),
    ]
    assert world.learned == [("s", "one")]
    reason = json.loads(world.store.objects[f"rejected/s/{bad}/reason.json"])
    assert (reason["reason"], reason["detail"], reason["name"], reason["state"]) == (
        "unknown_format",
        "what is this?",
        "a.xyz",
        "rejected",
    )
    assert world.store.objects[f"rejected/s/{bad}/a.xyz"] == b"bad"
    assert world.store.objects[f"rejected/s/{clash}/c"] == b"clash"
    assert world.step().idle


def test_a_batch_rejected_by_its_run_is_moved_aside(world: World) -> None:
    digest = world.drop("s/a", "one")
    world.ends["one"] = ["reject"]
    world.drop("s/b", "two")
    world.step()
    assert f"rejected/s/{digest}/reason.json" in world.store.objects
    world.step()
    assert world.states() == {"a": "rejected", "b": "promoted"}


def test_poison_is_set_aside_retried_and_learned(world: World, clock: Any) -> None:
    poison = world.drop("s/a", "one")
    world.ends["one"] = ["error", "error"]
    world.drop("s/b", "two")
    report = world.step()
    assert report.next_due is not None and not report.idle
    clock.forward(2)
    world.step()
    assert world.states()["a"] == "failed"
    assert sorted(k for k in world.store.objects if "failed" in k) == [
        f"failed/s/{poison}/a",
        f"failed/s/{poison}/reason.json",
    ]
    world.step()
    assert world.learned == [("s", "two")]
    world.ledger.retry("a")
    world.step()
    assert world.learned == [("s", "two"), ("s", "one")]
    assert [k for k in world.store.objects if poison in k] == [f"processed/s/{poison}/a"]


def test_a_retried_batch_whose_name_is_taken_comes_back_under_another(world: World) -> None:
    poison = world.drop("s/a", "one")
    world.ends["one"] = ["reject"]
    world.step()
    other = world.drop("s/a", "two")
    world.ledger.retry(poison)
    world.step(), world.step()
    assert world.learned == [("s", "one"), ("s", "two")]
    assert world.store.objects[f"processed/s/{poison}/{poison[:8]}-a"] == b"one"
    assert world.store.objects[f"processed/s/{other}/a"] == b"two"


def test_a_renamed_waiting_batch_is_followed(world: World) -> None:
    world.sequences.update({"one": 1, "two": 2})
    world.drop("s/old", "two")
    world.step()
    world.store.objects["inbox/s/new"] = world.store.objects.pop("inbox/s/old")
    world.drop("s/first", "one")
    world.step(), world.step()
    assert world.learned == [("s", "one"), ("s", "two")]


def test_a_new_batch_under_an_old_name_is_not_moved_away(world: World) -> None:
    world.drop("s/a", "one")
    world.store.fail_moves_after = 0
    with pytest.raises(KeyboardInterrupt):
        world.step()  # learned and settled, killed before the move
    world.store.fail_moves_after = None
    new = world.drop("s/a", "two")
    world.step()
    assert world.learned == [("s", "one"), ("s", "two")]
    assert world.store.objects == {f"processed/s/{new}/a": b"two"}


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_kill_between_settling_and_moving_is_made_up_for(world: World, moves: int) -> None:
    digest = world.drop("s/b1/manifest.json", "manifest")
    world.drop("s/b1/x.jsonl", "x"), world.drop("s/b1/y.jsonl", "y")
    world.store.fail_moves_after = moves
    with pytest.raises(KeyboardInterrupt):
        world.step()
    world.store.fail_moves_after = None
    # Half a batch is never found: the manifest goes first.
    assert len(world.discover()) == (1 if moves == 0 else 0)
    report = world.step()
    assert report.launched == [] and report.duplicates == []
    folder = f"processed/s/{digest}/b1"
    assert sorted(world.store.objects) == [
        f"{folder}/manifest.json",
        f"{folder}/x.jsonl",
        f"{folder}/y.jsonl",
    ]
    assert world.learned == [("s", "manifest")]


def test_a_run_that_ended_unsettled_is_settled_not_repeated(
    world: World, ledger: Ledger, dead_owner: Owner
) -> None:
    digest = world.drop("s/a", "one")
    ledger.record_batch("s", digest, name="a", keys=["inbox/s/a"])
    claim = ledger.claim(
        "s", owner=dead_owner, lease_seconds=60, max_attempts=2, max_interruptions=3
    )
    assert claim is not None
    ledger.advance(claim, "evaluated", verdict="hold", model_version="1")
    report = world.step()
    assert [(o.ending, o.state) for o in report.settled] == [("learned", "held")]
    assert report.launched == [] and report.idle
    assert list(world.store.objects) == [f"processed/s/{digest}/a"]


def test_a_run_of_another_process_is_left_alone(
    world: World, ledger: Ledger, take: Callable[..., Claim]
) -> None:
    digest = world.drop("s/a", "one")
    ledger.record_batch("s", digest, name="a", keys=["inbox/s/a"])
    take()
    world.problems["one"] = BatchRejected("unreadable_file", "gone")
    report = world.step()
    assert report.launched == [] and not report.idle
    assert report.activity[0].live is not None
    assert list(world.store.objects) == ["inbox/s/a"]
    assert world.states() == {"a": "claimed"}


def test_a_launcher_error_does_not_stop_other_streams(world: World) -> None:
    world.drop("s/a", "one"), world.drop("t/a", "two")
    world.broken_streams.add("s")
    report = world.step()
    assert [stream for stream, _ in report.launched] == ["t"]
    assert list(report.launch_errors) == ["s"]
    assert world.states()["a"] in ("seen", "promoted")
    assert world.learned == [("t", "two")]


def test_the_alias_is_repaired_only_where_it_may_be_behind(world: World) -> None:
    opened: list[int] = []

    aliases: dict[str, str] = {}

    class Registry:
        def set_alias(self, alias: str, version: str) -> None:
            aliases[alias] = version

        def alias(self, alias: str) -> str | None:
            return aliases.get(alias)

        def versions(self) -> list[dict[str, Any]]:
            return []

    def open_tracker(kind: ModelKind) -> Registry:
        opened.append(kind.name)
        return Registry()

    assert not world.step(open_tracker=open_tracker).alias_moved
    assert opened == []
    world.drop("s/a", "one")  # settled as promoted; nobody moved the alias
    assert world.step(open_tracker=open_tracker).alias_moved
    assert aliases == {"champion": "1"}
    world.step(open_tracker=open_tracker)
    assert opened == ["relations"]


def test_each_models_alias_is_brought_up_to_its_own_champion(world: World, ledger: Ledger) -> None:
    moved: list[tuple[str, str, str]] = []

    class Registry:
        def __init__(self, kind: ModelKind) -> None:
            self.name = kind.registered_name("cfcre")

        def set_alias(self, alias: str, version: str) -> None:
            moved.append((self.name, alias, version))

        def alias(self, alias: str) -> str | None:
            return next((v for n, a, v in moved if (n, a) == (self.name, alias)), None)

        def versions(self) -> list[dict[str, Any]]:
            return []

    for model, version in (("cfcre-spans", "2"), ("cfcre-extractor", "3")):
        view = ledger.for_model(model)
        view.promote(version, expected_old=None, actor="a", reason="killed before the alias moved")
    assert world.step(open_tracker=Registry).alias_moved
    assert moved == [("cfcre-spans", "champion", "2"), ("cfcre-extractor", "champion", "3")]
    assert not world.step(open_tracker=Registry).alias_moved


def test_a_run_that_ended_during_the_step_is_reason_to_look_again(
    world: World, ledger: Ledger
) -> None:
    """Its exit handler may have put documents into the inbox after it was listed."""
    world.drop("s/a", "one")
    claim = None

    listing = world.discover

    def discover() -> Any:
        found = listing()
        if claim is not None:
            ledger.settle(claim)
        return found

    def step() -> Any:
        return world.step(frozenset(["s"]))

    world.discover = discover
    step()
    claim = ledger.claim(
        "s", owner=current_owner(), lease_seconds=60, max_attempts=1, max_interruptions=1
    )
    report = step()
    assert report.ended and report.look_again and not report.idle
    assert not step().look_again


def test_recording_alone_starts_and_moves_nothing(world: World, ledger: Ledger) -> None:
    world.problems["bad"] = BatchRejected("unknown_format", "what is this?")
    one, bad = world.drop("s/a", "one"), world.drop("s/b.xyz", "bad")

    def record() -> Any:
        return record_inbox(
            settings=Settings(), store=world.store, ledger=ledger, discover=world.discover
        )

    report = record()
    assert [b.batch_hash for b in report.recorded] == [one]
    assert [b.batch_hash for b in report.rejected] == [bad]
    assert world.learned == [] and world.states() == {"a": "seen", "b.xyz": "rejected"}
    assert set(world.store.objects) == {"inbox/s/a", "inbox/s/b.xyz"}
    again = record()
    assert not (again.recorded or again.duplicates)
    world.step()
    assert world.learned == [("s", "one")]
    world.drop("s/copy", "one")
    assert [b.batch_hash for b in record().duplicates] == [one]
    assert "inbox/s/copy" in world.store.objects  # moving it is left to whoever reconciles
    with pytest.raises(ConfigurationError):
        record_inbox(settings=Settings(), store=world.store, ledger=ledger, stream="../s")
