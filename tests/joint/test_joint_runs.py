"""Documents from the inbox to a version of the span model."""

from __future__ import annotations

from joint_cases import bad_documents, make_documents

from cfcre.tracking.kinds import EXTRACTOR, SPANS


def test_one_drop_feeds_both_models(make_world, relation_rows) -> None:
    world = make_world()
    good = make_documents(relation_rows, ["founded", "born in"], 30, 1)
    world.drop([*good, *bad_documents().values()])
    world.until_idle()
    print(world.ledger.status())
    print(world.versions(SPANS), world.versions(EXTRACTOR))
    assert 0
