"""A job's files through the object store: to the nodes of a TrainJob, and the result back.

::

    jobs/NAME/input/files.json    path → SHA-256 and size of every file; written last
    jobs/NAME/input/…             the job's folder
    jobs/NAME/result/files.json   the same for the result, with the input's digest; written last
    jobs/NAME/result/…            learner state and facts.json
    jobs/NAME/error-RANK.json     why a process ended

The digest of ``input/files.json`` goes with the TrainJob, so a node works on exactly what the stage
described, and a result counts only for the input that it was made from. Every file is checked
against its list; a learner state's own list is checked again when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cfcre.data.files import atomic_directory, write_bytes
from cfcre.errors import BatchRejected, CfcreError, NotFoundError, StateError, StoreUnavailable
from cfcre.intake.store import ObjectStore, safe_key
from cfcre.operations.training.job import FACTS_FILE, STATE_FOLDER, Job

__all__ = [
    "fetch_errors",
    "fetch_input",
    "fetch_result",
    "put_error",
    "put_input",
    "put_result",
    "remove",
    "remove_errors",
]

_LIST = "files.json"
_LIST_BYTES = 1_000_000
_ERROR_BYTES = 100_000
_MOST_ERRORS = 64


def put_input(store: ObjectStore, key: str, folder: Path, state: Path | None) -> str:
    """Upload a job's folder, with the learner state as its ``state/``.

    Returns:
        The digest of the list of files: the same files give the same digest.
    """
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    if state is not None:
        files |= _below(state, STATE_FOLDER)
    listed = _describe(files)
    text = _text({"files": listed})
    if not _there(store, f"{key}/input/{_LIST}", text):
        _put(store, f"{key}/input", files, text)
    return hashlib.sha256(text).hexdigest()


def fetch_input(store: ObjectStore, key: str, digest: str, folder: Path) -> None:
    """Download a job whose list of files has that digest.

    Raises:
        StateError: The list is another one, or a file does not match it.
        StoreUnavailable: The store did not answer, or a file is gone.
    """
    text = _read(store, f"{key}/input/{_LIST}", _LIST_BYTES)
    if hashlib.sha256(text).hexdigest() != digest:
        raise StateError(f"the input of {key} is not the one this training was started for")
    with atomic_directory(folder) as partial:
        _fetch(store, f"{key}/input", _listed(text, key), partial)


def put_result(store: ObjectStore, key: str, digest: str, job: Job) -> None:
    """Upload what process 0 made."""
    files = {FACTS_FILE: job.folder / FACTS_FILE, **_below(job.out, STATE_FOLDER)}
    _put(store, f"{key}/result", files, _text({"input": digest, "files": _describe(files)}))


def fetch_result(store: ObjectStore, key: str, digest: str, out: Path) -> dict[str, Any] | None:
    """Download a finished result and put the learner state at ``out``.

    Returns:
        What the step told; None where there is no result of that input.

    Raises:
        StateError: A file does not match the list.
    """
    try:
        text = store.read(f"{key}/result/{_LIST}", limit=_LIST_BYTES)
    except NotFoundError:
        return None
    if json.loads(text).get("input") != digest:
        return None
    files = _listed(text, key)
    state = {n: f for n, f in files.items() if n.startswith(f"{STATE_FOLDER}/")}
    facts: dict[str, Any] = json.loads(
        _checked(store, f"{key}/result", FACTS_FILE, files[FACTS_FILE])
    )
    with atomic_directory(out) as partial:
        for name, listed in state.items():
            data = _checked(store, f"{key}/result", name, listed)
            write_bytes(partial / name.removeprefix(f"{STATE_FOLDER}/"), data)
    return facts


def put_error(store: ObjectStore, key: str, record: Mapping[str, Any]) -> None:
    """Upload why a process ended."""
    store.write(f"{key}/error-{int(record['rank'])}.json", _text(dict(record)))


def fetch_errors(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    """What the processes left; empty where the store cannot be read."""
    found: list[dict[str, Any]] = []
    try:
        for item in store.list(f"{key}/error-")[:_MOST_ERRORS]:
            found.append(dict(json.loads(store.read(item.key, limit=_ERROR_BYTES))))
    except (CfcreError, ValueError, TypeError):
        return found
    return found


def remove_errors(store: ObjectStore, key: str) -> None:
    """Forget why an earlier attempt ended."""
    for item in store.list(f"{key}/error-"):
        store.delete(item.key)


def remove(store: ObjectStore, key: str) -> None:
    """Delete everything of a job."""
    for item in store.list(f"{key}/"):
        store.delete(item.key)


def _below(folder: Path, prefix: str) -> dict[str, Path]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file()
    }


def _describe(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    described = {}
    for name in sorted(files):
        with files[name].open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described[name] = {"sha256": digest, "size": files[name].stat().st_size}
    return described


def _text(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, indent=1).encode("utf-8")


def _put(store: ObjectStore, key: str, files: Mapping[str, Path], text: bytes) -> None:
    for name in sorted(files):
        store.write(f"{key}/{name}", files[name].read_bytes())
    store.write(f"{key}/{_LIST}", text)


def _listed(text: bytes, key: str) -> dict[str, dict[str, Any]]:
    try:
        files: dict[str, dict[str, Any]] = json.loads(text)["files"]
        for name, listed in files.items():
            safe_key(name)
            if PurePosixPath(name).is_absolute() or not isinstance(listed["size"], int):
                raise ValueError(name)
            str(listed["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, CfcreError) as error:
        raise StateError(f"the list of files of {key} cannot be used: {error}") from error
    return files


def _fetch(
    store: ObjectStore, key: str, files: Mapping[str, Mapping[str, Any]], folder: Path
) -> None:
    for name, listed in files.items():
        write_bytes(folder / name, _checked(store, key, name, listed))


def _checked(store: ObjectStore, key: str, name: str, listed: Mapping[str, Any]) -> bytes:
    data = _read(store, f"{key}/{name}", listed["size"])
    if len(data) != listed["size"] or hashlib.sha256(data).hexdigest() != listed["sha256"]:
        raise StateError(f"{key}/{name} does not match its list of files; train again")
    return data


def _there(store: ObjectStore, key: str, text: bytes) -> bool:
    try:
        return store.read(key, limit=_LIST_BYTES) == text
    except NotFoundError:
        return False


def _read(store: ObjectStore, key: str, limit: int) -> bytes:
    try:
        return store.read(key, limit=max(limit, 1))
    except NotFoundError as error:
        raise StoreUnavailable(f"{key} is not in the store") from error
    except BatchRejected as error:
        # The store's word for "too large" speaks of batches; this is no fault of the batch.
        raise StateError(f"{key} is larger than the {limit} bytes expected") from error
