"""EMAR-ACA: EMAR with adversarial class augmentation (Wang et al., EMNLP 2022).

CF-CRE without its contrastive and its focal loss: what those two add is the difference to this.
"""

from __future__ import annotations

from cfcre.config import MethodSettings
from cfcre.methods.cf_cre import CFCRE, LossWeights

__all__ = ["EMARACA"]


class EMARACA(CFCRE):
    """λ = (0, 1) and γ = (0, 1), whatever the settings say; ``augmentation`` as set."""

    name = "emar-aca"

    def loss_weights(self, settings: MethodSettings) -> LossWeights:
        """L_rp and L_rs alone."""
        return LossWeights(lambda1=0.0, lambda2=1.0, gamma1=0.0, gamma2=1.0)
