"""The MLflow UI over the embedded store, as a command line to run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from cfcre.config import Settings
from cfcre.errors import ConfigurationError
from cfcre.tracking.connection import artifact_root_of, check_tracking_uri, is_server
from cfcre.tracking.faults import redact

__all__ = ["UiCommand", "ui_command"]


@dataclass(frozen=True)
class UiCommand:
    """What to start and where it then answers.

    Attributes:
        argv: Command line; holds no URI, since other users of a machine can read it.
        env: Environment; holds the store's URI.
        url: Address for the browser.
    """

    argv: list[str]
    env: dict[str, str]
    url: str


def ui_command(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    environ: Mapping[str, str] = os.environ,
) -> UiCommand:
    """Build the command that serves the UI over this home's database.

    Args:
        settings: Where the store is.
        host: Interface; the default is reachable from this machine only.
        port: TCP port.
        environ: Environment to extend.

    Raises:
        ConfigurationError: The store is a server, which has a UI of its own, or the port is wrong.
    """
    uri = check_tracking_uri(settings.tracking_uri)
    if is_server(uri):
        raise ConfigurationError(f"MLflow is a server already; open {redact(uri)} in a browser")
    if not 0 < port < 65536:
        raise ConfigurationError(f"port is {port}; give 1 to 65535")
    argv = [sys.executable, "-m", "mlflow", "server"]
    argv += ["--host", host, "--port", str(port), "--workers", "1"]
    env = {
        **environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_REGISTRY_STORE_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    root = artifact_root_of(settings)
    if root is not None:
        env["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = root
    # Both would make the server a client of itself.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        env.pop(name, None)
    shown = f"[{host}]" if ":" in host else host
    return UiCommand(argv, env, f"http://{shown}:{port}")
