"""The span model's side of the loop: its documents, its gate, and the extractor that joins it.

==========================================  ==========================================
subject                                     module
==========================================  ==========================================
documents of a settled batch go on          :mod:`cfcre.operations.joint.handing_on`
all documents so far                        :mod:`cfcre.operations.joint.memory`
training on them                            :mod:`cfcre.operations.joint.training`
scores of candidate and champion            :mod:`cfcre.operations.joint.judging`
the gate                                    :mod:`cfcre.operations.joint.gate`
one version that refers to both models      :mod:`cfcre.operations.joint.extractor`
==========================================  ==========================================
"""
