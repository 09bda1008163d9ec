"""Results of many runs in a folder, so that a study that was interrupted goes on where it was.

Each finished run is one file, written whole or not at all, and named by what decides its result. A
run with other settings or other data has another name, so old results are never taken for new ones.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cfcre.data.files import read_json, write_json
from cfcre.errors import DataError

__all__ = ["RunStore"]


class RunStore:
    """Finished runs of a study.

    Args:
        folder: Holds ``runs/``; made when the first run is finished.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "runs"

    def path(self, name: str, decides: Mapping[str, Any]) -> Path:
        """File of a run.

        Args:
            name: For people.
            decides: Everything that the result depends on, as JSON.
        """
        text = json.dumps(decides, sort_keys=True, ensure_ascii=True, allow_nan=False)
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
        return self._folder / f"{re.sub(r'[^A-Za-z0-9.=_-]+', '_', name)}-{digest}.json"

    def finished(self, name: str, decides: Mapping[str, Any]) -> dict[str, Any] | None:
        """The result of a run that was finished before; None where it was not.

        Raises:
            DataError: Its file is damaged.
        """
        path = self.path(name, decides)
        if not path.is_file():
            return None
        stored = read_json(path)
        if not isinstance(stored, dict) or stored.get("decides") != _plain(decides):
            raise DataError(f"the finished run {path.name} is damaged; delete it to run it again")
        result: dict[str, Any] = stored["result"]
        return result

    def run(
        self, name: str, decides: Mapping[str, Any], work: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """The result of a run: the stored one, or that of ``work``, which is then stored.

        Returns:
            The result, and whether it was there before.
        """
        stored = self.finished(name, decides)
        if stored is not None:
            return stored, True
        result = work()
        self.keep(name, decides, result)
        return result, False

    def keep(self, name: str, decides: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Store the result of a run, in the place of an older one."""
        document = {"decides": _plain(decides), "result": dict(result)}
        write_json(self.path(name, decides), document)


def _plain(decides: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(decides))
