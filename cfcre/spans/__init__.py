"""Joint entity and relation extraction by spans: SPANSpanBERT, and SpERT as one of its settings.

==========================================  ==========================================
what                                        where
==========================================  ==========================================
all spans up to a width                     :mod:`cfcre.spans.enumeration`
max pooling of words and spans              :mod:`cfcre.spans.pooling`
max pooling between two entities            :mod:`cfcre.spans.range_maxima`
span and pair representations, classifiers  :mod:`cfcre.spans.network`
temperature softmax, PolyLoss, BCE          :mod:`cfcre.spans.losses`
negative samples                            :mod:`cfcre.spans.sampling`
AdamW, warm-up, clipping                    :mod:`cfcre.spans.training`
from logits to entities and relations       :mod:`cfcre.spans.predicting`
SpERT's scores                              :mod:`cfcre.spans.scoring`
label noise                                 :mod:`cfcre.spans.noise`
==========================================  ==========================================

Start at :class:`cfcre.spans.model.SpanModel`.
"""
