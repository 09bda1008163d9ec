"""The manifest of a batch of several objects, and what identifies a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from cfcre.data.schema import Split
from cfcre.errors import BatchRejected, DataError
from cfcre.intake.formats import FORMATS, Limits
from cfcre.intake.store import NAME, safe_key

__all__ = ["MANIFEST", "Manifest", "ManifestFile", "parse_manifest"]

MANIFEST = "manifest.json"


def _inside(path: str) -> str:
    try:
        safe_key(path)
    except DataError as error:
        raise PydanticCustomError("manifest_key_outside", "{text}", {"text": str(error)}) from None
    if path == MANIFEST:
        raise PydanticCustomError("own_name", "a manifest can not list itself")
    return path


def _format(name: str) -> str:
    if name not in FORMATS:
        raise PydanticCustomError(
            "format", "format {name}; accepted: {all}", {"name": name, "all": ", ".join(FORMATS)}
        )
    return name


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PydanticCustomError("name", "not a name: letters, digits, '.', '_' and '-' only")
    return name


_Count = Annotated[int, Field(ge=0)]
_Name = Annotated[str, AfterValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ManifestFile(_Strict):
    """One file of a batch."""

    path: Annotated[str, AfterValidator(_inside)] = Field(
        description="Relative to the batch folder; can not leave it."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: _Count | None = None
    rows: _Count | None = Field(None, description="Rows in the file, before filter and limits.")
    split: Split | None = Field(None, description="Split of every row of the file.")
    format: Annotated[str, AfterValidator(_format)] | None = None


class Manifest(_Strict):
    """What a batch holds. Written last, so that a batch is complete when it has one."""

    version: Literal[1]
    stream: _Name | None = None
    batch: _Name | None = None
    files: Annotated[list[ManifestFile], Field(min_length=1, max_length=10_000)]
    sequence: Annotated[int, Field(ge=1)] | None = None
    relations: (
        Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)] | None
    ) = None
    max_per_relation: Annotated[int, Field(ge=1)] | dict[Split, _Count] | None = None
    descriptions: dict[str, str] = Field(default_factory=dict)
    submitted_at: str | None = Field(None, description="ISO 8601, UTC.")

    @model_validator(mode="after")
    def _each_path_once(self) -> Self:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise PydanticCustomError("path_twice", "a path is listed twice")
        return self

    @property
    def limits(self) -> Limits:
        """Rows of each relation in each file."""
        limits = self.max_per_relation
        return {str(k): v for k, v in limits.items()} if isinstance(limits, Mapping) else limits

    @property
    def batch_hash(self) -> str:
        """SHA-256 of everything that decides which rows the batch has.

        One file as it is has the hash of its bytes, the same as when it is dropped by itself.
        Descriptions, sequence and names do not count: they change no row.
        """
        plain = self.relations is None and self.max_per_relation is None
        first = self.files[0]
        if plain and len(self.files) == 1 and first.split is None and first.format is None:
            return first.sha256
        content = {
            "files": [[f.sha256, f.split, f.format] for f in self.files],
            "relations": None if self.relations is None else sorted(set(self.relations)),
            "max_per_relation": self.limits,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_bytes(self) -> bytes:
        """The manifest as a JSON document."""
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=True, indent=2)
        return text.encode("ascii") + b"\n"


def parse_manifest(data: bytes, *, stream: str | None = None, batch: str | None = None) -> Manifest:
    """Read a manifest.

    Args:
        data: The stored bytes.
        stream: Stream it was found in; the manifest must agree.
        batch: Batch folder it was found in; the manifest must agree.

    Raises:
        BatchRejected: ``manifest_key_outside`` for a path that leaves the batch folder,
            ``manifest_invalid`` for everything else.
    """
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise _rejection(error) from error
    for name, found, place in (
        ("stream", manifest.stream, stream),
        ("batch", manifest.batch, batch),
    ):
        if found is not None and place is not None and found != place:
            raise BatchRejected(
                "manifest_invalid", f"the manifest names {name} {found!r} but lies in {place!r}"
            )
    return manifest


def _rejection(error: ValidationError) -> BatchRejected:
    problems: list[Any] = list(error.errors(include_url=False))
    problem = next((p for p in problems if p["type"] == "manifest_key_outside"), problems[0])
    where = ".".join(str(part) for part in problem["loc"])
    detail = f"{where}: {problem['msg']}" if where else str(problem["msg"])
    if problem["type"] == "manifest_key_outside":
        return BatchRejected("manifest_key_outside", detail)
    return BatchRejected("manifest_invalid", f"{MANIFEST}: {detail}; see the batch format")
