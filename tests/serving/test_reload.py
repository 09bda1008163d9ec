"""The server follows the alias; whatever goes wrong, the version that answers goes on."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from serving_cases import (
    HEADER,
    ROWS,
    get,
    metric,
    post,
    running,
    serving_settings,
    until,
)

from cfcre.errors import StateError, TrackingUnavailable
from cfcre.tracking.client import Tracker

pytestmark = pytest.mark.server
FAILURES = "cfcre_serve_reload_failures_total"


def answering(url: str) -> str:
    return post(url, {"inputs": ROWS}).headers[HEADER]


def wait_for(url: str, version: str) -> None:
    until(lambda: get(url, "/version").headers.get(HEADER) == version, what=f"version {version}")


def wait_for_failure(url: str, before: float = 0) -> None:
    until(lambda: metric(url, FAILURES) > before, what="a failed reload")


@contextmanager
def clients(url: str, count: int) -> Iterator[list[requests.Response]]:
    """Clients that ask without a pause; yields what they were answered so far."""
    answers: list[requests.Response] = []
    errors: list[BaseException] = []
    enough = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not enough.is_set():
                try:
                    answer = session.post(
                        f"{url}/invocations", json={"inputs": ROWS, "params": {"top_k": 4}}
                    )
                except BaseException as error:
                    errors.append(error)
                    return
                answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)
    assert not errors


def test_the_alias_moves_under_load_and_every_answer_is_of_one_version(store: Any) -> None:
    settings = serving_settings(store.settings, poll_seconds=0.02, batch_window_seconds=0.01)
    with running(settings) as server:
        known = {}
        for version in ("1", "2"):
            store.promote(version)
            wait_for(server.url, version)
            body = {"inputs": ROWS, "params": {"top_k": 4}}
            known[version] = post(server.url, body).json()["predictions"]
        assert known["1"] != known["2"]
        with clients(server.url, 8) as answers:
            for version in ("1", "2") * 4:
                seen = len(answers)
                store.promote(version)
                wait_for(server.url, version)
                until(lambda seen=seen: len(answers) > seen + 16)
        assert len(answers) > 100
        assert {a.status_code for a in answers} == {200}
        assert {a.headers[HEADER] for a in answers} == {"1", "2"}
        for answer in answers:
            version = answer.headers[HEADER]
            for got, want in zip(answer.json()["predictions"], known[version], strict=True):
                # Every relation carries its version's number, so one row shows a mixture.
                assert [t["relation"] for t in got["top"]] == [t["relation"] for t in want["top"]]
                assert [t["score"] for t in got["top"]] == pytest.approx(
                    [t["score"] for t in want["top"]], abs=1e-5
                )
        assert metric(server.url, FAILURES) == 0
        assert metric(server.url, 'cfcre_serve_model_info{version="2"}') == 1
        assert 'version="1"' not in get(server.url, "/metrics").text
        # The versions before are gone: their requests ended, and so did their threads.
        until(lambda: _threads("cfcre-batcher") == 1)
    until(lambda: _threads("cfcre-drain") == 0)


def _threads(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_a_request_keeps_the_version_that_it_began_with(store: Any) -> None:
    with running(serving_settings(store.settings)) as server:
        batcher = server.state.slot.current._batcher
        forward, entered, gate = batcher._forward, threading.Event(), threading.Event()

        def slow(encoded: Any) -> Any:
            entered.set()
            assert gate.wait(60)
            return forward(encoded)

        batcher._forward = slow
        found: list[requests.Response] = []
        waiting = threading.Thread(target=lambda: found.append(post(server.url, {"inputs": ROWS})))
        waiting.start()
        assert entered.wait(30)
        store.promote("2")
        wait_for(server.url, "2")
        assert answering(server.url) == "2"
        assert _threads("cfcre-batcher") == 2
        gate.set()
        waiting.join(60)
        assert found[0].status_code == 200
        assert found[0].headers[HEADER] == "1"
        assert all(p["relation"].endswith("(1)") for p in found[0].json()["predictions"])
        until(lambda: _threads("cfcre-batcher") == 1)


def test_no_champion_at_the_start_then_one_appears(store: Any) -> None:
    store.tracker.delete_alias("champion")
    with running(serving_settings(store.settings), ready=False) as server:
        assert get(server.url, "/ping").status_code == 200
        for answer in (get(server.url, "/ready"), post(server.url, {"inputs": ROWS})):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
            assert "no champion is loaded yet" in answer.json()["message"]
            assert HEADER not in answer.headers
        assert "cfcre_serve_model_info{" not in get(server.url, "/metrics").text
        store.promote("2")
        ready = until(lambda: (a := get(server.url, "/ready")).ok and a)
        assert ready.json() == {"model_version": "2"}
        assert answering(server.url) == "2"
        # A champion that loses its alias is still the best there is.
        store.tracker.delete_alias("champion")
        polls = server.reloader._said
        until(lambda: server.reloader._said != polls)
        assert "version 2 goes on" in server.reloader._said
        assert answering(server.url) == "2"


def test_it_is_ready_only_after_the_model_has_answered(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cfcre.tracking.scoring import ScoringModel

    entered, gate = threading.Event(), threading.Event()
    warm_up = ScoringModel.warm_up

    def slow(self: ScoringModel, relations: Any) -> None:
        entered.set()
        assert gate.wait(60)
        warm_up(self, relations)

    monkeypatch.setattr(ScoringModel, "warm_up", slow)
    with running(serving_settings(store.settings), ready=False) as server:
        assert entered.wait(60)
        assert get(server.url, "/ready").status_code == 503
        assert post(server.url, {"inputs": ROWS}).status_code == 503
        gate.set()
        until(lambda: get(server.url, "/ready").status_code == 200)


def _artifacts(store: Any, version: str) -> Path:
    return store.tracker.state_path(version).parents[1]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _damage_weights(folder: Path) -> None:
    _flip(folder / "artifacts/state/encoder/model.safetensors")


def _change_state(folder: Path) -> None:
    # A forger can make the digests inside state.json right, not the one in the registry.
    path = folder / "artifacts/state/state.json"
    path.write_bytes(path.read_bytes().replace(b"born in", b"died in"))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder / "artifacts/state")


def _pickle(folder: Path) -> None:
    (folder / "artifacts/state/encoder/pytorch_model.bin").write_bytes(b"\x80\x04N.")


def _stranger(folder: Path) -> None:
    (folder / "artifacts/state/encoder/adapter_config.json").write_text("{}")


def _bad_mlmodel(folder: Path) -> None:
    (folder / "MLmodel").write_text("flavors: [")


def _other_model(folder: Path) -> None:
    (folder / "MLmodel").write_text("flavors: {sklearn: {}}\n")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_damage_weights, "does not match its digest"),
        (_change_state, "is not the one that was registered"),
        (_remove, "version 3"),
        (_pickle, "holds pytorch_model.bin"),
        (_stranger, "adapter_config.json"),
        (_bad_mlmodel, "MLmodel cannot be read"),
        (_other_model, "no cfcre model"),
    ],
)
def test_a_version_whose_files_were_changed_is_not_served(
    store: Any,
    third: str,
    damage: Callable[[Path], None],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = _artifacts(store, third)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    try:
        damage(folder)
        with running(serving_settings(store.settings)) as server:
            store.promote(third)
            wait_for_failure(server.url)
            assert answering(server.url) == "1"
            assert get(server.url, "/ready").status_code == 200
            assert "reload failed, version 1 goes on" in caplog.text
            assert why in caplog.text
            assert caplog.text.count("reload failed") == 1
            # The files are restored: the next try succeeds without a new promotion.
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            wait_for(server.url, third)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)


@pytest.fixture(scope="session")
def third(session_store: Any) -> str:
    """A good version that tests damage and restore."""
    return session_store.add(3)


def test_a_version_that_answers_nonsense_is_not_served(store: Any) -> None:
    broken = store.add(4, nan=True)
    with running(serving_settings(store.settings)) as server:
        store.promote(broken)
        wait_for_failure(server.url)
        assert answering(server.url) == "1"
        assert "answer to its own example" in server.reloader._said
        assert _threads("cfcre-batcher") == 1
        # Another version is tried at once, however long the wait for the broken one has become.
        store.promote("2")
        wait_for(server.url, "2")


def test_a_version_beyond_the_size_limit_is_not_downloaded(store: Any) -> None:
    with running(serving_settings(store.settings, max_model_bytes=1000), ready=False) as server:
        wait_for_failure(server.url)
        assert "more than 1000 bytes" in server.reloader._said
        assert post(server.url, {"inputs": ROWS}).status_code == 503


def test_a_version_that_cfcre_did_not_register_is_refused(store: Any) -> None:
    client = store.tracker._connection.client
    client.delete_model_version_tag("cfcre", "2", "cfcre.state")
    try:
        with running(serving_settings(store.settings)) as server:
            store.promote("2")
            wait_for_failure(server.url)
            assert "carries no tag cfcre.state" in server.reloader._said
            assert answering(server.url) == "1"
    finally:
        state = (store.tracker.state_path("2") / "state.json").read_bytes()
        import hashlib

        client.set_model_version_tag("cfcre", "2", "cfcre.state", hashlib.sha256(state).hexdigest())


class Faulty:
    """A registry that can be away."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.error: Exception | None = None

    def aliased(self, alias: str) -> Any:
        if self.error:
            # As with a refused connection, no two messages are alike.
            raise type(self.error)(*self.error.args, f"object at {id(object()):x}")
        return self.tracker.aliased(alias)

    def download(self, *arguments: Any) -> Path:
        return self.tracker.download(*arguments)


