"""One MLflow store: which one, prepared once, spoken to through explicit clients.

MLflow's fluent state (``mlflow.set_tracking_uri`` and friends) is never touched: it writes
``MLFLOW_TRACKING_URI`` into the environment, where the settings of another home would find it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from cfcre.config import Settings
from cfcre.errors import ConfigurationError, NotFoundError, TrackingUnavailable
from cfcre.tracking.faults import redact, tracking_errors
from cfcre.tracking.kinds import RELATIONS, ModelKind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

__all__ = ["Connection", "artifact_root_of", "check_tracking_uri", "is_server", "quote_filter"]

_SQL_DIALECTS = ("sqlite", "postgresql", "mysql", "mssql")
_LOCK_SECONDS = 300.0
_QUIET = {
    # A command-line tool with its own progress lines; and nothing here phones home.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # MLflow's own seven retries take minutes; the scheduler retries the whole step anyway.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}


def is_server(uri: str) -> bool:
    """Whether a tracking URI names a server rather than a database."""
    return urlsplit(uri).scheme in ("http", "https")


def check_tracking_uri(uri: str) -> str:
    """Accept SQL databases and servers; refuse MLflow's deprecated file store.

    Raises:
        ConfigurationError: A folder, a ``file:`` URI or an unknown scheme.
    """
    scheme = urlsplit(uri).scheme
    if is_server(uri) or scheme.split("+")[0] in _SQL_DIALECTS:
        return uri
    kind = "a folder (MLflow's file store)" if scheme in ("", "file") else f"scheme {scheme!r}"
    raise ConfigurationError(
        f"tracking URI {redact(uri)!r} is {kind}; give an SQLAlchemy URL such as "
        "sqlite:////path/mlflow.db or postgresql://…, or the http(s) address of a server"
    )


def artifact_root_of(settings: Settings) -> str | None:
    """Absolute artifact root for a new experiment; None leaves it to a tracking server.

    Without one, MLflow puts artifacts of a database store into ``./mlruns`` of whichever folder
    the process happens to stand in.
    """
    root = settings.artifact_root
    if root is None:
        if is_server(settings.tracking_uri):
            return None
        return (settings.home.absolute() / "mlartifacts").as_uri()
    return root if urlsplit(root).scheme else Path(root).absolute().as_uri()


def quote_filter(value: str) -> str:
    """A value as MLflow's filter language takes it.

    Raises:
        ConfigurationError: The value holds a quote, which that language can not escape.
    """
    if "'" in value or '"' in value:
        raise ConfigurationError(f"{value!r} holds a quote; MLflow can not search for it")
    return f"'{value}'"


class Connection:
    """A prepared MLflow store.

    Args:
        settings: Where home, store and experiment are.
        kind: Which of the home's registered models is meant.
    """

    def __init__(self, settings: Settings, kind: ModelKind = RELATIONS) -> None:
        self.settings = settings
        self.kind = kind
        self.uri = check_tracking_uri(settings.tracking_uri)
        self.model_name = kind.registered_name(settings.tracking.registered_model)
        # One object, so that a function that holds the lock may call another that takes it.
        self._lock = FileLock(settings.home.absolute() / "mlflow.lock", timeout=_LOCK_SECONDS)
        # mlflow reads some of these when it is imported.
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home's MLflow lock: one process at a time initialises, opens or registers.

        On a server shared by several hosts the ledger's lease keeps two runs of a batch apart; the
        lock covers the embedded store, where a fresh database must have one initialiser.

        Raises:
            TrackingUnavailable: Another process has held the lock for minutes.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise TrackingUnavailable(
                f"another process has held mlflow.lock for {_LOCK_SECONDS:.0f} s; try again"
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    @cached_property
    def client(self) -> MlflowClient:
        """The client, after the store's tables exist."""
        with tracking_errors("open the tracking store", self.uri):
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            with self.lock():
                client = MlflowClient(self.uri, registry_uri=self.uri)
                # The registry half of a store initialises itself at its first use.
                client.search_registered_models(max_results=1)
        return client

    @cached_property
    def experiment_id(self) -> str:
        """The experiment: ``MLFLOW_EXPERIMENT_ID`` where it is set, else by name, made if new.

        Raises:
            ConfigurationError: The experiment was deleted.
            NotFoundError: ``MLFLOW_EXPERIMENT_ID`` names none.
        """
        name = self.settings.tracking.experiment
        given = os.environ.get("MLFLOW_EXPERIMENT_ID")
        with tracking_errors(f"open the experiment {given or name!r}", self.uri):
            if given:
                experiment = self.client.get_experiment(given)
            else:
                experiment = self.client.get_experiment_by_name(name) or self._create_experiment()
        if experiment.lifecycle_stage == "deleted":
            raise ConfigurationError(
                f"the MLflow experiment {experiment.name!r} was deleted; run 'mlflow experiments "
                f"restore -x {experiment.experiment_id}' or set another tracking.experiment"
            )
        return str(experiment.experiment_id)

    def _create_experiment(self) -> Experiment:
        from mlflow.exceptions import MlflowException

        name = self.settings.tracking.experiment
        try:
            root = artifact_root_of(self.settings)
            identity = self.client.create_experiment(name, artifact_location=root)
            return self.client.get_experiment(identity)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Another process made it between the two calls.
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            raise NotFoundError(f"the MLflow experiment {name!r} was deleted just now; try again")
        return experiment
