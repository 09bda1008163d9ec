"""Between which entity types a relation was seen: a constraint from training documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cfcre.errors import DataError
from cfcre.spans.documents import Document

__all__ = ["Triples", "count_triples"]


@dataclass(frozen=True)
class Triples:
    """Head type, relation, tail type, and how often.

    A relation without any triple is one that no document told anything about: nothing is unseen
    for it.

    Attributes:
        counts: Relation to pairs of types to their number.
        symmetric: Relations that hold both ways; their pairs count in both orders.
    """

    counts: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    symmetric: frozenset[str] = frozenset()

    def seen(self, head: str, relation: str, tail: str) -> bool:
        """Whether a document had it, or none had the relation at all."""
        pairs = self.counts.get(relation)
        if not pairs:
            return True
        return (head, tail) in pairs or (relation in self.symmetric and (tail, head) in pairs)

    def seen_table(
        self, pairs: Sequence[tuple[str, str]], relations: Sequence[str]
    ) -> npt.NDArray[np.bool_]:
        """:meth:`seen` of pairs of head and tail type, bool ``[len(pairs), len(relations)]``."""
        distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        table = np.array(
            [[self.seen(head, name, tail) for name in relations] for head, tail in distinct],
            dtype=bool,
        ).reshape(len(distinct), len(relations))
        return np.asarray(table[[distinct[pair] for pair in pairs]])

    def joined(self, other: Triples) -> Triples:
        """Both; where both tell about a relation, the larger count of a pair stands."""
        counts: dict[str, dict[tuple[str, str], int]] = {}
        for part in (self, other):
            for relation, pairs in part.counts.items():
                known = counts.setdefault(relation, {})
                for pair, count in pairs.items():
                    known[pair] = max(count, known.get(pair, 0))
        return Triples(counts, self.symmetric | other.symmetric)

    @classmethod
    def only(cls, constraints: Iterable[tuple[str, str, str]]) -> Triples:
        """Triples that are given by hand."""
        counts: dict[str, dict[tuple[str, str], int]] = {}
        for head, relation, tail in constraints:
            counts.setdefault(relation, {})[head, tail] = 1
        return cls(counts)

    def to_json(self) -> dict[str, Any]:
        """Sorted lists, the same for the same triples."""
        return {
            "symmetric": sorted(self.symmetric),
            "triples": [
                [head, relation, tail, count]
                for relation, pairs in sorted(self.counts.items())
                for (head, tail), count in sorted(pairs.items())
            ],
        }

    @classmethod
    def from_json(cls, data: Any) -> Triples:
        """Read what :meth:`to_json` gave.

        Raises:
            DataError: It has another form.
        """
        counts: dict[str, dict[tuple[str, str], int]] = {}
        try:
            for head, relation, tail, count in data["triples"]:
                counts.setdefault(str(relation), {})[str(head), str(tail)] = int(count)
            return cls(counts, frozenset(map(str, data["symmetric"])))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the triples of types have another form: {error!r}") from error


def count_triples(
    documents: Iterable[Document], symmetric: frozenset[str] = frozenset()
) -> Triples:
    """Count the gold relations of documents."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for document in documents:
        for head, tail, relation in document.relations:
            pair = document.entities[head].type, document.entities[tail].type
            counts.setdefault(relation, Counter())[pair] += 1
    return Triples({name: dict(pairs) for name, pairs in counts.items()}, symmetric)
