"""Generated documents with entities and relations, and the settings that learn them quickly."""

from __future__ import annotations

import random
from pathlib import Path

from cfcre.config import load_settings
from cfcre.spans.documents import Document, Entity, LabelTypes, Relation

#: Relations of the documents, and what only the relation model learns.
OWN = ("born in", "founded", "owns")
ADDED = ("located in", "wrote")


def span_settings(encoder: Path, home: Path):
    """A tiny span model, one thread."""
    return load_settings(
        home=home,
        overrides={
            "spans.encoder": str(encoder),
            "spans.max_length": 512,
            "spans.epochs": 14,
            "spans.learning_rate": 4e-3,
            "spans.batch_size": 4,
            "spans.dropout": 0.0,
            "spans.hidden_dropout": 0.0,
            "spans.max_span_width": 4,
            "spans.relation_threshold": 0.5,
            "compute.precision": "float32",
            "compute.threads": 1,
        },
        environ={},
    )


def relation_settings(encoder: Path, home: Path):
    """A tiny learner, one thread."""
    return load_settings(
        home=home,
        overrides={
            "encoder.name": str(encoder),
            "encoder.max_length": 64,
            "method.learning_rate": 2e-3,
            "method.head_learning_rate": 5e-3,
            "method.epoch1": 6,
            "method.epoch2": 3,
            "method.batch_size": 16,
            "method.projection_hidden": 32,
            "method.projection_size": 16,
            "augmentation.symmetric_relations": ["married to"],
            "compute.precision": "float32",
            "compute.threads": 1,
        },
        environ={},
    )


def document_of(*rows) -> Document:
    """Rows of relation examples, one after another, as one document.

    Entities of different rows are not related.
    """
    text, entities, relations = "", [], []
    for row in rows:
        begin = len(text)
        for span, kind in ((row.head, "Person"), (row.tail, "Place")):
            entities.append((begin + span.start, begin + span.end, kind))
        relations.append(Relation(len(entities) - 2, len(entities) - 1, row.relation))
        text += row.text + " . "
    made = Document.from_text(text.rstrip())
    starts = {offset[0]: number for number, offset in enumerate(made.offsets)}
    ends = {offset[1]: number for number, offset in enumerate(made.offsets, start=1)}
    return Document(
        made.words,
        tuple(Entity(starts[start], ends[end], kind) for start, end, kind in entities),
        tuple(relations),
        given_text=made.given_text,
        given_offsets=made.given_offsets,
    )


def documents(rows, seed: int) -> list[Document]:
    """Documents of one or two rows each."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    made = []
    while shuffled:
        count = 1 + len(made) % 2
        made.append(document_of(*shuffled[:count]))
        del shuffled[:count]
    return made


def train_span_model(found: list[Document], settings, folder: Path) -> Path:
    """Train on documents and write the model."""
    from cfcre.spans.preparing import prepare
    from cfcre.spans.reading import Reading
    from cfcre.spans.running import Corpus, train_model
    from cfcre.spans.word_pieces import load_word_pieces

    types = LabelTypes.of(found)
    reading = Reading(list(found), [f"document {i}" for i in range(len(found))])
    tokenizer = load_word_pieces(Path(settings.spans.encoder))
    prepared = prepare(reading, types, tokenizer, max_length=512, max_width=4)
    corpus = Corpus(types, prepared, None, reading, None, {})
    state, _ = train_model(corpus, settings)
    state.save(folder)
    return folder
