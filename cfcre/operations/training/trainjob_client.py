"""The Kubernetes API as training uses it: create, read, delete TrainJobs, look at their pods.

Rights needed: ``create``, ``get`` and ``delete`` on ``trainjobs`` in one namespace, and ``list`` on
``pods`` there, without which a failure has no reason but still is one
(``k8s/examples/trainjob/access.yaml``). State is read again and again instead of watched: a watch
needs more rights, ends unnoticed behind some proxies, and a step takes minutes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from cfcre.errors import CfcreError, ConfigurationError, RetryableError
from cfcre.operations.training.trainjob_manifest import API_VERSION

__all__ = ["AlreadyExists", "TrainJobs"]

_GROUP, _VERSION = API_VERSION.split("/")
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and to wait for an answer
_TRIES = 6
_MOST_PODS = 64
_LONGEST = 500
# Waiting for these ends only when somebody does something.
_HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}


class AlreadyExists(CfcreError):
    """There is an object of that name."""


class TrainJobs:
    """TrainJobs of one namespace.

    Args:
        namespace: The namespace.
        sleep: Waits so many seconds between two tries; replaced in tests.
    """

    def __init__(self, namespace: str, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._namespace = namespace
        self._sleep = sleep
        self._connect()

    def _connect(self) -> None:
        from kubernetes import client, config
        from kubernetes.config import ConfigException

        configuration = client.Configuration()
        try:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except ConfigException:
                # The client reads KUBECONFIG when it is imported; it may have changed since.
                config.load_kube_config(
                    os.environ.get("KUBECONFIG"), client_configuration=configuration
                )
        except (ConfigException, OSError, ValueError) as error:
            raise ConfigurationError(
                "pipeline.training is trainjob, but there is neither a pod's service account nor a "
                f"kubeconfig to reach Kubernetes with: {_one_line(error)}"
            ) from error
        configuration.retries = False
        api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)

    def create(self, manifest: dict[str, Any]) -> None:
        """Create a TrainJob.

        Raises:
            AlreadyExists: There is one of that name, perhaps from this very call whose answer was
                lost.
            ConfigurationError: The API refused it.
            RetryableError: The API did not answer.
        """

        def call() -> Any:
            return self._objects.create_namespaced_custom_object(
                _GROUP,
                _VERSION,
                self._namespace,
                "trainjobs",
                manifest,
                _request_timeout=_TIMEOUT,
            )

        self._call("create", manifest["metadata"]["name"], call)

    def get(self, name: str) -> dict[str, Any] | None:
        """The TrainJob, or None where there is none."""

        def call() -> Any:
            return self._objects.get_namespaced_custom_object(
                _GROUP, _VERSION, self._namespace, "trainjobs", name, _request_timeout=_TIMEOUT
            )

        found: dict[str, Any] | None = self._call("read", name, call)
        return found

    def delete(self, name: str) -> None:
        """Delete a TrainJob with its pods; no error where there is none."""

        def call() -> Any:
            return self._objects.delete_namespaced_custom_object(
                _GROUP,
                _VERSION,
                self._namespace,
                "trainjobs",
                name,
                propagation_policy="Foreground",
                _request_timeout=_TIMEOUT,
            )

        self._call("delete", name, call)

    def pod_trouble(self, name: str) -> tuple[str | None, bool]:
        """What the TrainJob's pods say about a failure.

        Returns:
            One line, or None where they say nothing or may not be read; and whether a pod waits for
            something that will not come by itself.
        """

        def call() -> Any:
            return self._core.list_namespaced_pod(
                self._namespace,
                label_selector=f"jobset.sigs.k8s.io/jobset-name={name}",
                limit=_MOST_PODS,
                _request_timeout=_TIMEOUT,
            )

        try:
            pods = self._call("list the pods of", name, call)
        except CfcreError:
            return None, False
        found = [trouble for pod in (pods.items if pods else ()) for trouble in _troubles(pod)]
        found.sort(key=lambda trouble: not trouble[1])
        return (found[0][0][:_LONGEST], found[0][1]) if found else (None, False)

    def _call(self, action: str, name: str, call: Callable[[], Any]) -> Any:
        """Call with retries where they can help; None for an object that is not there."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        where = f"cannot {action} the TrainJob {name} in namespace {self._namespace}"
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(min(0.5 * 2 ** (attempt - 1), 8.0))
            try:
                return call()
            except ApiException as error:
                if error.status == 404 and action != "create":
                    return None
                if error.status == 409 and action == "create":
                    raise AlreadyExists(f"there is a TrainJob {name}") from None
                problem = f"Kubernetes answered {error.status}: {_message(error)}"
                if error.status == 401 and attempt == 0:
                    # Tokens of a service account change while a process runs.
                    self._connect()
                    continue
                if error.status in (408, 409, 429) or (error.status or 0) >= 500:
                    continue
                raise ConfigurationError(f"{where}: {problem}{_hint(error.status)}") from error
            except (HTTPError, OSError) as error:
                problem = f"Kubernetes did not answer ({type(error).__name__})"
        raise RetryableError(f"{where}: {problem}")


def _hint(status: int | None) -> str:
    if status in (401, 403):
        return "; give the service account the rights in k8s/examples/trainjob/access.yaml"
    if status == 404:
        return "; install Kubeflow Trainer v2, and check trainjob.namespace"
    return ""


def _message(error: Any) -> str:
    try:
        text = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        text = str(error.reason)
    return " ".join(text.split())[:_LONGEST]


def _troubles(pod: Any) -> list[tuple[str, bool]]:
    status, name = pod.status, pod.metadata.name
    found = []
    for container in [*(status.init_container_statuses or ()), *(status.container_statuses or ())]:
        state = container.state
        if state is None:
            continue
        if state.waiting and state.waiting.reason in _HOPELESS:
            text = _one_line(state.waiting.message or "")
            found.append((f"pod {name} waits: {state.waiting.reason} {text}".strip(), True))
        if state.terminated and state.terminated.exit_code:
            why, code = state.terminated.reason or "Error", state.terminated.exit_code
            found.append((f"pod {name} ended: {why}, exit code {code}", False))
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            found.append((f"pod {name} is not placed: {_one_line(condition.message or '')}", False))
    return found


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
