"""Write the configuration file of MLflow's basic-auth app from the environment.

MLflow takes the address of its user database from a file only; the address holds a password and
comes from a Kubernetes secret. Standard library alone: this runs before the server starts.

    write_auth_config.py FILE

Environment: AUTH_DATABASE_URI, the SQLAlchemy URL of the user database.
"""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Write the file, readable by its owner alone; 2 where something is missing."""
    if len(arguments) != 1:
        print("error: give one argument, the file to write", file=sys.stderr)
        return 2
    database = os.environ.get("AUTH_DATABASE_URI", "")
    if not database:
        print(
            "error: AUTH_DATABASE_URI is empty; fill the key auth-database-uri of the secret "
            "cfcre-mlflow-server",
            file=sys.stderr,
        )
        return 2
    config = configparser.ConfigParser()
    config["mlflow"] = {
        # Any user who logged in may read; whoever creates an experiment or a model manages it.
        "default_permission": "READ",
        # The reader of this file interpolates: a % of an escaped password has to be doubled.
        "database_uri": database.replace("%", "%%"),
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    path = Path(arguments[0])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        config.write(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
