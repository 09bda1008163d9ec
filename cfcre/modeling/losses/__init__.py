"""The losses of CF-CRE, one a file, named by what they are for.

L_A = λ1 L_cl + λ2 L_rp  (replay and activation) and  L_R = γ1 L_fl + γ2 L_rs  (reconsolidation)
are weighted sums of these; they are composed in :mod:`cfcre.methods.cf_cre`.
"""

from cfcre.modeling.losses.contrastive import contrastive_loss
from cfcre.modeling.losses.cosine import cosine_cross_entropy, cosine_similarity
from cfcre.modeling.losses.focal import focal_loss, similar_prototype_set
from cfcre.modeling.losses.new_relation import new_relation_loss
from cfcre.modeling.losses.reconsolidation import reconsolidation_loss
from cfcre.modeling.losses.replay import replay_loss

__all__ = [
    "contrastive_loss",
    "cosine_cross_entropy",
    "cosine_similarity",
    "focal_loss",
    "new_relation_loss",
    "reconsolidation_loss",
    "replay_loss",
    "similar_prototype_set",
]
