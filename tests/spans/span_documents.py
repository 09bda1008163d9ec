"""Documents for the tests: random ones of every shape, and ones that can be learned."""

from __future__ import annotations

import random

from cfcre.spans.documents import Document, Entity, LabelTypes, Relation

LETTERS = [*"abcdefgh", "Anna", "Bern", "works", "for", "lives", "in", "Acme", "knows", "the", "of"]


def types() -> LabelTypes:
    return LabelTypes(("Peop", "Loc", "Org"), ("Work", "Live", "Know"), frozenset({"Know"}))


def random_document(generator: random.Random, longest: int = 14, widest: int = 12) -> Document:
    """Any number of words, overlapping entities, several relations on a pair."""
    known = types()
    words = [
        "".join(generator.choices("abcdefghXYZ", k=generator.randint(1, 5)))
        for _ in range(generator.randint(1, longest))
    ]
    spans = {
        (start, min(len(words), start + generator.randint(1, widest)))
        for start in (generator.randrange(len(words)) for _ in range(generator.randint(0, 5)))
    }
    shuffled = sorted(spans)
    generator.shuffle(shuffled)
    entities = tuple(Entity(s, e, generator.choice(known.entities)) for s, e in shuffled)
    relations = {}
    if len(entities) > 1:
        for _ in range(generator.randint(0, 4)):
            head, tail = generator.sample(range(len(entities)), 2)
            name = generator.choice(known.relations)
            if name in known.symmetric and entities[tail][:2] < entities[head][:2]:
                head, tail = tail, head
            relations[Relation(head, tail, name)] = None
    return Document(tuple(words), entities, tuple(relations))


def corpus(count: int, seed: int, longest: int = 14) -> list[Document]:
    generator = random.Random(seed)
    return [random_document(generator, longest) for _ in range(count)]


def easy_documents(count: int, seed: int) -> list[Document]:
    """Sentences whose entities and relations follow from their words."""
    generator = random.Random(seed)
    people, places, firms = ["Anna", "a", "b"], ["Bern", "c", "d"], ["Acme", "e", "f"]
    found = []
    for _ in range(count):
        person, other = generator.choice(people), generator.choice(people)
        filler = ["the", "of"] * generator.randint(0, 2)
        kind = generator.choice(["Work", "Live", "Know"])
        verb, pool, label = {
            "Work": (["works", "for"], firms, "Org"),
            "Live": (["lives", "in"], places, "Loc"),
            "Know": (["knows"], [other], "Peop"),
        }[kind]
        words = [*filler, person, *verb, generator.choice(pool)]
        first, last = len(filler), len(words) - 1
        entities = (Entity(first, first + 1, "Peop"), Entity(last, last + 1, label))
        found.append(Document(tuple(words), entities, (Relation(0, 1, kind),)))
    return found
