"""Servers of S3 and SQS, a ledger, and watchers as processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from quick_world import SECRET, QuickLauncher, free_port

from cfcre.config import Settings, load_settings
from cfcre.operations.ledger import Ledger


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", environ={})


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    made = Ledger(settings.ledger_url)
    made.create()
    yield made
    made.close()


@pytest.fixture
def launcher(ledger: Ledger) -> QuickLauncher:
    return QuickLauncher(ledger)


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@dataclass
class Aws:
    """A bucket whose events go to a queue with a dead-letter queue."""

    endpoint: str
    s3: Any
    sqs: Any
    bucket: str
    queue: str
    dead: str

    def count(self, url: str) -> tuple[int, int]:
        """Messages that show, and that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def dead_bodies(self) -> list[str]:
        bodies: list[str] = []
        while found := self.sqs.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            bodies += [message["Body"] for message in found]
        return bodies


@pytest.fixture
def aws(aws_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-shown-nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    where = {"endpoint_url": aws_endpoint, "region_name": "us-east-1"}
    s3, sqs = boto3.client("s3", **where), boto3.client("sqs", **where)
    name = uuid.uuid4().hex[:12]
    s3.create_bucket(Bucket=name)
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]

    def arn(url: str) -> str:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    policy = {"deadLetterTargetArn": arn(dead), "maxReceiveCount": "3"}
    queue = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": "inbox",
                    "QueueArn": arn(queue["QueueUrl"]),
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "p/inbox/"}]}},
                }
            ]
        },
    )
    return Aws(aws_endpoint, s3, sqs, name, queue["QueueUrl"], dead)


@dataclass
class Watcher:
    """A watcher process."""

    process: subprocess.Popen[str]
    output: Path
    ports: dict[str, int] = field(default_factory=dict)

    def said(self) -> str:
        return self.output.read_text()

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.ports['health']}{path}"
        try:
            with urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except OSError as error:
            return getattr(error, "code", 0), str(error)

    def metric(self, name: str) -> float | None:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1], flags=re.M)
        return float(found[1]) if found else None

    def post(self, payload: object) -> tuple[int, dict[str, Any]]:
        request = Request(
            f"http://127.0.0.1:{self.ports['webhook']}/webhook",
            data=json.dumps(payload).encode(),
            headers={"Authorization": f"Bearer {SECRET}"},
        )
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())


class Home:
    """A home of watcher processes with quick runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "runs.log"
        self.watchers: list[Watcher] = []
        path.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(load_settings(home=path, environ={}).ledger_url)
        self.ledger.create()

    def start(self, *options: str, seconds: float = 0.0) -> Watcher:
        output = self.path / f"output-{len(self.watchers)}"
        ports = {name: free_port() for name in ("health", "webhook")}
        command = [sys.executable, str(Path(__file__).with_name("quick_watch.py")), "watch"]
        command += ["--home", str(self.path)]
        for name, port in ports.items():
            if f"--no-{name}" not in options:
                command += [f"--{name}-port", str(port)]
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "QUICK_SECONDS": str(seconds),
            "QUICK_LOG": str(self.log),
            "CFCRE_WEBHOOK_SECRET": SECRET,
        }
        with output.open("w") as stream:
            process = subprocess.Popen(
                [*command, *(o for o in options if not o.startswith("--no-"))],
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        watcher = Watcher(process, output, ports)
        self.watchers.append(watcher)
        return watcher

    def drop(self, stream: str, number: int | str) -> None:
        from quick_world import batch

        folder = self.path / "store" / "inbox" / stream
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{number}"
        partial.write_bytes(batch(number))
        partial.rename(folder / f"{number}.jsonl")

    def states(self, stream: str) -> dict[str, str]:
        streams = self.ledger.status(stream)["streams"]
        tasks = {t["batch_name"]: t["state"] for s in streams for t in s["tasks"]}
        return tasks | {p["name"]: p["state"] for s in streams for p in s["pending"]}

    def runs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.is_file() else []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    for watcher in made.watchers:
        watcher.process.kill()
        watcher.process.wait()
    made.ledger.close()


WaitFor = Callable[..., None]


@pytest.fixture
def wait_for() -> WaitFor:
    def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.1)

    return wait
