"""EMAR: episodic memory activation and reconsolidation (Han et al., ACL 2020).

Phase one learns D_k; phase two replays A_k = M ∪ D_k against the relation embeddings (eq. 7 of
CF-CRE) and pulls the memory back to its prototypes (eq. 11). That is CF-CRE without class
augmentation, contrastive loss and focal loss, and it is built as that.
"""

from __future__ import annotations

from collections.abc import Sequence

from cfcre.config import MethodSettings
from cfcre.data.schema import RelationExample
from cfcre.methods.base import Session
from cfcre.methods.cf_cre import CFCRE, LossWeights

__all__ = ["EMAR"]


class EMAR(CFCRE):
    """λ = (0, 1), γ = (0, 1), whatever the settings say, and no augmentation."""

    name = "emar"

    def loss_weights(self, settings: MethodSettings) -> LossWeights:
        """L_rp and L_rs alone."""
        return LossWeights(lambda1=0.0, lambda2=1.0, gamma1=0.0, gamma2=1.0)

    def augment(self, train: Sequence[RelationExample], session: Session) -> list[RelationExample]:
        """No auxiliary examples."""
        return []
