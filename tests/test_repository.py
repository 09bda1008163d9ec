"""Rules that hold for the repository as a whole, checked on its files."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "kfp",
    "great_expectations",
    "pandas",
    "boto3",
    "pydantic",
    "sqlalchemy",
    "matplotlib",
    "sklearn",
)
# Modules that read or write pickles; none may be imported.
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# Calls that read or write pickles whatever the module is called.
PICKLE_CALLS = {"read_pickle", "to_pickle", "allow_pickle"}


def repository_files() -> list[Path]:
    """What is or would be committed; the whole tree where this is not a git checkout."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
        return sorted(path for path in paths if path.is_file())
    skipped = {".venv", ".git", "build", "dist", ".cfcre"}
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)
    )


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def in_a_fresh_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestMlflowFolder:
    """A package called mlflow in the working directory would shadow the library."""

    def test_it_holds_no_python(self) -> None:
        folder = ROOT / "mlflow"
        assert (folder / "README.md").is_file()
        assert not list(folder.rglob("*.py")) and not list(folder.rglob("*.pyi"))

    def test_import_mlflow_from_the_root_gives_the_library(self) -> None:
        found = in_a_fresh_python(
            "import importlib.util as u; print(u.find_spec('mlflow').origin, end='')"
        )
        assert found.endswith("__init__.py")
        assert ROOT / "mlflow" not in Path(found).parents


def test_no_file_names_a_path_of_a_machine() -> None:
    # Put together here, so that this file does not name them.
    roots = ["work/", r"root/\.", "Users/", "opt/pypi", "opt/wheels"]
    pattern = re.compile(rf"(?<![\w.$}}\])-])/(?:{'|'.join(roots)})")
    home = str(Path.home())
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line) or str(ROOT) in line or (len(home) > 5 and home in line):
                found.append(f"{relative(path)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_no_file_is_very_large() -> None:
    large = [relative(p) for p in repository_files() if p.stat().st_size > 1_000_000]
    assert not large


def _declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                assert node.value is not None
                names: list[str] = ast.literal_eval(node.value)
                return names
    return None


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
            case ast.Assign():
                yield from (
                    n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)
                )
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try():
                yield from _defined(node.body)


@pytest.mark.parametrize("path", modules("cfcre"), ids=relative)
def test_a_public_module_says_what_it_offers(path: Path) -> None:
    if path.name.startswith("_") and path.name != "__init__.py":
        return
    tree = parsed(path)
    assert ast.get_docstring(tree), "a module's docstring says what the module is for"
    body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    if path.name == "__init__.py" and not body:
        return  # a package that only holds modules
    names = _declared(tree)
    assert names is not None, "__all__ is missing"
    assert len(set(names)) == len(names)
    if "__getattr__" not in set(_defined(tree.body)):
        assert set(names) <= set(_defined(tree.body))


def test_the_package_is_marked_as_typed() -> None:
    assert (ROOT / "cfcre" / "py.typed").is_file()


@pytest.mark.parametrize("path", modules("cfcre", "components", "pipelines"), ids=relative)
def test_nothing_reads_or_writes_pickles(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        where = f"{relative(path)}:{getattr(node, 'lineno', 0)}"
        match node:
            case ast.Import():
                for alias in node.names:
                    assert alias.name.split(".")[0] not in PICKLES, where
            case ast.ImportFrom(module=str(module)):
                assert module.split(".")[0] not in PICKLES, where
                if module.split(".")[0] == "torch":
                    assert not {"load", "save"} & {alias.name for alias in node.names}, where
            case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save"):
                pytest.fail(f"{where} uses torch.{node.attr}; tensors are kept as safetensors")
            case ast.Attribute(attr=attribute):
                assert attribute not in PICKLE_CALLS, where
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=value)):
                assert value is False, where


def test_the_layers_are_kept() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestLightImports:
    """``import cfcre`` and ``cfcre --help`` answer at once: nothing heavy is imported."""

    loaded = f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"

    def test_import_cfcre(self) -> None:
        assert json.loads(in_a_fresh_python(f"import json, sys, cfcre; {self.loaded}")) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--help"],
            ["--version"],
            ["submit", "--help"],
            ["predict", "--help"],
            ["extract", "--help"],
        ],
    )
    def test_help(self, arguments: list[str]) -> None:
        output = in_a_fresh_python(
            "import json, sys\nfrom cfcre.cli.main import main\n"
            f"code = main({arguments!r})\n"
            f"print()\n{self.loaded}\nassert code == 0, code"
        )
        assert json.loads(output.splitlines()[-1]) == []
        assert "cfcre" in output


