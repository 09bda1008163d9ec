"""What a model card says, and that names from the data stay names."""

from __future__ import annotations

import re

import pytest
from tracking_cases import evaluation, facts

from cfcre.config import Settings
from cfcre.tracking.card import encoder_licence, model_card


def full_facts() -> dict[str, object]:
    return facts(
        settings=Settings().portable(),
        rows={"read": 70, "accepted": 64, "quarantined": 6},
        history=[
            {"task": 1, "batch": "a" * 64, "batch_name": "b1", "relations": ["r1", "r2"]},
            {"task": 2, "batch": "b" * 64, "batch_name": "b2", "relations": ["r3"]},
        ],
        verdict={
            "verdict": "hold",
            "reason": "too forgetful",
            "checks": [
                {
                    "name": "mean_forgetting",
                    "passed": False,
                    "value": 0.4,
                    "limit": 0.25,
                    "detail": "0.4 > 0.25",
                },
                {
                    "name": "new_task_accuracy",
                    "passed": True,
                    "value": None,
                    "limit": 0.5,
                    "detail": "",
                },
            ],
        },
    )


def section(card: str, title: str) -> str:
    match = re.search(rf"## {title}\n(.*?)(?=\n## |\Z)", card, re.DOTALL)
    assert match, f"no section {title}"
    return match.group(1)


def test_the_settings_of_the_method_itself_are_told_and_of_no_other() -> None:
    settings = Settings().portable()
    assert "rp\\_cre." not in section(model_card(evaluation(2), full_facts()), "Settings")
    settings["method"]["name"] = "rp-cre"
    told = section(model_card(evaluation(2), facts(settings=settings)), "Settings")
    assert "rp\\_cre.attention\\_heads | 4 |" in told


def test_every_section_says_its_facts() -> None:
    card = model_card(evaluation(2), full_facts())
    assert card.startswith("# Relation extraction after task 2\n")
    measures = section(card, "Evaluation")
    assert "| Average accuracy over tasks | 0.850 |" in measures
    assert "| Mean forgetting | 0.100 |" in measures
    assert "3 of 60 rows (0.050)" in measures
    assert "| 2 | 0.800 | 0.900 |" in measures
    gate = section(card, "Gate")
    assert "**hold** (too forgetful)" in gate
    assert re.search(r"mean\\_forgetting \| \*\*failed\*\* \| 0.400 \| 0.250", gate)
    assert re.search(r"new\\_task\\_accuracy \| passed \| – \| 0.500", gate)
    data = section(card, "Data")
    assert f"| Batch SHA-256 | `{2:064x}` |" in data
    assert "| Rows quarantined | 6 |" in data
    assert re.search(r"\| 1 \| b1 \| `a{16}` \| 2 \| 30 \| 0.800 \|", section(card, "Tasks"))
    assert "method.learning\\_rate | 0.0001 |" in section(card, "Settings")
    assert "| relation 3 | new | 13 | 0.800 |" in section(card, "Relations")
    assert "Apache-2.0" in section(card, "Limits")


def test_a_relation_name_can_not_act_as_markup() -> None:
    nasty = "a|b <script>alert(1)</script> [x](http://e) `c`\n## Head\x00 &lt; $x$"
    document = evaluation(1)
    document["per_relation"] = {nasty: {"accuracy": 1.0, "support": 3}}
    card = model_card(document, facts(1, batch_name=nasty))
    rows = section(card, "Relations").strip().splitlines()
    assert len(rows) == 3  # header, rule, one row
    cells = re.split(r"(?<!\\)\|", rows[-1])
    assert len(cells) == 6
    assert "<script" not in card.replace("\\<", "")
    assert "\x00" not in card
    assert "&lt;" not in card.replace("&amp;", "")
    assert not re.search(r"(?<!\\)\[x", card)


def test_a_limit_leaves_whole_sections_out() -> None:
    whole = model_card(evaluation(40), full_facts())
    short = model_card(evaluation(40), full_facts(), limit=5000)
    assert len(whole) > 5000 >= len(short)
    assert "model_card.md" in short
    assert "model_card.md" not in whole
    for title in re.findall(r"^## (.*)$", short, re.MULTILINE):
        assert section(whole, title).strip() in short


def test_a_card_from_next_to_nothing() -> None:
    card = model_card({}, {})
    assert "## Evaluation" in card
    assert "## Gate" not in card
    assert "None" not in card


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("compact", "Apache-2.0"),
        ("paper", "Apache-2.0"),
        ("google-bert/bert-base-uncased", "Apache-2.0"),
        ("SpanBERT/spanbert-base-cased", "not for commercial use"),
        ("someone/model", "not known"),
    ],
)
def test_the_licence_of_the_weights(name: str, part: str) -> None:
    assert part in encoder_licence(name)
