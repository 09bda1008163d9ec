"""Command lines of a process and of those below it, from /proc."""

from __future__ import annotations

from pathlib import Path


def tree(pid: int) -> dict[int, list[str]]:
    """Process number to arguments, the given process included."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    wanted = {pid}
    while new := {child for child, parent in parents.items() if parent in wanted} - wanted:
        wanted |= new
    found = {}
    for number in wanted:
        try:
            raw = (Path("/proc") / str(number) / "cmdline").read_bytes()
        except OSError:
            continue
        found[number] = raw.decode(errors="replace").split("\0")[:-1]
    return found
