"""From plain text to typed entities and relations: the span model and the relation model as one.

==========================================  ==========================================
what                                        where
==========================================  ==========================================
long texts in windows                       :mod:`cfcre.extraction.windows`
one list of entities from many windows      :mod:`cfcre.extraction.merging`
which types a relation was seen between     :mod:`cfcre.spans.triples`
relations from the relation model           :mod:`cfcre.extraction.joining`
its threshold for "no relation"             :mod:`cfcre.extraction.calibration`
registered versions                         :mod:`cfcre.extraction.registered`
entities and arcs as HTML                   :mod:`cfcre.extraction.html`
==========================================  ==========================================

Start at :class:`cfcre.extraction.extractor.Extractor`.
"""
