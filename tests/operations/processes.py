"""Running a function in several processes at once, started together by a barrier."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

CONTEXT = multiprocessing.get_context("spawn")


def run_all(target: Callable[..., None], url: str, count: int) -> list[Any]:
    """Run ``target(url, number, barrier, pipe)`` in so many processes; what each of them sent."""
    gate = CONTEXT.Barrier(count)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(count)]
    processes = [
        CONTEXT.Process(target=target, args=(url, number, gate, sender))
        for number, (_, sender) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    assert all(receiver.poll(120) for receiver, _ in pipes)
    results = [receiver.recv() for receiver, _ in pipes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return results
