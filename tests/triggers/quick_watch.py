"""``cfcre`` as a process of its own, with quick runs; started by the tests.

Reads ``QUICK_SECONDS`` (length of the first run) and ``QUICK_LOG`` (file of starts and ends).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from quick_world import QuickLauncher

import cfcre.cli.home
import cfcre.operations.launchers
from cfcre.cli.main import main
from cfcre.config import Settings
from cfcre.operations.ledger import Ledger

real_open_ledger = cfcre.cli.home.open_ledger
opened: list[Ledger] = []


def open_ledger(settings: Settings) -> Ledger:
    opened.append(real_open_ledger(settings))
    return opened[-1]


def open_launcher(settings: Settings, **_: object) -> QuickLauncher:
    return QuickLauncher(
        opened[-1], float(os.environ["QUICK_SECONDS"]), Path(os.environ["QUICK_LOG"])
    )


cfcre.cli.home.open_ledger = open_ledger
cfcre.operations.launchers.open_launcher = open_launcher

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
