"""The losses of the methods, one a file, named by what they are for.

CF-CRE's L_A = λ1 L_cl + λ2 L_rp  (replay and activation) and  L_R = γ1 L_fl + γ2 L_rs
(reconsolidation) are weighted sums of these; they are composed in :mod:`cfcre.methods.cf_cre`.
CRL adds :mod:`~cfcre.modeling.losses.supervised_contrastive` and
:mod:`~cfcre.modeling.losses.similarity_distillation`, CEAR
:mod:`~cfcre.modeling.losses.focal_distillation` and :mod:`~cfcre.modeling.losses.margin`.
"""

from cfcre.modeling.losses.contrastive import contrastive_loss
from cfcre.modeling.losses.cosine import cosine_cross_entropy, cosine_similarity
from cfcre.modeling.losses.focal import focal_loss, similar_prototype_set
from cfcre.modeling.losses.focal_distillation import focal_distillation_loss, focal_weights
from cfcre.modeling.losses.margin import margin_loss
from cfcre.modeling.losses.new_relation import new_relation_loss
from cfcre.modeling.losses.reconsolidation import reconsolidation_loss
from cfcre.modeling.losses.replay import replay_loss
from cfcre.modeling.losses.similarity_distillation import similarity_distillation_loss
from cfcre.modeling.losses.supervised_contrastive import supervised_contrastive_loss

__all__ = [
    "contrastive_loss",
    "cosine_cross_entropy",
    "cosine_similarity",
    "focal_distillation_loss",
    "focal_loss",
    "focal_weights",
    "margin_loss",
    "new_relation_loss",
    "reconsolidation_loss",
    "replay_loss",
    "similar_prototype_set",
    "similarity_distillation_loss",
    "supervised_contrastive_loss",
]
