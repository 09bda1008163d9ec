"""MLflow: runs, data lineage, registered versions and their aliases.

:class:`cfcre.tracking.client.Tracker` is the whole interface. Importing this package is cheap;
mlflow itself (seconds) is imported when a tracker first talks to its store.
"""
