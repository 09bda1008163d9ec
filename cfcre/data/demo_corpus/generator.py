"""Sentences from templates: the same seed gives the same batches on every machine."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cfcre.data.demo_corpus import words
from cfcre.data.demo_corpus.bad_rows import make_bad_rows
from cfcre.data.demo_corpus.firms import ACQUIRED, SUBSIDIARY_OF, SUPPLIES
from cfcre.data.demo_corpus.people import CHILD_OF, STUDENT_OF
from cfcre.data.demo_corpus.places import BORN_IN, DIED_IN, LIVES_IN, MAYOR_OF
from cfcre.data.demo_corpus.posts import FOUNDED, LEADS, WORKS_FOR
from cfcre.data.demo_corpus.relation import DemoRelation, EntityType
from cfcre.data.demo_corpus.surroundings import AFTER, BEFORE
from cfcre.data.demo_corpus.works import ABOUT, DIRECTED_BY, WRITTEN_BY
from cfcre.data.schema import RelationExample, Span, Split
from cfcre.errors import ConfigurationError

__all__ = ["BATCHES", "DemoBatch", "generate"]

# Each later batch brings a near neighbour of every relation of the first: same entity types, much
# of the same wording.
BATCHES: tuple[tuple[str, tuple[DemoRelation, ...]], ...] = (
    ("demo-1", (BORN_IN, FOUNDED, ACQUIRED, WRITTEN_BY, STUDENT_OF)),
    ("demo-2", (DIED_IN, WORKS_FOR, SUBSIDIARY_OF, DIRECTED_BY, CHILD_OF)),
    ("demo-3", (LIVES_IN, LEADS, SUPPLIES, ABOUT, MAYOR_OF)),
)

_BAD_BATCH = 1  # demo-2: by then a first task has left test rows that must not be trained on.
_SLOT_TYPES: dict[str, EntityType] = {
    "p": "person",
    "p2": "person",
    "c": "city",
    "o": "company",
    "o2": "company",
    "w": "work",
}
# Shares of the sentences. They set how hard the corpus is: see tests/data/test_demo_corpus.py.
_SHARE_BEFORE = 0.15
_SHARE_DETAIL = 0.8
_SHARE_AFTER = 0.25


@dataclass(frozen=True)
class DemoBatch:
    """One drop of the demo.

    Attributes:
        name: Batch name.
        examples: Correct rows, shuffled, each with its declared split.
        descriptions: Relation name to one sentence, for the manifest.
        bad_rows: Deliberately wrong rows, as the objects a file would hold. Their ids start with
            ``bad-`` and go on with the reason for which intake must quarantine them.
    """

    name: str
    examples: list[RelationExample]
    descriptions: dict[str, str]
    bad_rows: list[dict[str, Any]] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """All rows as JSON objects: the correct ones, then the bad ones."""
        return [example.to_json() for example in self.examples] + self.bad_rows


def generate(
    seed: int,
    *,
    train_rows: int = 28,
    validation_rows: int = 8,
    test_rows: int = 12,
) -> list[DemoBatch]:
    """Make the three batches.

    Args:
        seed: Seed of the corpus's own random generator.
        train_rows: Training rows of a relation, at least 2.
        validation_rows: Validation rows of a relation.
        test_rows: Test rows of a relation, at least 1.

    Returns:
        Batches in the order in which they are to be dropped. No sentence with its spans occurs
        twice in them, with the exception of the rows among ``bad_rows`` that repeat one on purpose.

    Raises:
        ConfigurationError: Too few rows to make the bad rows from.
    """
    if train_rows < 2 or validation_rows < 0 or test_rows < 1:
        raise ConfigurationError(
            f"the demo corpus got {train_rows}, {validation_rows} and {test_rows} rows a relation; "
            "give at least 2 for training, 0 for validation and 1 for test"
        )
    rng = random.Random(seed)
    counts: dict[Split, int] = {
        "train": train_rows,
        "validation": validation_rows,
        "test": test_rows,
    }
    seen: set[str] = set()
    batches: list[DemoBatch] = []
    for name, relations in BATCHES:
        drawn = [
            example
            for relation in relations
            for split, count in counts.items()
            for example in _draw(rng, relation, split, count, seen)
        ]
        rng.shuffle(drawn)
        examples = [_named(example, f"{name}-{i:04d}") for i, example in enumerate(drawn, start=1)]
        bad_rows = (
            make_bad_rows(examples, batches[0].examples) if len(batches) == _BAD_BATCH else []
        )
        descriptions = {relation.name: relation.description for relation in relations}
        batches.append(DemoBatch(name, examples, descriptions, bad_rows))
    return batches


def _named(example: RelationExample, name: str) -> RelationExample:
    return RelationExample(
        example.text, example.head, example.tail, example.relation, id=name, split=example.split
    )


def _draw(
    rng: random.Random, relation: DemoRelation, split: Split, count: int, seen: set[str]
) -> Iterator[RelationExample]:
    """Yield so many new rows, going round the templates so that each is used equally often."""
    templates = relation.templates(split)
    made = 0
    while made < count:
        example = _render(rng, relation, templates[made % len(templates)], split)
        if example.input_key in seen:
            continue
        seen.add(example.input_key)
        made += 1
        yield example


def _render(
    rng: random.Random, relation: DemoRelation, template: str, split: Split
) -> RelationExample:
    """Fill one template and its surroundings, and note where head and tail come to stand."""
    before = rng.choice(BEFORE) if rng.random() < _SHARE_BEFORE else ""
    detail = ""
    if rng.random() < _SHARE_DETAIL:
        detail = rng.choice(("; ", ", and ", ". ")) + rng.choice(relation.details)
        if detail.startswith("."):
            detail = detail[:2] + detail[2].upper() + detail[3:]
    after = rng.choice(AFTER) if rng.random() < _SHARE_AFTER else ""
    if before and template[0] != "{":
        template = template[0].lower() + template[1:]
    used: set[str] = set()
    # Head and tail first: they get any name, the others whatever is left.
    values = {
        "h": _entity(rng, relation.head, used),
        "t": _entity(rng, relation.tail, used),
    }
    spans: dict[str, Span] = {}
    text = ""
    for part, scope in ((before, 0), (template, 1), (detail, 2), (after, 3)):
        for literal, slot, _, _ in string.Formatter().parse(part):
            text += literal
            if slot is None:
                continue
            # A slot means one thing inside its clause, and another thing in the next clause.
            key = slot if slot in ("h", "t") else f"{scope}:{slot}"
            if key not in values:
                values[key] = _value(rng, slot, used)
            if slot in ("h", "t"):
                spans[slot] = Span(len(text), len(text) + len(values[key]))
            text += values[key]
    return RelationExample(text + ".", spans["h"], spans["t"], relation.name, split=split)


def _value(rng: random.Random, slot: str, used: set[str]) -> str:
    if slot in _SLOT_TYPES:
        return _entity(rng, _SLOT_TYPES[slot], used)
    match slot:
        case "y":
            return str(rng.randint(1890, 2019))
        case "m":
            return rng.choice(words.MONTHS)
        case "d":
            return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)} {rng.randint(1890, 2019)}"
        case "job":
            return rng.choice(words.JOBS)
        case "kind":
            return rng.choice(words.KINDS)
        case "prod":
            return rng.choice(words.PRODUCTS)
        case "money":
            return f"{rng.randint(2, 90)} million crowns"
        case "n":
            return f"{rng.randint(2, 90)},000"
    raise AssertionError(f"unknown slot {slot!r} in a template")


def _entity(rng: random.Random, kind: EntityType, used: set[str]) -> str:
    """A name of that type that the sentence does not hold yet."""
    while True:
        name = _name(rng, kind)
        if name not in used:
            used.add(name)
            return name


def _name(rng: random.Random, kind: EntityType) -> str:
    match kind:
        case "person":
            initial = f"{rng.choice(string.ascii_uppercase)}. " if rng.random() < 0.15 else ""
            return f"{rng.choice(words.GIVEN_NAMES)} {initial}{rng.choice(words.FAMILY_NAMES)}"
        case "city":
            return rng.choice(words.CITIES)
        case "company":
            ending = f" {rng.choice(words.COMPANY_ENDINGS)}" if rng.random() < 0.8 else ""
            return f"{rng.choice(words.COMPANY_STEMS)}{ending}"
        case "work":
            place = f" {rng.choice(words.TITLE_PLACES)}" if rng.random() < 0.2 else ""
            return f"The {rng.choice(words.TITLE_FIRST)} {rng.choice(words.TITLE_LAST)}{place}"
