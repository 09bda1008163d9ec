"""The classifier of a lower layer's features, in a learner state: statistics, weights, biases.

``state.extras`` holds them as ``anchor.*``; :mod:`cfcre.modeling.second_order` has the formulas and
:mod:`cfcre.modeling.anchored` the rule of prediction that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cfcre.data.schema import RelationExample
from cfcre.methods.base import Session
from cfcre.methods.features import extract
from cfcre.methods.state import LearnerState
from cfcre.modeling.anchor import PARTS
from cfcre.modeling.anchored import anchor_layer
from cfcre.modeling.second_order import SecondOrder

__all__ = ["add_anchors", "anchored_layer"]

_STATISTICS = ("means", "counts", "scatter")


def anchored_layer(state: LearnerState, session: Session) -> int:
    """The layer that ``cf_cre_plus.frozen_share`` means, counted from 1; never the topmost."""
    count = len(state.encoder.layers)
    return min(max(round(session.settings.cf_cre_plus.frozen_share * count), 1), count - 1)


def add_anchors(
    state: LearnerState, train: Sequence[RelationExample], session: Session, layer: int
) -> None:
    """Add rows to the statistics of a layer's features, and make the classifier anew.

    Args:
        state: Its ``anchor.*`` tensors are those of the same layer, which has not changed since, or
            there are none.
        train: The rows.
        session: Of the stage.
        layer: Whose output is read, counted from 1.
    """
    settings = session.settings.cf_cre_plus
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
