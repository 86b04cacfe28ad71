"""What a job's code means: a hash of syntax trees over everything its stage imports in this package.

Comments, docstrings, formatting and type-checker noise do not count; every name, number and statement does.
The hash is the same on all supported Pythons: absent and empty fields are skipped, so that fields which newer
versions add change nothing.
"""

import ast
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tesserae.lineage.hashes import remember

PACKAGE = "tesserae"
SOURCE = Path(__file__).resolve().parents[2]
# The engine never shapes a number. When it does, raise ENGINE: that invalidates everything. Nor do contracts: a network
# is refused or left as it is.
ENGINE = 1
PLUMBING = (f"{PACKAGE}.workflow", f"{PACKAGE}.tracking", f"{PACKAGE}.audit", f"{PACKAGE}.cli", f"{PACKAGE}.contracts")
_BELOW_PLUMBING = tuple(f"{name}." for name in PLUMBING)
# What a module counts as when a reviewed equivalence says that its mere existence changes nothing.
ABSENT = "absent"

_SILENT_FIELDS = {"kind", "type_comment", "type_ignores", "ctx"}
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Module(NamedTuple):
    """A module's meaning and the first-party modules it imports anywhere in its text."""

    digest: str
    imports: tuple[str, ...]


class Own(NamedTuple):
    """A job's own fingerprint (without its producers') and what is behind it."""

    digest: str
    modules: dict[str, str]  # module -> digest of its meaning
    equivalents: dict[str, str]  # module -> the digest that a reviewed equivalence lets it count as
    sources: dict[str, str]  # path below the project folder -> sha256


def own(
    roots: list[str],
    spec: dict[str, Any],
    sources: dict[str, Path],
    root: Path,
    reviewed: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Own:
    """Fingerprint of code, spec and git-tracked files of one job.

    Args: `roots`, entry modules; `spec`, every string in it that names a module of the package is a root as well;
    `sources`, name -> file relative to `root`; `reviewed`, module -> digest -> the digest it counts as, or ABSENT.
    """
    modules = {name: scan(name).digest for name in closure(tuple(sorted({*roots, *modules_named(spec)})))}
    equivalents = {name: reviewed[name][found] for name, found in modules.items() if found in reviewed.get(name, {})}
    files = {str(path): file_digest(root / path) for path in sources.values()}
    return Own(own_digest(modules, equivalents, spec, files), modules, equivalents, files)


def own_digest(
    modules: dict[str, str],
    equivalents: dict[str, str],
    spec: dict[str, Any],
    files: dict[str, str],
    engine: int = ENGINE,
) -> str:
    """A job's own fingerprint from its parts, as a manifest keeps them."""
    counted = {name: found for name, found in (modules | equivalents).items() if found != ABSENT}
    return digest([engine, sorted(counted.items()), spec, sorted(files.items())])


def chain(own_digest: str, producers: list[str], images: str | None = None) -> str:
    """The chained fingerprint `own-chain`: it changes when any producer's does, or `images`, of a real data set."""
    return f"{own_digest}-{digest([own_digest, sorted(producers), *filter(None, [images])])}"


def chain_of(own_digest: str, record: Mapping[str, Any]) -> str:
    """The chained fingerprint that a manifest's own parts give."""
    producers = [read["fingerprint"] for read in record["inputs"].values()]
    return chain(own_digest, producers, (record.get("data") or {}).get("sha256"))


def digest(content: Any) -> str:
    """16 hex digits of canonical JSON."""
    blob = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(blob.encode()).hexdigest()[:16]


@functools.cache
def closure(roots: tuple[str, ...], plumbing: bool = False) -> tuple[str, ...]:
    """All first-party modules that importing `roots` can load, parent packages included; sorted.

    `plumbing`: with the modules that no fingerprint covers.
    """
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in seen or (is_plumbing(name) and not plumbing) or module_file(name) is None:
            continue
        seen.add(name)
        parts = name.split(".")
        todo += [".".join(parts[:i]) for i in range(1, len(parts))]
        todo += scan(name).imports
    return tuple(sorted(seen))


def is_plumbing(name: str) -> bool:
    return name in PLUMBING or name.startswith(_BELOW_PLUMBING)


def modules_named(spec: Any) -> set[str]:
    """Modules of the package that strings in a spec name: a recipe chooses code by name, so names are imports."""
    if isinstance(spec, str):
        return {spec} if spec.startswith(PACKAGE + ".") and module_file(spec) else set()
    children = spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list | tuple) else ()
    return set().union(*map(modules_named, children))


