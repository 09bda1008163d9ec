"""Documents from the inbox to versions of span model and extractor, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joint_cases import bad_documents, make_documents
from joint_world import World

from cfcre.cli.main import main
from cfcre.errors import CfcreError, StoreUnavailable
from cfcre.intake.quarantine import read_quarantine
from cfcre.operations.joint.memory import read_documents
from cfcre.spans.storing import StoredDocument, document_from_json, words_key
from cfcre.tracking.kinds import EXTRACTOR, RELATIONS, SPANS

STREAM = "news.documents"


def aliases(world: World, kind: Any) -> dict[str, str]:
    return {alias: v["version"] for v in world.versions(kind) for alias in v["aliases"]}


def test_from_one_drop_to_a_rollback(
    make_world, relation_rows, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world()
    good, bad = make_documents(relation_rows, ["founded", "born in"], 30, 1), bad_documents()
    world.drop([*good, *bad.values()])
    world.until_idle()

    # The same drop fed both.
    (relation_task,), (task,) = world.tasks("news"), world.tasks(STREAM)
    assert (relation_task["state"], relation_task["relations"]) == ("held", ["born in", "founded"])
    assert (task["state"], task["rows"]) == (
        "promoted",
        {"read": len(good) + len(bad), "accepted": len(good), "quarantined": len(bad)},
    )
    assert task["scores"]["entities"] > 0.8 and task["scores"]["relations"] > 0.6
    assert not [i for i in world.store.list("inbox/")], "everything was moved"
    entry, rows = read_quarantine(world.store, f"{STREAM}/{task['batch']}")
    assert {row.reason for row in rows} == set(bad) == set(entry.by_reason)
    assert "(id far)" in rows[0].source

    # One version, that MLflow loads without a pickle and that finds what stands in a text.
    (version,) = world.versions(SPANS)
    assert version["aliases"] == ["challenger", "champion"]
    assert float(version["relations_f1"]) == task["scores"]["relations"]
    answers = predict(world, SPANS, ["last year ada founded orion long ago 7", "", "🙂 ada"])
    (first, nothing, _) = answers
    assert [(e.text, e.type) for e in first.entities] == [("ada", "Peop"), ("orion", "Org")]
    text = "last year ada founded orion long ago 7"
    assert [text[e.start : e.end] for e in first.entities] == ["ada", "orion"]
    assert [(r.head, r.tail, r.type) for r in first.relations] == [(0, 1, "founded")]
    assert nothing.entities == nothing.relations == []

    # The extractor refers to it; the relation stream has no champion yet.
    (extractor,) = world.versions(EXTRACTOR)
    assert extractor["spans_version"] == "1" and "relations_version" not in extractor
    (answer,) = predict(world, EXTRACTOR, [text])
    assert [(r.head, r.tail, r.type) for r in answer.relations] == [(0, 1, "founded")]

    # A second drop, for the span model alone: all documents so far are learned again.
    more = make_documents(relation_rows, ["owns", "wrote"], 30, 2)
    world.drop(more, STREAM)
    world.until_idle()
    second = world.tasks(STREAM)[1]
    assert second["state"] == "promoted"
    batch = world.ledger.batch(second["batch"], STREAM)
    assert sum(batch.facts["corpus"].values()) == len(good) + len(more)
    assert aliases(world, SPANS) == {"challenger": "2", "champion": "2"}
    assert aliases(world, EXTRACTOR)["champion"] == "2"
    assert world.tasks("news") == [relation_task], "the relation stream learned nothing of it"

    # Back: the span model, and the extractor with it. The relation model is another matter.
    home = ["--home", str(world.settings.home)]
    capsys.readouterr()
    assert main(["rollback", "--model", "spans", "--reason", "worse in use", *home]) == 0
    assert "the champion is version 1, was version 2" in capsys.readouterr().out
    assert aliases(world, SPANS) == {"challenger": "2", "champion": "1"}
    assert aliases(world, EXTRACTOR)["champion"] == "1"
    spans = world.ledger.for_model("cfcre-spans")
    assert [(m.kind, m.new_version) for m in spans.promotions()] == [
        ("gate", "1"),
        ("gate", "2"),
        ("rollback", "1"),
    ]
    assert spans.promotions()[-1].stream == STREAM
    assert world.ledger.promotions() == []
    assert main(["rollback", "--model", "spans", "--reason", "again", *home]) == 3
    assert main(["models", "--model", "spans", *home]) == 0
    assert "worse in use" in capsys.readouterr().out
    assert main(["status", *home]) == 0
    assert "entity F1" in capsys.readouterr().out


def predict(world: World, kind: Any, texts: list[str]) -> list[Any]:
    """Load the champion as a user of MLflow does."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, world.settings.tracking_uri)
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        model = mlflow.pyfunc.load_model(f"models:/{kind.registered_name('cfcre')}@champion")
        answers: list[Any] = model.predict([{"text": text} for text in texts])
    return answers


