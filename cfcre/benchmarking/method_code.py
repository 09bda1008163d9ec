"""Which code a result was made with: a digest of the modules that a method is made of.

A benchmark of hours outlives many commits. Most of them do not touch the method whose result is
already there, so the digest covers what that method imports, directly or not, from the layers that
decide a result. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cfcre.errors import CfcreError
from cfcre.methods.registry import get_method

__all__ = ["method_digest", "modules_of"]

#: Layers that decide a result; settings are compared by value.
_LAYERS = ("cfcre.methods", "cfcre.modeling", "cfcre.data")
#: What runs every method, besides the method's own module.
_RUNNERS = ("cfcre.methods.task", "cfcre.methods.predictor")
#: Names every method: through it each would depend on all others.
_REGISTRY = "cfcre.methods.registry"


def method_digest(name: str) -> str:
    """SHA-256 over the code of a method and of everything that it imports.

    Raises:
        ConfigurationError: There is no such method.
    """
    state = hashlib.sha256()
    for module in modules_of(name):
        state.update(f"{module}\n{_code(module)}\n".encode())
    return state.hexdigest()


def modules_of(name: str) -> list[str]:
    """The modules that :func:`method_digest` covers, sorted.

    Raises:
        ConfigurationError: There is no such method.
    """
    waiting = [type(get_method(name)).__module__, *_RUNNERS]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in found and module != _REGISTRY:
            found.add(module)
            waiting += _imported(module)
    return sorted(found)


def _imported(module: str) -> Iterator[str]:
    """Modules of the layers that a module imports, through a package's ``__init__`` if need be."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _counts(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _counts(node.module):
            for alias in node.names:
                yield _source(node.module, alias.name)


def _source(module: str, name: str) -> str:
    """Where ``from module import name`` finds the name."""
    if _exists(f"{module}.{name}"):
        return f"{module}.{name}"
    for node in _tree(module).body:
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and _counts(node.module)
            and name in {alias.asname or alias.name for alias in node.names}
        ):
            return _source(node.module, name)
    return module


def _counts(module: str) -> bool:
    return any(module == layer or module.startswith(f"{layer}.") for layer in _LAYERS)


@cache
def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # The parent is a module, not a package.
        return False


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise CfcreError(f"the source of {module} is not installed; it decides what results mean")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@cache
def _code(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
