"""Keeps a relation extraction model up to date: continual learning from relation batches.

Layers, top to bottom (each may import only what stands below it; enforced by import-linter)::

    cli
    operations            ledger, reconciler, gate, promotion, pipeline stages
    extraction            text to entities and relations by both models
    tracking | intake     MLflow | object store, formats, validation
    evaluation            metrics over the accuracy matrix, plots, report
    methods | spans       CF-CRE and the baselines, learner state | joint extraction
    modeling              encoder, losses, prototypes, memory
    data                  schema, splits, tokenisation, batching
    config
    errors

Importing this package is cheap: torch, MLflow, Great Expectations and Kubeflow are imported by
the modules that need them, when they are needed.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
