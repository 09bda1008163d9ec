"""Plain text to entities and relations: the library's surface for using both models.

::

    extractor = Extractor.load(spans=Path("model"))          # or Extractor.from_registry("cfcre")
    extraction = extractor("Ada Thornwick was born in Velmora.")
    for relation in extraction.relations:
        head, tail = extraction.entities[relation.head], extraction.entities[relation.tail]
        print(head.text, relation.type, tail.text, relation.score)

Who decides what: the span model finds all entities, and the relations that it knows. A relation
that the relation model alone knows is decided by that one, for pairs of the entities found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cfcre.config import ComputeSettings, ExtractionSettings, Settings
from cfcre.extraction.calibration import Calibration
from cfcre.extraction.choice import Choice, Given, Known
from cfcre.extraction.joining import PairScorer, decide, pair_rows, pair_scores, pairs_of
from cfcre.extraction.merging import FoundInText, Overlap, merge_windows
from cfcre.extraction.reading import Reading, read_texts
from cfcre.extraction.results import ExtractedEntity, ExtractedRelation, Extraction
from cfcre.spans.documents import Document
from cfcre.spans.model import SpanModel

if TYPE_CHECKING:
    from cfcre.methods.predictor import Predictor

__all__ = ["Extractor"]

Text = str | Document
Constraints = Iterable[tuple[str, str, str]]


class Extractor:
    """Finds typed entities and relations in texts of any length.

    Args:
        spans: Finds entities, and the relations that it knows.
        relations: Decides the relations that it alone knows; None goes without.
        calibration: Thresholds of the relation model, and types that relations were seen between;
            None uses ``extraction.uncalibrated_threshold``, and the types in the span model's own
            lineage.
        settings: Windows, thresholds, policies.
        symmetric: Relations of the relation model that hold both ways.
        versions: Registered versions of the parts, for people.

    Raises:
        ConfigurationError: A threshold or constraint is for a type that neither model knows.
    """

    def __init__(
        self,
        spans: SpanModel,
        relations: Predictor | PairScorer | None = None,
        *,
        calibration: Calibration | None = None,
        settings: ExtractionSettings | None = None,
        symmetric: Iterable[str] = (),
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self.spans = spans
        self.relations = relations
        self.calibration = calibration
        self.settings = settings or ExtractionSettings()
        self.versions = dict(versions or {})
        self.symmetric = frozenset(symmetric) | spans.types.symmetric
        triples = spans.triples
        if calibration is not None:
            triples = triples.joined(calibration.triples)
        self._triples = replace(triples, symmetric=self.symmetric)
        self._known = self._types()
        # A threshold for a type that is not there is found now, not with the first text.
        self._choice(None, None, None)

    @classmethod
    def load(
        cls,
        *,
        spans: Path,
        relations: Path | None = None,
        calibration: Path | None = None,
        settings: ExtractionSettings | None = None,
        compute: ComputeSettings | None = None,
    ) -> Extractor:
        """Read models from folders.

        Args:
            spans: What ``cfcre spans train`` wrote.
            relations: A learner state.
            calibration: What ``cfcre spans calibrate`` wrote.
            settings: Windows, thresholds, policies.
            compute: Device, threads, word pieces of a batch.

        Raises:
            StateError: A folder is missing, damaged, or of another format.
            DataError: The calibration can not be read.
        """
        from cfcre.extraction.registered import load_folders

        return load_folders(spans, relations, calibration, settings, compute)

    @classmethod
    def from_registry(
        cls, name: str | None = None, *, settings: Settings | None = None, pinned: bool = False
    ) -> Extractor:
        """Load registered versions.

        The champion of ``NAME-extractor`` says which span model belongs to it; without one, it is
        the champion of ``NAME-spans``. The relation model is the champion of ``NAME``, so that a
        relation learned last night is found this morning; there may be none.

        Args:
            name: Name of the relation model in the registry; by default
                ``tracking.registered_model``.
            settings: Where home and MLflow are; by default as for the command line.
            pinned: Take the very relation version that the extractor was registered with, instead
                of the champion.

        Raises:
            NotFoundError: There is no span model.
            StateError: A version's files are gone or damaged.
            TrackingUnavailable: MLflow did not answer.
        """
        from cfcre.extraction.registered import load_registered

        return load_registered(name, settings, pinned=pinned)

    @property
    def entity_types(self) -> tuple[str, ...]:
        """Entity types that can be found."""
        return tuple(self._known.entities)

    @property
    def relation_types(self) -> tuple[str, ...]:
        """Relations that can be found: those of the span model, then those added to them."""
        return (*self._known.own, *self._known.added)

    @property
    def added_relations(self) -> tuple[str, ...]:
        """Relations that the relation model alone knows."""
        return tuple(self._known.added)

    # A text is a sequence of texts to the type checker; the first overload is tried first.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        texts: Text,
        *,
        entity_thresholds: Mapping[str, float] | None = None,
        relation_thresholds: Mapping[str, float] | None = None,
        overlap: Overlap | None = None,
        constraints: Constraints | None = None,
    ) -> Extraction: ...

    @overload
    def __call__(
        self,
        texts: Sequence[Text],
        *,
        entity_thresholds: Mapping[str, float] | None = None,
        relation_thresholds: Mapping[str, float] | None = None,
        overlap: Overlap | None = None,
        constraints: Constraints | None = None,
    ) -> list[Extraction]: ...

    def __call__(
        self,
        texts: Text | Sequence[Text],
        *,
        entity_thresholds: Mapping[str, float] | None = None,
        relation_thresholds: Mapping[str, float] | None = None,
        overlap: Overlap | None = None,
        constraints: Constraints | None = None,
    ) -> Extraction | list[Extraction]:
        """Extract from one text or many; all windows of all texts go through the models together.

        Args:
            texts: A text, or texts; a document keeps the words that it has.
            entity_thresholds: Least score by type, instead of the settings'.
            relation_thresholds: The same for relations.
            overlap: Instead of the settings'.
            constraints: Triples of head type, relation and tail type, instead of the settings'.

        Returns:
            One extraction for one text, else a list in the order of the texts.

        Raises:
            DataError: A text is too long, or has entities that share words where the overlap
                policy is ``error``.
            ConfigurationError: A threshold or constraint is for a type that neither model knows.
        """
        one = isinstance(texts, str | Document)
        choice = self._choice(entity_thresholds, relation_thresholds, constraints)
        reading = read_texts(
            [texts] if isinstance(texts, str | Document) else texts, self.spans, self.settings
        )
        labels = self.spans.predict_encoded(
            reading.encoded,
            entity_thresholds=choice.entities,
            relation_thresholds={n: choice.relations[n] for n in self._known.own},
        )
        found = merge_windows(reading, labels, self.spans.types, overlap or self.settings.overlap)
        for text in found:
            self._constrain(text, choice)
        self._add_relations(reading, found, choice)
        made = [_extraction(reading, number, text) for number, text in enumerate(found)]
        return made[0] if one else made

    def _types(self) -> Known:
        own = self.spans.types.relations
        all_known = self.relations.relations if self.relations is not None else []
        added = tuple(name for name in all_known if name not in self.spans.types.relation_number)
        thresholds = dict.fromkeys(own, self.spans.state.settings.relation_threshold)
        for name in added:
            thresholds[name] = (
                self.settings.uncalibrated_threshold
                if self.calibration is None
                else self.calibration.threshold_of(name)
            )
        return Known(self.spans.types.entities, own, added, thresholds)

    def _choice(
        self,
        entities: Mapping[str, float] | None,
        relations: Mapping[str, float] | None,
        constraints: Constraints | None,
    ) -> Choice:
        settings = self.settings
        given = Given(
            settings.entity_thresholds if entities is None else entities,
            settings.relation_thresholds if relations is None else relations,
            settings.constraints if constraints is None else tuple(constraints),
        )
        return Choice.of(self._known, given)

    def _constrain(self, found: FoundInText, choice: Choice) -> None:
        """Keep the span model's relations that penalty and constraints leave."""
        kept = []
        for relation in found.relations:
            head, tail = found.entities[relation.head].type, found.entities[relation.tail].type
            if not self._triples.seen(head, relation.type, tail):
                relation = replace(relation, score=relation.score - self.settings.unseen_penalty)
            enough = relation.score >= choice.relations[relation.type]
            if enough and choice.allows(head, relation.type, tail):
                kept.append(relation)
        found.relations[:] = kept

    def _add_relations(
        self, reading: Reading, found: Sequence[FoundInText], choice: Choice
    ) -> None:
        """Relations that the relation model alone knows, for the pairs of all texts at once."""
        if self.relations is None or not self._known.added:
            return
        pairs, rows, types = [], [], []
        for number, text in enumerate(found):
            document, spans = reading.documents[number], [e[:2] for e in text.entities]
            near = pairs_of(spans, reading.plans[number].windows, self.settings.reach)
            pairs += [(number, pair) for pair in near]
            rows += pair_rows(document.text, document.offsets, spans, near)
            types += [(text.entities[p.first].type, text.entities[p.second].type) for p in near]
        cosines, scores, read = pair_scores(self.relations, rows)
        names = self.relations.relations
        decisions = decide(
            cosines,
            [types[i] for i in read],
            names,
            triples=self._triples,
            penalty=self.settings.unseen_penalty,
            constraints=choice.constraints,
            scores=scores,
            symmetric=self.symmetric,
        )
        added = frozenset(self._known.added)
        for pair, reverse, column, score in decisions.rows():
            name = names[column]
            if name not in added or score < choice.relations[name]:
                continue
            number, (first, second, _, _) = pairs[read[pair]]
            head, tail = (second, first) if reverse else (first, second)
            found[number].relations.append(ExtractedRelation(head, tail, name, score, "relations"))


def _extraction(reading: Reading, number: int, found: FoundInText) -> Extraction:
    document, plan = reading.documents[number], reading.plans[number]
    entities = []
    for start, end, kind, score in found.entities:
        first, last = document.characters(start, end)
        entities.append(ExtractedEntity(first, last, kind, score, document.text[first:last]))
    return Extraction(
        document.text,
        tuple(entities),
        tuple(sorted(found.relations, key=lambda r: (r.head, r.tail, r.type))),
        len(plan.windows),
        tuple(document.offsets[word] for word in plan.unread),
    )
