"""Make the MLflow user of watcher, pipeline and serving, or give it its new password.

Idempotent, and through MLflow's own API. Standard library alone, so that it needs little memory.

Environment: MLFLOW_TRACKING_URI, ADMIN_USERNAME, ADMIN_PASSWORD, CLIENT_USERNAME, CLIENT_PASSWORD.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 20
VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "ADMIN_USERNAME",
    "ADMIN_PASSWORD",
    "CLIENT_USERNAME",
    "CLIENT_PASSWORD",
)


def call(
    method: str, url: str, user: tuple[str, str], body: dict[str, object] | None = None
) -> tuple[int, str]:
    """Send one request with basic authentication; returns status and the start of the answer."""
    token = base64.b64encode(":".join(user).encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked in main
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(2000).decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(2000).decode(errors="replace")


def main() -> int:
    """Bring the user into being; 2 for a wrong environment, 75 where a retry can help."""
    values = {name: os.environ.get(name, "") for name in VARIABLES}
    missing = [name for name, value in values.items() if not value]
    if missing:
        print(f"error: empty: {', '.join(missing)}", file=sys.stderr)
        return 2
    server, admin_name, admin_password, name, password = (values[key] for key in VARIABLES)
    if not server.startswith(("http://", "https://")):
        print("error: MLFLOW_TRACKING_URI must start with http:// or https://", file=sys.stderr)
        return 2
    if name == admin_name:
        print(
            "error: the client of cfcre must not be MLflow's administrator; choose another "
            "username in the secret cfcre-mlflow-client",
            file=sys.stderr,
        )
        return 2
    users, admin = f"{server.rstrip('/')}/api/2.0/mlflow/users", (admin_name, admin_password)
    wanted: dict[str, object] = {"username": name, "password": password}
    try:
        status, _ = call(
            "GET", f"{users}/get?{urllib.parse.urlencode({'username': name})}", (name, password)
        )
        if status == 200:
            print(f"user {name} is there and its password is right")
            return 0
        status, text = call("POST", f"{users}/create", admin, wanted)
        done = "was made"
        if "RESOURCE_ALREADY_EXISTS" in text:
            status, text = call("PATCH", f"{users}/update-password", admin, wanted)
            done = "has the new password"
    except OSError as error:
        print(f"error: MLflow does not answer at {server}: {error}", file=sys.stderr)
        return 75
    if status != 200:
        print(f"error: MLflow answered {status}: {' '.join(text.split())[:300]}", file=sys.stderr)
        return 75 if status >= 500 else 2
    print(f"user {name} {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
