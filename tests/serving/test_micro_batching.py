"""Requests that come together share a forward pass, and only that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving_cases import metric, post, row, running, serving_settings, until

from cfcre.data.tokenisation import EncodedExamples
from cfcre.serving.batching import MicroBatcher, Ticket
from cfcre.tracking.scoring import ScoringFailure

BAD = 13


def rows_of(*values: int) -> EncodedExamples:
    """One word piece a row: the row's value."""
    count = len(values)
    zeros = np.zeros(count, dtype=np.int64)
    return EncodedExamples(
        np.asarray(values), np.arange(count + 1), zeros, zeros, zeros.astype(bool), 0
    )


class Encoder:
    """Squares each row's value, when it is let; notes the passes. Chokes on one value."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.entered = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, encoded: EncodedExamples) -> Any:
        self.passes.append(encoded.ids.tolist())
        self.entered.set()
        assert self.may_go.wait(30)
        if BAD in encoded.ids:
            raise RuntimeError("out of memory")
        return (encoded.ids**2).astype(np.float32)[:, None]


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


Make = Callable[..., MicroBatcher]


@pytest.fixture
def make(encoder: Encoder) -> Iterator[Make]:
    made = []

    def build(**changes: Any) -> MicroBatcher:
        options = {"max_rows": 8, "max_queued_rows": 100, "window_seconds": 0.0, **changes}
        made.append(MicroBatcher(encoder, **options))
        return made[-1]

    yield build
    encoder.may_go.set()
    for batcher in made:
        batcher.close()


def ask(batcher: MicroBatcher, *values: int, seconds: float = 30.0) -> list[float]:
    ticket = Ticket(batcher, time.monotonic() + seconds)
    return [float(x) for x in batcher.run(rows_of(*values), ticket)[:, 0]]


def squares(*values: int) -> list[float]:
    return [float(v) ** 2 for v in values]


def block(encoder: Encoder, batcher: MicroBatcher, pool: ThreadPoolExecutor) -> Any:
    """Start a pass that does not end until ``encoder.may_go`` is set."""
    encoder.may_go.clear()
    first = pool.submit(ask, batcher, 1)
    assert encoder.entered.wait(30)
    return first


def test_what_waits_is_joined_and_each_gets_its_own_rows(encoder: Encoder, make: Make) -> None:
    batcher = make()
    with ThreadPoolExecutor(8) as pool:
        first = block(encoder, batcher, pool)
        others = [pool.submit(ask, batcher, 10 * i, 10 * i + 1) for i in range(1, 4)]
        until(lambda: batcher.queued_rows == 6)
        encoder.may_go.set()
        assert first.result(30) == squares(1)
        for i, other in enumerate(others, start=1):
            assert other.result(30) == squares(10 * i, 10 * i + 1)
    assert len(encoder.passes) == 2
    assert sorted(encoder.passes[1]) == [10, 11, 20, 21, 30, 31]


def test_a_pass_takes_whole_requests_up_to_its_limit(encoder: Encoder, make: Make) -> None:
    batcher = make()
    with ThreadPoolExecutor(8) as pool:
        block(encoder, batcher, pool)
        others = []
        for i, count in enumerate((5, 4, 3, 20), start=1):
            others.append(pool.submit(ask, batcher, *range(100 * i, 100 * i + count)))
            until(lambda i=i: batcher.queued_rows == sum((5, 4, 3, 20)[:i]))
        encoder.may_go.set()
        for other in others:
            other.result(30)
    # 5 alone, for 4 more would be 9; 4 and 3 together; a request larger than a pass by itself.
    assert [len(one) for one in encoder.passes] == [1, 5, 7, 20]


def test_the_window_waits_for_those_on_the_way_only(encoder: Encoder, make: Make) -> None:
    # A window that outlasts the test: nothing here may depend on its end.
    batcher = make(window_seconds=600)
    assert ask(batcher, 2) == squares(2)
    coming = Ticket(batcher, time.monotonic() + 30)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, batcher, 3)
        until(lambda: batcher.queued_rows == 1)
        second = pool.submit(batcher.run, rows_of(4), coming)
        assert first.result(30) == squares(3)
        second.result(30)
    assert sorted(encoder.passes[1]) == [3, 4]
    leaving = Ticket(batcher, time.monotonic() + 30)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, batcher, 5)
        until(lambda: batcher.queued_rows == 1)
        leaving.arrived()
        leaving.arrived()
        assert first.result(30) == squares(5)


def test_rows_that_break_a_pass_fail_their_own_request_only(encoder: Encoder, make: Make) -> None:
    batcher = make()
    with ThreadPoolExecutor(8) as pool:
        block(encoder, batcher, pool)
        futures = [pool.submit(ask, batcher, v) for v in (2, BAD, 4)]
        until(lambda: batcher.queued_rows == 3)
        encoder.may_go.set()
        assert futures[0].result(30) == squares(2)
        assert futures[2].result(30) == squares(4)
        with pytest.raises(ScoringFailure, match="the model failed") as caught:
            futures[1].result(30)
    assert caught.value.status == 500
    assert ask(batcher, 6) == squares(6)


def test_a_full_queue_says_come_again(encoder: Encoder, make: Make) -> None:
    batcher = make(max_queued_rows=3)
    with ThreadPoolExecutor(8) as pool:
        block(encoder, batcher, pool)
        waiting = pool.submit(ask, batcher, 2, 3)
        until(lambda: batcher.queued_rows == 2)
        with pytest.raises(ScoringFailure, match="2 rows wait already") as caught:
            ask(batcher, 4, 5)
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        encoder.may_go.set()
        assert waiting.result(30) == squares(2, 3)
    assert [4, 5] not in encoder.passes
    assert ask(batcher, *range(20, 28)) == squares(*range(20, 28))


def test_a_request_that_waited_too_long_is_not_run(encoder: Encoder, make: Make) -> None:
    batcher = make()
    with ThreadPoolExecutor(8) as pool:
        block(encoder, batcher, pool)
        with pytest.raises(ScoringFailure, match="not answered in time") as caught:
            ask(batcher, 7, seconds=0.05)
        assert caught.value.status == 504
        encoder.may_go.set()
    assert ask(batcher, 8) == squares(8)
    assert all(7 not in one for one in encoder.passes)


def test_closing_runs_what_is_queued_and_abandoning_does_not(encoder: Encoder, make: Make) -> None:
    with ThreadPoolExecutor(8) as pool:
        batcher = make()
        block(encoder, batcher, pool)
        queued = pool.submit(ask, batcher, 2)
        until(lambda: batcher.queued_rows == 1)
        closing = pool.submit(batcher.close)
        encoder.may_go.set()
        assert queued.result(30) == squares(2)
        closing.result(30)

        encoder.entered.clear()
        batcher = make()
        running_one = block(encoder, batcher, pool)
        queued = pool.submit(ask, batcher, 3)
        until(lambda: batcher.queued_rows == 1)
        batcher.abandon()
        for future in (running_one, queued):
            with pytest.raises(ScoringFailure):
                future.result(30)


@pytest.mark.server
def test_answers_under_load_are_those_of_single_requests(settings: Any) -> None:
    texts = [
        f"{'so ' * (7 * i % 50)}{head} wrote {tail} {i}"
        for i, (head, tail) in enumerate(
            (h, t) for h in ("ada", "boris", "carla", "hugo") for t in ("riga", "sofia", "tunis")
        )
    ]
    bodies = [
        {"inputs": [row(t, t.split()[-4], t.split()[-2])] * (1 + i % 3), "params": {"top_k": 4}}
        for i, t in enumerate(texts)
    ]
    with running(serving_settings(settings, batch_window_seconds=0.05)) as server:
        alone = [post(server.url, body).json()["predictions"] for body in bodies]
        passes = metric(server.url, "cfcre_serve_batch_rows_count")
        with ThreadPoolExecutor(12) as pool:
            together = list(pool.map(lambda body: post(server.url, body), bodies * 4))
        for answer, wanted in zip(together, alone * 4, strict=True):
            assert answer.status_code == 200, answer.text
            for got, want in zip(answer.json()["predictions"], wanted, strict=True):
                assert [t["relation"] for t in got["top"]] == [t["relation"] for t in want["top"]]
                assert [t["score"] for t in got["top"]] == pytest.approx(
                    [t["score"] for t in want["top"]], abs=1e-5
                )
        used = metric(server.url, "cfcre_serve_batch_rows_count") - passes
        assert used < len(together), "no two requests shared a pass"
        rows = sum(len(body["inputs"]) for body in bodies) * 5
        assert metric(server.url, "cfcre_serve_rows_total") == rows
        assert metric(server.url, 'cfcre_serve_requests_total{code="200"}') == len(bodies) * 5
        assert metric(server.url, "cfcre_serve_request_seconds_count") == len(bodies) * 5
        assert metric(server.url, 'cfcre_serve_model_info{version="1"}') == 1
