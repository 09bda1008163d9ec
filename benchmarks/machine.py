"""What every benchmark prints first: machine, versions, seed."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

__all__ = ["describe"]


def describe(seed: int) -> str:
    """One line about processor, cores, memory, versions and seed."""
    cpu, memory = platform.processor() or "unknown", ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
        total = Path("/proc/meminfo").read_text().split("\n", 1)[0].split()[1]
        memory = f", {int(total) / 2**20:.0f} GiB"
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "transformers"))
    return (
        f"{cpu}, {os.cpu_count()} cores{memory}, Python {platform.python_version()}, "
        f"{versions}, seed {seed}"
    )
