"""A data set by name or by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cfcre.benchmarking.dataset import Dataset
from cfcre.benchmarking.fewrel import FewRel
from cfcre.benchmarking.own_rows import OwnRows
from cfcre.benchmarking.tacred import Tacred
from cfcre.errors import ConfigurationError

__all__ = ["load_dataset"]

_NAMED: dict[str, Callable[[Path], Dataset]] = {"fewrel": FewRel, "tacred": Tacred}


def load_dataset(name: str, folder: Path | None) -> Dataset:
    """Read a data set.

    Args:
        name: ``fewrel``, ``tacred``, or a file or folder of rows.
        folder: Folder of the named data set's files.

    Raises:
        ConfigurationError: There is no such data set or folder.
        DataError: Its files are not what they should be.
    """
    if name in _NAMED:
        if folder is None or not folder.is_dir():
            raise ConfigurationError(
                f"--dataset {name} needs --data DIR, the folder that holds its files; "
                f"got {'nothing' if folder is None else folder}"
            )
        return _NAMED[name](folder)
    if not Path(name).exists():
        raise ConfigurationError(
            f"--dataset takes {', '.join(_NAMED)}, a file or a folder; there is no {name!r}"
        )
    if folder is not None:
        raise ConfigurationError(f"--data belongs to {' and '.join(_NAMED)}; {name} is a path")
    return OwnRows(Path(name))
