"""Encoder, losses, prototypes and memory: one equation of the CF-CRE paper a place.

=========  =====================================================================
equation   where
=========  =====================================================================
1          :mod:`cfcre.modeling.encoder`
2          :mod:`cfcre.modeling.losses.new_relation`
3          :mod:`cfcre.modeling.prototypes`
4          :mod:`cfcre.modeling.projection`
5, 6       :mod:`cfcre.modeling.losses.contrastive`
7          :mod:`cfcre.modeling.losses.replay`
8, 9       :mod:`cfcre.modeling.losses.focal`
10, 11     :mod:`cfcre.modeling.losses.reconsolidation`
12, 13     :mod:`cfcre.modeling.prediction`
=========  =====================================================================
"""
