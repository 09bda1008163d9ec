"""Thresholds and constraints of one call, checked against the types that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfcre.errors import ConfigurationError
from cfcre.spans.triples import Triples

__all__ = ["Choice", "Given", "Known"]


@dataclass(frozen=True)
class Known:
    """Types of an extractor, and the thresholds that hold where nothing else is said.

    Attributes:
        entities: Entity types.
        own: Relations of the span model.
        added: Relations that the relation model alone knows.
        thresholds: Least score of every relation of both.
    """

    entities: Sequence[str]
    own: Sequence[str]
    added: Sequence[str]
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Given:
    """What a caller or the settings ask for."""

    entities: Mapping[str, float]
    relations: Mapping[str, float]
    constraints: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Choice:
    """What holds for one call.

    Attributes:
        entities: Thresholds of entity types that have one of their own.
        relations: Thresholds of all relations.
        constraints: Triples that are allowed; None allows all.
    """

    entities: dict[str, float]
    relations: dict[str, float]
    constraints: Triples | None

    @classmethod
    def of(cls, known: Known, given: Given) -> Choice:
        """Check what is given.

        Raises:
            ConfigurationError: A threshold or constraint is for a type that neither model knows.
        """
        relations = (*known.own, *known.added)
        _check("a threshold", given.entities, known.entities, "entity types")
        _check("a threshold", given.relations, relations, "relations")
        for triple in given.constraints:
            if len(triple) != 3:
                raise ConfigurationError(
                    f"a constraint is {triple!r}; give head type, relation and tail type"
                )
        heads_and_tails = (e for head, _, tail in given.constraints for e in (head, tail))
        _check("a constraint", heads_and_tails, known.entities, "entity types")
        _check("a constraint", (r for _, r, _ in given.constraints), relations, "relations")
        return cls(
            dict(given.entities),
            {**known.thresholds, **given.relations},
            Triples.only(given.constraints) if given.constraints else None,
        )

    def allows(self, head: str, relation: str, tail: str) -> bool:
        """Whether the constraints let a relation hold between these types."""
        return self.constraints is None or self.constraints.seen(head, relation, tail)


def _check(what: str, given: Iterable[str], known: Sequence[str], kind: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f"{what} is given for {name!r}; the {kind} are {', '.join(known)}"
            )