@functools.cache
def _project() -> dict[str, object]:
    data: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return data


class TestConstraints:
    def pins(self) -> dict[str, Requirement]:
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        found = [Requirement(line) for line in lines if line and not line.startswith("#")]
        names = [canonicalize_name(requirement.name) for requirement in found]
        assert len(set(names)) == len(names)
        return dict(zip(names, found, strict=True))

    def test_every_line_is_one_exact_public_version(self) -> None:
        for name, pin in self.pins().items():
            (specifier,) = pin.specifier
            assert specifier.operator == "==", name
            # A local version (1.2+cpu) exists on some indexes only.
            assert Version(specifier.version).local is None, name

    def test_what_must_not_be_pinned_is_not(self) -> None:
        names = set(self.pins())
        assert not names & {"cfcre", "pip", "setuptools", "wheel", "triton"}
        assert not [name for name in names if name.startswith("nvidia")]

    def test_every_direct_dependency_is_pinned_within_its_range(self) -> None:
        project = _project()
        extras = project["optional-dependencies"]
        assert isinstance(extras, dict) and isinstance(project["dependencies"], list)
        direct = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
        pins = self.pins()
        for requirement in map(Requirement, direct):
            (pin,) = pins[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(pin.version), requirement.name


DOCUMENTS = [
    path
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "mlflow/README.md",
    ]
    if path.is_file()
]


def _cited_commands(text: str) -> Iterator[list[str]]:
    """Words after ``cfcre`` in code: fenced blocks, and inline code that starts with it."""
    # Only blocks that are commands: what a command prints may hold anything.
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, flags=re.M | re.S):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            for part in re.split(r"&&|\||;", line.split(" #")[0]):
                words = part.removeprefix("$ ").split()
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words and words[0].removeprefix(".venv/bin/") == "cfcre":
                    yield words[1:]
    for code in re.findall(r"`(?:\.venv/bin/)?cfcre ([^`]+)`", text):
        yield code.split()


def _check_command(words: list[str]) -> None:
    from cfcre.cli.main import cli

    if words[:1] == ["COMMAND"]:  # stands for any command
        return

    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group):
        names = [word for word in rest if not word.startswith("-")]
        if not names:
            break
        assert names[0] in command.commands, f"there is no command 'cfcre {' '.join(words)}'"
        rest = rest[rest.index(names[0]) + 1 :]
        command = command.commands[names[0]]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    cited = {word.split("=")[0].strip("[](),.|") for word in rest if re.match(r"\[?--\w", word)}
    assert cited <= known, f"'cfcre {' '.join(words)}' has no option {sorted(cited - known)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
class TestDocuments:
    def test_commands_and_options_exist(self, path: Path) -> None:
        for words in _cited_commands(path.read_text(encoding="utf-8")):
            _check_command(words)

    def test_make_targets_exist(self, path: Path) -> None:
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
        cited = re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(encoding="utf-8"), flags=re.M)
        assert set(cited) <= targets

    def test_links_inside_the_repository_lead_somewhere(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
        for target in targets:
            if not re.match(r"[a-z]+:|#", target):
                assert (path.parent / target.split("#")[0]).exists(), target

    def test_settings_cited_exist(self, path: Path) -> None:
        from cfcre.config import Settings

        sections = Settings.model_fields
        for section, key in re.findall(r"`([a-z_]+)\.([a-z_0-9]+)`", path.read_text("utf-8")):
            if section in sections and key not in {"db", "json", "jsonl", "safetensors", "yaml"}:
                fields = getattr(sections[section].annotation, "model_fields", {})
                assert key in fields, f"{section}.{key}"


def test_the_documents_are_there() -> None:
    names = {relative(path) for path in DOCUMENTS}
    expected = ["architecture", "configuration", "data-formats", "dependencies"]
    expected += ["operations", "security"]
    assert {"README.md", "mlflow/README.md", *(f"docs/{name}.md" for name in expected)} <= names
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert any(words[:1] == ["submit"] for words in _cited_commands(readme))


def test_the_check_of_documents_can_fail() -> None:
    assert list(_cited_commands("```sh\n$ A=1 cfcre submit x && cfcre nope\n```\n`cfcre ui`")) == [
        ["submit", "x"],
        ["nope"],
        ["ui"],
    ]
    with pytest.raises(AssertionError, match="there is no command"):
        _check_command(["nope"])
    with pytest.raises(AssertionError, match="has no option"):
        _check_command(["submit", "f", "--colour"])