def test_the_gate_holds_a_worse_model_and_keeps_its_documents(make_world, relation_rows) -> None:
    world = make_world()
    good = make_documents(relation_rows, ["founded", "born in"], 25, 1)
    world.drop(good, STREAM)
    world.until_idle()
    # Every name is called something else: what the champion says is wrong in no old document.
    wrong = make_documents(relation_rows, ["founded", "born in"], 40, 3)
    for document in wrong:
        document["entities"][0]["type"], document["entities"][1]["type"] = "Org", "Peop"
        document["split"] = "train"
    world.drop(wrong, STREAM, "wrong.json")
    world.until_idle()
    first, second = world.tasks(STREAM)
    assert (first["state"], second["state"]) == ("promoted", "held")
    assert "falls too far" in world.ledger.batch(second["batch"], STREAM).facts["gate"]
    assert aliases(world, SPANS) == {"champion": "1", "challenger": "2"}
    assert aliases(world, EXTRACTOR)["champion"] == "1"
    assert len(world.versions(EXTRACTOR)) == 1, "nothing new to refer to"
    # Their correction is submitted again; the texts keep their split and get the new labels.
    for document in wrong:
        document["entities"][0]["type"] = "Peop"
        document["entities"][1]["type"] = (
            "Org" if document["relations"][0]["type"] == "founded" else "Loc"
        )
        del document["split"]
    world.drop(wrong, STREAM, "corrected.json")
    world.until_idle()
    third = world.tasks(STREAM)[2]
    assert third["state"] == "promoted"
    corpus = world.ledger.batch(third["batch"], STREAM).facts["corpus"]
    assert sum(corpus.values()) == len(good) + len(wrong)
    kept = read_documents(world.store, STREAM, first["batch"], world.settings)
    assert corpus["test"] == sum(s.split == "test" for s in kept)
    assert len({words_key(s.document) for s in kept}) == len(good)


def test_a_batch_of_bad_documents_is_rejected_and_the_next_one_goes_on(
    make_world, relation_rows
) -> None:
    world = make_world()
    world.drop(list(bad_documents().values()), STREAM, "bad.json")
    world.until_idle()
    (task,) = world.tasks(STREAM)
    assert (task["state"], task["reason"]) == ("rejected", "too_few_documents")
    assert task["rows"] == {"read": 11, "accepted": 0, "quarantined": 11}
    assert world.store.list(f"rejected/{STREAM}/")
    assert "train_spans" not in world.stages
    _, rows = read_quarantine(world.store, task["batch"])
    assert len(rows) == 11
    home = ["--home", str(world.settings.home)]
    assert main(["retry", task["batch"], *home]) == 0
    world.until_idle()
    assert world.tasks(STREAM)[0]["attempt"] == 2


