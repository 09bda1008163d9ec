"""CEAR's prediction: the classifier's probabilities blended with those of the nearest prototype."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from cfcre.modeling.prediction import probabilities
from cfcre.modeling.projection import Projection

__all__ = ["BLENDED", "Blended", "blended_tensors", "layer_length"]

Array = npt.NDArray[np.float32]

#: Name of the rule, and of its tensors in ``state.extras``.
BLENDED = "blended"


def layer_length(representations: Tensor) -> Tensor:
    """The representations at length √d, ``[N, d]``: what a normalised layer's output has.

    Rules read directions alone, while an MLP with biases reads lengths too. At unit length a
    coordinate would be so small that the biases drown it after a few steps.
    """
    length = float(representations.shape[-1]) ** 0.5
    result: Tensor = functional.normalize(representations, dim=-1) * length
    return result


class Blended:
    """``α softmax(s cos(h, e)) + (1 - α) softmax(cos(z, c) / τ)``, z the projection (eq. 4) of h.

    Scores are probabilities already: a classifier trained on a relation's examples and the mean of
    its memory are wrong about different examples.

    Source: Zhao, Cui and Hu, ACL 2023, the prediction of CEAR.

    Args:
        classifier: e, float32 ``[R, d]``.
        layers: W1, b1, W2 and b2 of eq. 4.
        anchors: c, the projected prototypes, float32 ``[R, m]``.
        alpha: α in [0, 1].
        scale: s, ``method.similarity_scale``.
        tau: τ, positive.
    """

    def __init__(
        self,
        classifier: Array,
        layers: tuple[Array, Array, Array, Array],
        anchors: Array,
        *,
        alpha: float,
        scale: float,
        tau: float,
    ) -> None:
        self._classifier = _unit(classifier)
        self._layers = layers
        self._anchors = _unit(anchors)
        self._alpha, self._scale, self._tau = alpha, scale, tau

    def scores(self, unit: Array) -> Array:
        """Blended probabilities, float32 ``[N, R]``."""
        if not len(unit):
            return np.zeros((0, len(self._classifier)), dtype=np.float32)
        w1, b1, w2, b2 = self._layers
        hidden = np.maximum(unit * np.float32(unit.shape[1] ** 0.5) @ w1.T + b1, 0)
        projected = _unit(hidden @ w2.T + b2)
        by_classifier = probabilities(unit @ self._classifier.T, self._scale)
        by_prototype = probabilities(projected @ self._anchors.T, 1 / self._tau)
        blend = self._alpha * by_classifier + (1 - self._alpha) * by_prototype
        return np.asarray(blend, dtype=np.float32)

    def probabilities(self, scores: Array) -> Array:
        """The scores themselves; rows sum to one."""
        return scores


def blended_tensors(
    *,
    classifier: Tensor,
    projection: Projection,
    prototypes: Tensor,
    alpha: float,
    tau: float,
) -> dict[str, Tensor]:
    """What the rule needs, as it is kept in ``state.extras``.

    Args:
        classifier: e, ``[R, d]``.
        projection: Eq. 4, trained on representations of :func:`layer_length`.
        prototypes: ``[R, d]``; projected here, once.
        alpha: α.
        tau: τ.
    """
    layers = {f"{BLENDED}.{k}": v.detach().cpu() for k, v in projection.state_dict().items()}
    device = projection.first.weight.device
    with torch.no_grad():
        anchors = projection(layer_length(prototypes.to(device))).cpu()
    return {
        **layers,
        f"{BLENDED}.classifier": classifier.detach().cpu(),
        f"{BLENDED}.anchors": anchors,
        f"{BLENDED}.alpha": torch.tensor(alpha),
        f"{BLENDED}.tau": torch.tensor(tau),
    }


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)