@functools.cache
def module_file(name: str) -> Path | None:
    """The file of a module of the package, None if there is none."""
    base = SOURCE.joinpath(*name.split("."))
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


@functools.cache
def file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def scan(name: str) -> Module:
    """Digest and imports of one module as it is on disk."""
    file = module_file(name)
    return meaning(name, file.read_bytes(), file.name == "__init__.py")


def meaning(name: str, raw: bytes, is_package: bool = False) -> Module:
    """Digest and imports of a module's text, from the cache when these bytes were seen before.

    Raises SyntaxError. `is_package` matters to relative imports, not to the digest.
    """
    key = f"{name}:{ENGINE}:{hashlib.sha256(raw).hexdigest()}"
    store = _store()
    if key not in store:
        store[key] = _analyse(name, is_package, raw)
        _dirty.add(key)
    found = store[key]
    return Module(found[0], tuple(found[1]))


def definitions(raw: bytes) -> dict[str, str]:
    """What a module defines, in words -> digest: functions, classes and their methods, constants, imports, the rest.

    Two texts of equal meaning have equal definitions; where two differ, the words say what changed.
    """
    found: dict[str, list[str]] = {}

    def add(words: str, *nodes: ast.AST) -> None:
        for node in nodes:
            _dump(node, found.setdefault(words, []))

    tree = ast.parse(raw)
    for node in _without_docstring(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            add(f"function `{node.name}`", node)
        elif isinstance(node, ast.ClassDef):
            methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
            for method in methods:
                add(f"method `{node.name}.{method.name}`", method)
            node.body = [child for child in node.body if child not in methods]
            add(f"class `{node.name}`", node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            add(f"constant `{', '.join(map(ast.unparse, targets))}`", node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            add("imports", node)
        else:
            add("statements of the module", node)
    return {words: hashlib.sha256("".join(out).encode()).hexdigest()[:16] for words, out in found.items()}


def forget() -> None:
    """Read every file anew from here on (the runner looks twice)."""
    module_file.cache_clear()
    scan.cache_clear()
    closure.cache_clear()
    file_digest.cache_clear()


# ---- the cache of analysed modules ------------------------------------------------------------------------------

_dirty: set[str] = set()


def cache_folder() -> Path:
    """Where is kept what follows from texts alone, and can be worked out again at any time."""
    return Path(os.environ.get("TESSERAE_CACHE", SOURCE.parent / ".tesserae"))


def _cache_file() -> Path:
    return cache_folder() / "modules.json"


@functools.cache
def _store() -> dict[str, list]:
    try:
        return json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a cache: whatever is wrong with it, start a new one
        return {}


def save_cache() -> None:
    """Write what was analysed since the start."""
    if not _dirty:
        return
    remember(_cache_file(), json.dumps(_store()))
    _dirty.clear()


# ---- analysis ---------------------------------------------------------------------------------------------------


def _analyse(name: str, is_package: bool, raw: bytes) -> list:
    tree = ast.parse(raw)
    imports = sorted(_imports(tree, name, is_package))
    out: list[str] = []
    _dump(tree, out)
    return [hashlib.sha256("".join(out).encode()).hexdigest()[:16], imports]


def _imports(tree: ast.AST, name: str, is_package: bool) -> set[str]:
    found: set[str] = set()

    def add(target: str) -> None:
        parts = target.split(".")
        if parts[0] == PACKAGE:
            found.update(".".join(parts[:i]) for i in range(1, len(parts) + 1))

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if is_package else name.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *([node.module] if node.module else [])])
            add(base)
            for alias in node.names:
                add(f"{base}.{alias.name}")
    return found


def _dump(node: Any, out: list[str]) -> None:
    if isinstance(node, ast.AST):
        out.append(f"({type(node).__name__}")
        for field in node._fields:
            value = getattr(node, field, None)
            if field == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstring(value)
            if field in _SILENT_FIELDS or (value in (None, []) and not isinstance(node, ast.Constant)):
                continue
            out.append(f" {field}=")
            _dump(value, out)
        out.append(")")
    elif isinstance(node, list):
        out.append("[")
        for child in node:
            _dump(child, out)
        out.append("]")
    else:
        out.append(repr(node))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body
