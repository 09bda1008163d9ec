"""Compare continual-learning methods on known data: many streams, one process, resumable.

The core needs torch, transformers and scikit-learn, and what :mod:`cfcre.config` and
:mod:`cfcre.data` need; neither MLflow, Kubeflow, Great Expectations nor a database. What happens is
told to an :class:`~cfcre.benchmarking.study.Observer`, which is how the command logs to MLflow.
"""
