"""CF-CRE+: CF-CRE above frozen lower layers, whose features have a classifier that forgets nothing.

The first task trains the whole encoder as CF-CRE does. From then on its lower half is frozen:

* CF-CRE goes on in the upper half, with its losses, memory and augmentation unchanged;
* the features of the topmost frozen layer never change again, so the mean of every relation and the
  covariance of all training rows can be added up exactly, task by task. They give a linear
  discriminant classifier of all relations, the one that all data at once would have given.

Prediction adds both: ``log softmax(s cos(h, p)) + w (W a + b)``.

The statistics hold no example and cannot be traced to one: a mean a relation and one matrix. The
memory is that of CF-CRE.

Source: this project; docs/methods/cf-cre-plus.md has what each part is worth. The parts are known:
adapting a model to its first task and freezing it (Panos et al., "First Session Adaptation", ICCV
2023) and class means with a shared covariance (Goswami et al., "FeCAM", NeurIPS 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError
from cfcre.methods.base import Session
from cfcre.methods.cf_cre import CFCRE
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.modeling.anchor import PARTS
from cfcre.modeling.anchored import ANCHORED, anchor_layer
from cfcre.modeling.second_order import SecondOrder

__all__ = ["CFCREPlus"]

_STATISTICS = ("means", "counts", "scatter")


class CFCREPlus(CFCRE):
    """CF-CRE above, second-order statistics below; see ``Settings.cf_cre_plus``."""

    name = "cf-cre-plus"
    rule = ANCHORED

    def train_task(
        self,
        state: LearnerState,
        train: Sequence[RelationExample],
        augmented: Sequence[RelationExample],
        session: Session,
    ) -> None:
        """Phase one, in the upper layers once there are statistics of the lower ones."""
        _freeze(state, session)
        super().train_task(state, train, augmented, session)

    def consolidate(
        self, state: LearnerState, train: Sequence[RelationExample], session: Session
    ) -> None:
        """Phase two, and the task's part of the statistics."""
        _freeze(state, session)
        super().consolidate(state, train, session)
        _anchor(state, train, session)


def _freeze(state: LearnerState, session: Session) -> None:
    """Freeze what the statistics were made with; nothing before there are any.

    Raises:
        ConfigurationError: ``cf_cre_plus.frozen_share`` is not what the stream was started with.
    """
    layer, wanted = anchor_layer(state.extras), _wanted_layer(state, session)
    if layer not in (0, wanted):
        share = session.settings.cf_cre_plus.frozen_share
        raise ConfigurationError(
            f"cf_cre_plus.frozen_share={share:g} freezes {wanted} layers, but the stream's "
            f"statistics are of layer {layer}; set it back, or start a new stream"
        )
    state.encoder.freeze_lower(layer)


def _wanted_layer(state: LearnerState, session: Session) -> int:
    count = len(state.encoder.layers)
    return min(max(round(session.settings.cf_cre_plus.frozen_share * count), 1), count - 1)


def _anchor(state: LearnerState, train: Sequence[RelationExample], session: Session) -> None:
    """Add the task's rows to the statistics, and make the classifier anew."""
    settings = session.settings.cf_cre_plus
    layer = _wanted_layer(state, session)
    if anchor_layer(state.extras):
        known = SecondOrder(*(state.extras[f"anchor.{name}"] for name in _STATISTICS))
    else:
        known = SecondOrder.empty(PARTS * state.encoder.size)
    # Relations of a stream that another method began have no statistics: their memory stands in.
    present = {e.relation for e in train}
    counted = {r for r, n in zip(state.catalogue, known.counts.tolist(), strict=False) if n}
    rows = [*train, *(e for e in state.memory if e.relation not in present | counted)]
    budget = session.settings.compute.inference_token_budget
    found = extract(
        state.encoder, session.encode(state, rows), session.compute, budget, anchor=layer
    )
    features = torch.from_numpy(found[:, state.encoder.size :])
    statistics = known.add(features, state.labels(rows), len(state.catalogue))
    weight, bias = statistics.classifier(settings.shrinkage)
    state.extras |= {
        "anchor.layer": torch.tensor(layer),
        "anchor.means": statistics.means,
        "anchor.counts": statistics.counts,
        "anchor.scatter": statistics.scatter,
        "anchor.weight": weight,
        "anchor.bias": bias,
        "anchor.share": torch.tensor(settings.anchor_weight),
    }
