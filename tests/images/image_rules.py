"""What every image of the project has to keep, as rules over parsed Dockerfiles."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field

from dockerfile_parse import DockerfileParser

LABELS = {
    "title",
    "description",
    "licenses",
    "version",
    "revision",
    "created",
    "base.name",
}
# Programs that build or fetch: they belong to the first stage.
TOOLS = re.compile(
    r"\b(gcc|g\+\+|clang|make|cmake|cargo|rustc|build-essential|python3-dev|apt-get|apt|apk|dnf|"
    r"pip3?|curl|wget|git)\b"
)
SECRET = re.compile(r"PASSW|TOKEN|SECRET|CREDENTIAL|APIKEY|API_KEY|ACCESS_KEY", re.I)
WRITABLE = ("/tmp", "/var/lib/cfcre")


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; arguments before the first FROM belong to none."""
    found: list[Stage] = []
    for step in DockerfileParser(fileobj=io.BytesIO(text.encode())).structure:
        name, value = step["instruction"], step["value"]
        if name == "FROM":
            words = value.split()
            found.append(Stage(words[0], words[2] if len(words) > 2 else ""))
        elif found and name != "COMMENT":
            found[-1].steps.append((name, value))
    return found


def shipped(every: list[Stage]) -> list[Stage]:
    """The last stage and those it is built on, outermost first."""
    by_name = {stage.name: stage for stage in every}
    chain = [every[-1]]
    while chain[0].base in by_name:
        chain.insert(0, by_name[chain[0].base])
    return chain


def assignments(value: str) -> dict[str, str]:
    """NAME=VALUE pairs of an ENV or LABEL instruction."""
    pairs = re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', value)
    return {name: text.strip('"') for name, text in pairs}


def commands(value: str) -> list[str]:
    """The shell commands of a RUN instruction, without its mounts."""
    script = re.sub(r"--mount=\S+\s*", "", value)
    return [part.strip() for part in re.split(r";|&&|\|\|", script) if part.strip()]


def problems(text: str) -> list[str]:
    """Every rule that a Dockerfile breaks, one sentence each."""
    return [*_stages(text), *_installations(text), *_secrets(text), *_run_time(text)]


def _stages(text: str) -> list[str]:
    every = stages(text)
    found = []
    if len(every) < 2:
        return ["one stage only: what builds the image would be part of it"]
    chain = shipped(every)
    for stage in every:
        if stage.base.startswith("$"):
            continue
        if stage.base not in {other.name for other in every}:
            found.append(f"FROM {stage.base}: the base image is no build argument")
    if re.search(r"^ARG BASE_IMAGE=\S+:latest|^ARG BASE_IMAGE=[^:@\s]+$", text, flags=re.M):
        found.append("BASE_IMAGE has no tag of its own: latest moves without notice")
    for stage in chain:
        for run in stage.values("RUN"):
            found += [f"the image's stage runs {m[0]!r}" for m in TOOLS.finditer(run)]
    return found


def _installations(text: str) -> list[str]:
    found = []
    for stage in stages(text):
        if stage.values("ADD"):
            found.append("ADD may fetch or unpack; use COPY")
        for value in stage.values("COPY"):
            if value.split()[0] in (".", "./", "*"):
                found.append("COPY takes the whole folder; name what is needed")
        for run in stage.values("RUN"):
            for command in commands(run):
                if not re.search(r"\bpip\b.*\b(install|wheel|download)\b", command):
                    continue
                pinned = "--require-hashes" in command or "--no-index" in command
                # PyTorch: its exact version comes from the constraints file.
                if not pinned and '"$torch"' in command and "torch==" in run:
                    pinned = True
                if not pinned:
                    found.append(f"not pinned: {command[:80]}")
                if "--no-index" not in command and "id=pip_conf" not in run:
                    found.append(f"a mirror can not be given as a secret: {command[:80]}")
            if "apt-get install" in run:
                found.append("a system package is not pinned")
    return found


def _secrets(text: str) -> list[str]:
    found = []
    for stage in stages(text):
        for instruction in ("ENV", "ARG"):
            for value in stage.values(instruction):
                names = assignments(value) or {value.split("=")[0]: ""}
                found += [
                    f"{instruction} {n} is kept in the image" for n in names if SECRET.search(n)
                ]
                if re.search(r"://[^/\s]*:[^/\s]*@", value):
                    found.append(f"{instruction} holds a password in an address")
    return found


def _run_time(text: str) -> list[str]:
    found = []
    chain = shipped(stages(text))
    users = [value for stage in chain for value in stage.values("USER")]
    if not users or users[-1] != "10001:10001":
        found.append(f"the last USER is {users[-1] if users else 'missing'}, not 10001:10001")
    labels: set[str] = set()
    environment: dict[str, str] = {}
    for stage in chain:
        for value in stage.values("LABEL"):
            labels |= {
                name.removeprefix("org.opencontainers.image.") for name in assignments(value)
            }
        for value in stage.values("ENV"):
            environment |= assignments(value)
    found += [f"label {name} is missing" for name in sorted(LABELS - labels)]
    for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
        if not environment.get(name, "").startswith(WRITABLE):
            found.append(f"{name} is not in a folder that can be written")
    for name, expected in {
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }.items():
        if environment.get(name) != expected:
            found.append(f"{name} is not {expected}")
    for instruction in ("ENTRYPOINT", "CMD"):
        last = [value for stage in chain for value in stage.values(instruction)][-1:]
        if not last or not _is_list(last[0]):
            found.append(f"{instruction} is missing or is run by a shell, which passes no signals")
    return found


def _is_list(value: str) -> bool:
    try:
        return isinstance(json.loads(value), list)
    except ValueError:
        return False
