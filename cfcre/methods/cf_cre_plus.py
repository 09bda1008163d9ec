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

from cfcre.data.schema import RelationExample
from cfcre.errors import ConfigurationError
from cfcre.methods.anchors import add_anchors, anchored_layer
from cfcre.methods.base import Session
from cfcre.methods.cf_cre import CFCRE
from cfcre.methods.state import LearnerState
from cfcre.modeling.anchored import ANCHORED, anchor_layer

__all__ = ["CFCREPlus"]


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
        add_anchors(state, train, session, anchored_layer(state, session))


def _freeze(state: LearnerState, session: Session) -> None:
    """Freeze what the statistics were made with; nothing before there are any.

    Raises:
        ConfigurationError: ``cf_cre_plus.frozen_share`` is not what the stream was started with.
    """
    layer, wanted = anchor_layer(state.extras), anchored_layer(state, session)
    if layer not in (0, wanted):
        share = session.settings.cf_cre_plus.frozen_share
        raise ConfigurationError(
            f"cf_cre_plus.frozen_share={share:g} freezes {wanted} layers, but the stream's "
            f"statistics are of layer {layer}; set it back, or start a new stream"
        )
    state.encoder.freeze_lower(layer)
