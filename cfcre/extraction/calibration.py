"""When the relation model is to say "none": thresholds chosen on labelled documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cfcre.data.files import read_json
from cfcre.spans.triples import Triples

__all__ = ["CALIBRATION_FILE", "Calibration"]

CALIBRATION_FILE = "calibration.json"
"""Name of a calibration's file beside an extractor's description."""


@dataclass(frozen=True)
class Calibration:
    """Thresholds."""

    threshold: float
    triples: Triples = field(default_factory=Triples)

    def threshold_of(self, relation: str) -> float:
        """Least cosine of a relation."""
        return self.threshold

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read a file."""
        data = read_json(path)
        return cls(data["threshold"], Triples.from_json(data["triples"]))