def test_a_run_that_fails_after_registering_makes_no_second_version(
    make_world, relation_rows
) -> None:
    world = make_world(ledger__max_attempts=5)
    failures = {"register_extractor": 1, "evaluate_spans": 1, "train_spans": 1}

    def fail(stage: str) -> None:
        if failures.get(stage):
            failures[stage] -= 1
            task = world.ledger.live_claim(STREAM)
            assert task is not None
            raise StoreUnavailable(f"{stage} was cut off")

    world.before = fail
    world.drop(make_documents(relation_rows, ["founded", "born in"], 20, 1), STREAM)
    world.until_idle()
    (task,) = world.tasks(STREAM)
    assert (task["state"], task["attempt"], task["interruptions"]) == ("promoted", 3, 2)
    assert [v["version"] for v in world.versions(SPANS)] == ["1"]
    # The extractor was cut off; whoever moves a champion takes it along.
    assert world.versions(EXTRACTOR) == []
    home = ["--home", str(world.settings.home)]
    for _ in range(2):
        words = ["promote", "1", "--model", "spans", "--reason", "take the extractor along"]
        assert main([*words, *home]) == 0
    assert [v["version"] for v in world.versions(EXTRACTOR)] == ["1"]
    assert len(world.ledger.for_model("cfcre-spans").promotions()) == 1


def test_a_champion_of_another_stream_is_not_compared_with(make_world, relation_rows) -> None:
    world = make_world()
    world.drop(make_documents(relation_rows, ["founded", "born in"], 20, 1), STREAM)
    world.drop(make_documents(relation_rows, ["owns", "wrote"], 20, 2), "trade.documents")
    world.until_idle()
    assert world.tasks(STREAM)[0]["state"] == "promoted"
    (other,) = world.tasks("trade.documents")
    assert other["state"] == "held"
    facts = world.ledger.batch(other["batch"], "trade.documents").facts
    assert "the champion is of stream 'news.documents'" in facts["gate"]


def test_a_run_that_lost_its_lease_registers_nothing(make_world, relation_rows) -> None:
    world = make_world()
    taken: list[str] = []

    def overtake(stage: str) -> None:
        if stage == "register_spans" and not taken:
            live = world.ledger.live_claim(STREAM)
            assert live is not None
            taken.append(live.run_name)
            world.ledger.settle(live.run_name)

    world.before = overtake
    world.drop(make_documents(relation_rows, ["founded", "born in"], 20, 1), STREAM)
    world.until_idle()
    (task,) = world.tasks(STREAM)
    assert (task["state"], task["attempt"]) == ("promoted", 2)
    assert [v["version"] for v in world.versions(SPANS)] == ["1"]
    assert world.versions(RELATIONS) == []


def test_the_same_documents_and_seed_give_the_same_model(make_world, relation_rows) -> None:
    from cfcre.operations.joint.training import train_spans

    world = make_world(spans__epochs=2)
    made = make_documents(relation_rows, ["founded", "born in"], 8, 1)
    documents = [StoredDocument(document_from_json(document, "here"), "train") for document in made]
    folders = [world.folder / name for name in ("a", "b")]
    for folder in folders:
        train_spans(documents, folder, world.settings, lineage={})
    first, second = (json.loads((f / "model.json").read_text())["files"] for f in folders)
    assert first == second


def test_an_error_of_the_extractor_is_told(
    make_world, relation_rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cfcre.operations.joint import extractor

    world = make_world(spans__epochs=1)
    world.drop(make_documents(relation_rows, ["founded", "born in"], 12, 1), STREAM)
    world.until_idle()

    def broken(*arguments: Any) -> None:
        raise CfcreError("no disk")

    monkeypatch.setattr(extractor, "_find", broken)
    words = ["promote", "1", "--model", "spans", "--reason", "r"]
    assert main([*words, "--home", str(world.settings.home)]) == 1
    assert "the extractor could not follow" in capsys.readouterr().err
