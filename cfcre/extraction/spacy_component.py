"""The extractor as a component of a spaCy pipeline.

::

    nlp = spacy.blank("en")
    nlp.add_pipe("cfcre", config={"spans": "model", "relations": "state"})
    doc = nlp("Ada Thornwick was born in Velmora.")
    doc.ents            # spans with labels
    doc._.cfcre         # the Extraction: entities, relations, scores

The extractor reads the text, not spaCy's tokens. An entity that begins or ends within a token
becomes the span of the tokens that it touches, in ``doc.ents``; ``doc._.cfcre`` keeps its own
characters, and everything that ``doc.ents`` can not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import filter_spans

from cfcre.config import Settings, load_settings
from cfcre.errors import ConfigurationError
from cfcre.extraction.extractor import Extractor
from cfcre.extraction.results import Extraction

__all__ = ["CfcreComponent", "make_component"]


class CfcreComponent:
    """Sets ``doc.ents`` and ``doc._.cfcre``.

    Args:
        extractor: Finds entities and relations.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        if not Doc.has_extension("cfcre"):
            Doc.set_extension("cfcre", default=None)

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document."""
        return self._annotated(doc, self.extractor(doc.text))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate documents, so many at a time through the models together."""
        docs = iter(stream)
        while batch := list(islice(docs, batch_size)):
            found = self.extractor([doc.text for doc in batch])
            for doc, extraction in zip(batch, found, strict=True):
                yield self._annotated(doc, extraction)

    def _annotated(self, doc: Doc, found: Extraction) -> Doc:
        doc._.cfcre = found
        spans = (
            doc.char_span(e.start, e.end, label=e.type, alignment_mode="expand")
            for e in found.entities
        )
        # spaCy's entities never share a token; of those that do, the longest stays.
        doc.ents = filter_spans([span for span in spans if span is not None])
        return doc

    # A pipeline that is written to disk names its models in its configuration; they are not copied.
    def to_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> None:
        """Nothing to write: the configuration says which models are loaded."""

    def from_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> CfcreComponent:
        """Nothing to read: the models were loaded when the component was made."""
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Nothing to write, as in :meth:`to_disk`."""
        return b""

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> CfcreComponent:
        """Nothing to read, as in :meth:`from_disk`."""
        return self


@Language.factory(
    "cfcre",
    assigns=["doc.ents", "doc._.cfcre"],
    default_config={
        "spans": None,
        "relations": None,
        "calibration": None,
        "home": None,
        "settings": {},
    },
)
def make_component(
    nlp: Language,
    name: str,
    spans: str | None,
    relations: str | None,
    calibration: str | None,
    home: str | None,
    settings: dict[str, Any],
) -> CfcreComponent:
    """What ``nlp.add_pipe("cfcre", config=…)`` makes.

    Args:
        nlp: The pipeline.
        name: Of the component.
        spans: Folder of a span model; None takes the registered models of the home.
        relations: Folder of a learner state to join it with.
        calibration: File of its calibration.
        home: Home folder, as ``--home``.
        settings: Dotted setting to value, as ``--set``.

    Raises:
        ConfigurationError: A setting is unknown, or ``relations`` is given without ``spans``.
    """
    chosen: Settings = load_settings(home=home, overrides=settings)
    if spans is None:
        if relations is not None or calibration is not None:
            raise ConfigurationError(
                "the spaCy component 'cfcre' was given 'relations' or 'calibration' without "
                "'spans'; name the span model's folder too, or none of them"
            )
        return CfcreComponent(Extractor.from_registry(settings=chosen))
    return CfcreComponent(
        Extractor.load(
            spans=Path(spans),
            relations=Path(relations) if relations is not None else None,
            calibration=Path(calibration) if calibration is not None else None,
            settings=chosen.extraction,
            compute=chosen.compute,
        )
    )
