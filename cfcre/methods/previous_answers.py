"""What the model before a task answers, kept in the state until the task is consolidated.

Distillation needs the previous model's answers to the memory. The memory of a task is chosen after
its first phase, perhaps in another process, when the previous encoder is gone. So the answers to
all that memory can be chosen from, the old memory and the rows of the task, are computed while the
state still is the previous model, and travel with it: two numbers a row and old relation, in the
place of a second encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfcre.data.schema import RelationExample
from cfcre.errors import StateError

__all__ = ["Answers"]

_PREFIX = "previous."


@dataclass(frozen=True)
class Answers:
    """The previous model's logits over the R' relations it knew.

    Attributes:
        classifier: Of its classifier, float32 ``[N, R']``.
        contrast: Cosines with its projected prototypes over the temperature, float32 ``[N, R']``.
    """

    classifier: Tensor
    contrast: Tensor

    @property
    def relations(self) -> int:
        """R'."""
        return self.classifier.shape[1]

    def write(self, extras: dict[str, Tensor], examples: Sequence[RelationExample]) -> None:
        """Put the answers to ``examples`` into a state's extras, under the examples' content."""
        extras[_PREFIX + "rows"] = _keys(examples)
        extras[_PREFIX + "classifier"] = self.classifier.cpu()
        extras[_PREFIX + "contrast"] = self.contrast.cpu()

    @classmethod
    def take(cls, extras: dict[str, Tensor], examples: Sequence[RelationExample]) -> Answers | None:
        """Take the answers out of a state's extras.

        Args:
            extras: Holds no answers afterwards: no finished state carries them.
            examples: Whose answers are wanted.

        Returns:
            One row an example; None where there was no previous model.

        Raises:
            StateError: An example was not among those that the previous model was asked.
        """
        if _PREFIX + "rows" not in extras:
            return None
        keys, classifier, contrast = (
            extras.pop(_PREFIX + name) for name in ("rows", "classifier", "contrast")
        )
        place = _places(keys)
        try:
            rows = torch.tensor([place[bytes.fromhex(e.content_key)] for e in examples])
        except KeyError as error:
            raise StateError(
                "the memory holds an example that the previous model was not asked about; run the "
                "task again from its first step with the same batch"
            ) from error
        return cls(classifier[rows], contrast[rows])


def _keys(examples: Sequence[RelationExample]) -> Tensor:
    """Content hashes, uint8 ``[N, 32]``."""
    data = bytearray().join(bytes.fromhex(e.content_key) for e in examples)
    return torch.frombuffer(data, dtype=torch.uint8).view(len(examples), -1)


def _places(keys: Tensor) -> Mapping[bytes, int]:
    return {row.tobytes(): i for i, row in enumerate(keys.numpy())}
