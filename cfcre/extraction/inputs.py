"""Texts to extract from, out of files that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cfcre.data.json_values import parse_json, shown
from cfcre.errors import DataError
from cfcre.spans.documents import Document

__all__ = ["InputText", "read_inputs"]

_JSON_LINES = (".jsonl", ".ndjson")


class InputText(NamedTuple):
    """A text and its name in its file."""

    id: str
    text: str | Document


def read_inputs(path: Path, *, whole: bool = False, max_bytes: int) -> Iterator[InputText]:
    """Read a file text by text.

    Args:
        path: JSON Lines (``.jsonl``), each line a text, or an object with ``text`` or ``tokens``
            and perhaps ``id``; a JSON list of the same (``.json``); else plain text, one text a
            line. Lines without words are skipped; all others give one text each.
        whole: Take a plain text file as one text.
        max_bytes: Largest file.

    Raises:
        DataError: The file is unreadable, too large, not UTF-8, or a line is not what is accepted.
    """
    content = _read(path, max_bytes)
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES or suffix == ".json":
        if whole:
            raise DataError(f"{path.name} is JSON; only a plain text file is taken as one text")
        yield from _json_texts(path.name, content, listed=suffix == ".json")
    elif whole:
        yield InputText("", content)
    else:
        # Not splitlines(): it also breaks at separators that a text may hold.
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                yield InputText(str(number), line.removesuffix("\r"))


def _json_texts(name: str, content: str, *, listed: bool) -> Iterator[InputText]:
    if listed and content.lstrip()[:1] == "[":
        try:
            values = parse_json(content)
        except ValueError as error:
            raise DataError(f"{name} is not JSON: {error}") from error
        for number, value in enumerate(values):
            yield _one(f"{name}[{number}]", str(number), value)
        return
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                value = parse_json(line)
            except ValueError as error:
                raise DataError(f"{name}:{number} is not JSON: {error}") from error
            yield _one(f"{name}:{number}", str(number), value)


def _one(where: str, default: str, value: Any) -> InputText:
    if isinstance(value, str):
        return InputText(default, value)
    if not isinstance(value, dict) or ("text" in value) == ("tokens" in value):
        raise DataError(
            f"{where} is {shown(value)}; give a text, or an object with either 'text' or 'tokens'"
        )
    id = value.get("id", value.get("orig_id"))
    name = default if id is None else str(id)
    if "text" in value:
        if not isinstance(value["text"], str):
            raise DataError(f"{where}: 'text' is {shown(value['text'])}; give a text")
        return InputText(name, value["text"])
    tokens = value["tokens"]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise DataError(f"{where}: 'tokens' is {shown(tokens)}; give a list of words")
    return InputText(name, Document.from_words(tokens, name))


def _read(path: Path, max_bytes: int) -> str:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path.name} has {size} bytes; intake.max_object_bytes is {max_bytes}")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}: byte {error.start} is not UTF-8; convert the file to UTF-8"
        ) from error
