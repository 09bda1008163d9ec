"""Prediction of CF-CRE+: the nearest prototype and the classifier of unchanging features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cfcre.modeling.prediction import probabilities

__all__ = ["ANCHORED", "Anchored", "anchor_layer"]

Array = npt.NDArray[np.float32]

#: Name of the rule.
ANCHORED = "anchored"


def anchor_layer(extras: Mapping[str, Tensor]) -> int:
    """The layer whose features stand behind the representation; 0 where there are none."""
    layer = extras.get("anchor.layer")
    return 0 if layer is None else int(layer)


class Anchored:
    """``log softmax(s cos(h, p)) + w (W a + b)``.

    h is the trained representation and p the prototypes, a the features of the frozen layers and
    (W, b) their discriminant analysis. The two are wrong about different examples: one has learned
    what tells relations apart, and forgets; the other has not, and does not.

    Args:
        prototypes: Unit rows, float32 ``[R, d]``.
        weight: W, float32 ``[R, f]``.
        bias: b, float32 ``[R]``.
        share: w, not negative.
        scale: s, ``method.similarity_scale``.
    """

    def __init__(
        self, prototypes: Array, weight: Array, bias: Array, *, share: float, scale: float
    ) -> None:
        self._prototypes, self._weight, self._bias = prototypes, weight, bias
        self._share, self._scale = np.float32(share), np.float32(scale)

    def scores(self, unit: Array) -> Array:
        """Logarithms of probabilities up to a constant of the row, float32 ``[N, R]``.

        Args:
            unit: Unit representations followed by the features, ``[N, d + f]``.
        """
        size = self._prototypes.shape[1]
        logits = torch.from_numpy(self._scale * (unit[:, :size] @ self._prototypes.T))
        near = torch.log_softmax(logits, dim=-1).numpy()
        return np.asarray(near + self._share * (unit[:, size:] @ self._weight.T + self._bias))

    def probabilities(self, scores: Array) -> Array:
        """Softmax of the scores; not calibrated."""
        return probabilities(scores, 1.0)
