"""The Kubeflow Pipelines API, as much of it as is needed, through ``kfp.Client``.

Its generated calls are used rather than its own methods: those take no timeout, print links, and
ask the user's folder for a namespace. What is added is what a cluster needs: a time limit on every
call, new tries where they are safe, a search before a creation is sent again, and every page of a
list.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from cfcre.config import KubeflowSettings
from cfcre.errors import CfcreError, ConfigurationError
from cfcre.operations.kubeflow.faults import fault_of

__all__ = ["KubeflowClient"]

log = logging.getLogger(__name__)

_PAGE = 100
_MOST_PAGES = 200


class KubeflowClient:
    """Speaks to one Kubeflow Pipelines API server. Cheap to build; kfp is imported at first use.

    Args:
        settings: Where it is, and how long to wait for it.
        sleep: Waits between two tries; replaced in tests.
    """

    def __init__(
        self, settings: KubeflowSettings, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.settings = settings
        self._sleep = sleep

    @cached_property
    def _kfp(self) -> Any:
        import kfp
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

        options = self.settings
        if options.ca_file is not None and not options.ca_file.is_file():
            raise ConfigurationError(f"kubeflow.ca_file: there is no file {options.ca_file}")
        credentials = None
        if options.token_file.exists():
            credentials = ServiceAccountTokenVolumeCredentials(str(options.token_file))
        elif options.token_file != KubeflowSettings.model_fields["token_file"].default:
            raise ConfigurationError(f"kubeflow.token_file: there is no file {options.token_file}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return kfp.Client(
                host=options.host,
                # Never used by the calls below, but without one the client asks the server.
                namespace=options.namespace or "single-user",
                credentials=credentials,
                ssl_ca_cert=str(options.ca_file) if options.ca_file else None,
            )

    def experiment_id(self) -> str:
        """The configured experiment, made where it does not exist.

        Raises:
            ConfigurationError: The namespace is unknown or not ours.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        name = self.settings.experiment
        from kfp_server_api import V2beta1Experiment

        found = self._find_experiment()
        if found is None:
            body = V2beta1Experiment(display_name=name, namespace=self.settings.namespace)
            create = self._kfp.experiments.experiment_service_create_experiment
            found = self._call(
                f"make the experiment {name!r}",
                lambda **how: create(experiment=body, **how),
                find=self._find_experiment,
            )
        return self._known(found.experiment_id, "an experiment")

    def _find_experiment(self) -> Any | None:
        name = self.settings.experiment
        found = self._pages(
            f"look for the experiment {name!r}",
            self._kfp.experiments.experiment_service_list_experiments,
            "experiments",
            filter=_named("EQUALS", name),
            namespace=self.settings.namespace,
        )
        return next((e for e in found if e.display_name == name), None)

    def runs_like(self, text: str) -> list[Any]:
        """Every run of the namespace with the text in its name, archived ones included.

        Raises:
            ConfigurationError: The namespace is unknown or not ours.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        return list(
            self._pages(
                f"look for runs called {text!r}",
                self._kfp.runs.run_service_list_runs,
                "runs",
                filter=_named("IS_SUBSTRING", text),
                namespace=self.settings.namespace,
            )
        )

    def run(self, run_id: str) -> Any:
        """One run.

        Raises:
            NotFoundError: It does not exist.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        get = self._kfp.runs.run_service_get_run
        return self._call(f"look at the run {run_id}", lambda **how: get(run_id=run_id, **how))

    def create_run(
        self, name: str, package: dict[str, Any], parameters: dict[str, str], *, about: str
    ) -> Any:
        """Start a run, once: where the answer is lost, the run is looked for before another try.

        Args:
            name: Its name, which no other run has.
            package: The compiled pipeline.
            parameters: The pipeline's parameters.
            about: A line for people.

        Raises:
            ConfigurationError: Kubeflow refused the run.
            KubeflowUnavailable: Kubeflow did not answer; no run of that name is there.
        """
        from kfp_server_api import V2beta1Run, V2beta1RuntimeConfig

        body = V2beta1Run(
            display_name=name,
            description=about,
            experiment_id=self.experiment_id(),
            pipeline_spec=package,
            runtime_config=V2beta1RuntimeConfig(
                parameters=parameters, pipeline_root=self.settings.pipeline_root
            ),
            service_account=self.settings.service_account,
        )
        create = self._kfp.runs.run_service_create_run
        run = self._call(
            f"submit the run {name}",
            lambda **how: create(run=body, **how),
            find=lambda: next((r for r in self.runs_like(name) if r.display_name == name), None),
        )
        self._known(run.run_id, "a run")
        return run

    def recurring_runs(self, name: str) -> list[Any]:
        """Every recurring run of the namespace with that name, oldest first.

        Raises:
            ConfigurationError: The namespace is unknown or not ours.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        found = self._pages(
            f"look for recurring runs called {name!r}",
            self._kfp.recurring_runs.recurring_run_service_list_recurring_runs,
            "recurring_runs",
            filter=_named("IS_SUBSTRING", name),
            namespace=self.settings.namespace,
        )
        exact = [job for job in found if job.display_name == name]
        return sorted(exact, key=lambda job: (str(job.created_at), str(job.recurring_run_id)))

    def create_recurring_run(
        self,
        name: str,
        package: dict[str, Any],
        parameters: dict[str, str],
        *,
        cron: str,
        enabled: bool,
        about: str,
    ) -> Any:
        """Make a recurring run: one run at a time, and no run for a time that was missed.

        Args:
            name: Its name.
            package: The compiled pipeline.
            parameters: The pipeline's parameters.
            cron: Six fields, seconds first.
            enabled: Whether it starts runs.
            about: Its description, by which it is found where the answer is lost.

        Raises:
            ConfigurationError: Kubeflow refused it.
            KubeflowUnavailable: Kubeflow did not answer.
        """
        import kfp_server_api as api

        body = api.V2beta1RecurringRun(
            display_name=name,
            description=about,
            experiment_id=self.experiment_id(),
            namespace=self.settings.namespace,
            pipeline_spec=package,
            runtime_config=api.V2beta1RuntimeConfig(
                parameters=parameters, pipeline_root=self.settings.pipeline_root
            ),
            service_account=self.settings.service_account,
            max_concurrency="1",
            no_catchup=True,
            mode=api.RecurringRunMode.ENABLE if enabled else api.RecurringRunMode.DISABLE,
            trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron)),
        )
        create = self._kfp.recurring_runs.recurring_run_service_create_recurring_run
        made = self._call(
            f"make the recurring run {name!r}",
            lambda **how: create(recurring_run=body, **how),
            find=lambda: next(
                (job for job in self.recurring_runs(name) if job.description == about), None
            ),
        )
        self._known(made.recurring_run_id, "a recurring run")
        return made

    def delete_recurring_run(self, recurring_run_id: str) -> None:
        """Remove a recurring run; one that is gone already is fine.

        Raises:
            KubeflowUnavailable: Kubeflow did not answer.
        """
        from cfcre.errors import NotFoundError

        delete = self._kfp.recurring_runs.recurring_run_service_delete_recurring_run
        try:
            self._call(
                f"remove the recurring run {recurring_run_id}",
                lambda **how: delete(recurring_run_id=recurring_run_id, **how),
            )
        except NotFoundError:
            log.info("the recurring run %s was gone already", recurring_run_id)

    def run_url(self, run_id: str) -> str:
        """Where a person sees the run."""
        base = (self.settings.ui_url or self.settings.host).rstrip("/")
        return f"{base}/#/runs/details/{run_id}"

    def _pages(
        self, action: str, send: Callable[..., Any], field: str, **query: Any
    ) -> Iterator[Any]:
        token = ""
        for _ in range(_MOST_PAGES):
            page = self._call(
                action,
                lambda *, page_token=token, **how: send(
                    page_token=page_token, page_size=_PAGE, **query, **how
                ),
            )
            yield from getattr(page, field, None) or []
            token = getattr(page, "next_page_token", None) or ""
            if not token:
                return
        raise CfcreError(f"cannot {action}: more than {_PAGE * _MOST_PAGES} entries; archive some")

    def _call(
        self,
        action: str,
        send: Callable[..., Any],
        *,
        find: Callable[[], Any | None] | None = None,
    ) -> Any:
        """Send, and send again where that is safe.

        Args:
            action: What is being done, for messages.
            send: The call; takes the client's options as keywords.
            find: For a creation: looks for what an earlier try may have made.
        """
        options = self.settings
        limits = (options.connect_timeout_seconds, options.request_timeout_seconds)
        tried = 0
        while True:
            try:
                return send(_request_timeout=limits)
            except Exception as error:
                fault = fault_of(error, action, options.host, str(options.token_file))
                if fault is None:
                    raise
                cause = error
            if fault.again:
                pause = options.retry_seconds * 2.0**tried
                log.warning("%s (try %d of %d)", fault.error, tried + 1, options.retries + 1)
                if tried < options.retries or fault.unsure:
                    self._sleep(pause)
            if find is not None and (fault.unsure or fault.conflict):
                there = find()
                if there is not None:
                    return there
            if not fault.again or tried >= options.retries:
                raise fault.error from cause
            tried += 1

    def _known(self, identity: str | None, what: str) -> str:
        if not identity:
            raise ConfigurationError(
                f"Kubeflow at {self.settings.host} answered with something that is not {what}; "
                "give the address of the API server, not of a login page, as kubeflow.host"
            )
        return identity


def _named(operation: str, name: str) -> str:
    predicate = {"operation": operation, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})
