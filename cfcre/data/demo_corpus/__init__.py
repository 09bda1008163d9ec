"""A small relation corpus written for this project, so that ``cfcre demo`` needs no download.

Fifteen relations in three batches of five. Names of people, companies, places and works are
invented; sentences come from hand-written templates, and other facts are told around the one that
is asked for. Relations of later batches use the entity types and much of the vocabulary of earlier
ones (born in, died in, lives in; written by, directed by, about), which is what makes a model
without memory forget. The templates of the test split occur in no other split.
"""

from __future__ import annotations

from cfcre.data.demo_corpus.generator import DemoBatch, generate

__all__ = ["DemoBatch", "generate"]
