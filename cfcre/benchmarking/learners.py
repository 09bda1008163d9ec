"""Fresh learners for many runs: the encoder's weights are read once and copied."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cfcre.benchmarking.tokenising import CachingTokenizer
from cfcre.config import Settings
from cfcre.data.encoder_files import resolve_encoder
from cfcre.methods.state import LearnerState

__all__ = ["Learners"]

#: What an encoder is made of; a folder may hold other files, a model card for example.
_FILES = ("config.json", "tokenizer.json", "vocab.txt", "*.safetensors")


class Learners:
    """Makes learner states whose tokenizer remembers what it has read."""

    def __init__(self) -> None:
        self._tokenizers: dict[str, CachingTokenizer] = {}
        # One encoder at a time: a benchmark has one, and a large one is half a gigabyte.
        self._template: tuple[str, LearnerState] | None = None
        self._digests: dict[str, str] = {}

    def fresh(self, settings: Settings) -> LearnerState:
        """A learner that knows nothing, as :meth:`LearnerState.fresh` makes it.

        Raises:
            ConfigurationError: The encoder can not be found or loaded.
        """
        key = settings.encoder.model_dump_json()
        if self._template is None or self._template[0] != key:
            template = LearnerState.fresh(settings)
            template.tokenizer = self.tokenizer(settings)
            self._template = (key, template)
        return LearnerState.fresh(settings, like=self._template[1])

    def load(self, folder: Path, settings: Settings) -> LearnerState:
        """A learner from a directory, with the tokenizer of all the others.

        Raises:
            StateError: It is damaged.
        """
        state = LearnerState.load(folder)
        state.tokenizer = self.tokenizer(settings)
        return state

    def tokenizer(self, settings: Settings) -> CachingTokenizer:
        """The encoder's tokenizer, one for all learners."""
        name = settings.encoder.name
        if name not in self._tokenizers:
            self._tokenizers[name] = CachingTokenizer.of_encoder(name)
        return self._tokenizers[name]

    def encoder_digest(self, settings: Settings) -> str:
        """SHA-256 over the encoder's weights, configuration and vocabulary.

        Raises:
            ConfigurationError: The encoder can not be found.
        """
        name = settings.encoder.name
        if name not in self._digests:
            self._digests[name] = _digest(resolve_encoder(name))
        return self._digests[name]


def _digest(folder: Path) -> str:
    files = sorted({p for pattern in _FILES for p in folder.glob(pattern)})
    state = hashlib.sha256()
    for path in files:
        state.update(f"{path.name}:".encode())
        with path.open("rb") as stream:
            state.update(hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()