@pytest.mark.parametrize(
    "error", [TrackingUnavailable("MLflow did not answer"), OSError(28, "No space left")]
)
def test_a_registry_that_is_away_changes_nothing(
    store: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cfcre")
    registry = Faulty(store.tracker)
    with running(serving_settings(store.settings), lambda: registry) as server:
        registry.error = error
        store.promote("2")
        wait_for_failure(server.url)
        wait_for_failure(server.url, metric(server.url, FAILURES) + 3)
        assert answering(server.url) == "1"
        assert get(server.url, "/ready").status_code == 200
        # Away for hours is one line, not one a poll.
        assert caplog.text.count("reload failed") == 1
        registry.error = None
        wait_for(server.url, "2")
        assert "version 2 answers instead of version 1" in caplog.text


def test_a_registry_that_is_away_at_the_start_is_asked_again(store: Any) -> None:
    attempts: list[int] = []

    def open_registry() -> Tracker:
        attempts.append(1)
        if len(attempts) < 3:
            raise TrackingUnavailable("MLflow did not answer")
        return store.tracker

    with running(serving_settings(store.settings), open_registry) as server:
        assert metric(server.url, FAILURES) == 2
        assert answering(server.url) == "1"


def test_nothing_is_left_in_the_temporary_folder(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(serving_settings(store.settings)) as server:
        store.promote("2")
        wait_for(server.url, "2")
        assert answering(server.url) == "2"
    assert list(tmp_path.glob("cfcre-serve-*")) == []


def test_a_broken_version_is_not_fetched_again_at_every_poll(store: Any) -> None:
    from cfcre.serving.metrics import ServingMetrics
    from cfcre.serving.reload import Reloader
    from cfcre.serving.served import Slot

    fetched: list[str] = []

    def load(registered: Any, folder: Path, state: Path) -> Any:
        fetched.append(registered.version)
        raise StateError("broken")

    # A poll time that outlasts the test: the next try is due after that at the earliest.
    metrics = ServingMetrics()
    reloader = Reloader(
        lambda: store.tracker, load, Slot(), metrics, poll_seconds=600, max_bytes=10**9
    )
    assert not reloader.step() and not reloader.step()
    assert fetched == ["1"]
    store.promote("2")
    assert not reloader.step() and not reloader.step()
    assert fetched == ["1", "2"]
