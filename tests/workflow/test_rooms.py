"""Who may import whom (docs/architecture in the README), and which rooms must start without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tesserae.config.registry import GENERATORS, TOKENIZERS
from tesserae.config.stages import STAGES
from tesserae.lineage.walk import upstream
from tests.conftest import ROOT

SOURCE = ROOT / "src" / "tesserae"
MAY = {
    "config": {"bits", "edges", "correlating"},
    "lineage": {"config"},
    "nn": {"config"},
    "data": {"config"},
    "quantizers": {"nn"},
    "diffusion": {"nn"},
    "controls": set(),
    "encoders": {"nn"},
    "losses": {"encoders", "nn"},
    "training": {"config", "lineage"},
    "tokenizers": {"nn", "quantizers", "diffusion", "encoders", "losses"},
    "generators": {"nn", "quantizers", "diffusion", "encoders", "losses"},
    "probes": set(),
    "sae": {"nn", "quantizers", "diffusion", "encoders", "losses", "metrics"},
    "metrics": {"encoders", "data", "edges", "correlating"},
    "reporting": {"config", "lineage", "words", "metrics", "correlating"},  # of metrics what needs no network
    "tracking": {"config", "lineage"},
    "audit": {"config", "lineage", "reporting"},
    "workflow": {"config", "lineage", "costs", "words", "correlating"},
    "task_networks": {"nn"},
    "costs": {"config", "lineage", "nn", "encoders", "sae", "tokenizers", "generators", "losses", "words", "sweeps"},
    "stages": {
        "data",
        "nn",
        "quantizers",
        "diffusion",
        "controls",
        "encoders",
        "losses",
        "training",
        "sae",
        "probes",
        "task_networks",
        "tokenizers",
        "generators",
        "metrics",
        "reporting",
        "lineage",
        "costs",
        "contracts",
        "bits",
        "sweeps",
        "correlating",
    },
    # The command line shows what all rooms say, of stages what tables and claims are drawn from.
    "cli": {
        "config",
        "lineage",
        "workflow",
        "tracking",
        "audit",
        "reporting",
        "costs",
        "data",
        "deciding",
        "publishing",
        "training",
        "stages",
        "words",
    },
    "deciding": {"config", "reporting", "workflow"},
    "publishing": {"config", "lineage", "reporting", "workflow"},
    "words": set(),
    "bits": set(),
    "edges": set(),
    "sweeps": set(),
    "correlating": set(),
    "contracts": set(),
}
SYSTEMS = {"tokenizers": set(TOKENIZERS), "generators": set(GENERATORS)}


def system(room: str, module: str) -> str | None:
    """The system that a module of a room belongs to; None for what several share."""
    return next((name for name in SYSTEMS[room] if module == name or module.startswith(f"{name}_")), None)


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tesserae"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("tesserae.")}
    return found


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_point_down(file):
    room = file.relative_to(SOURCE).with_suffix("").parts[0]
    for name in imports(file):
        target = name.split(".")[1]
        if name == "tesserae.workflow.runner.by_hand" and room == "stages":  # the entry point of a stage run by hand
            continue
        assert target == room or target in MAY[room], f"{file.name} imports {name}"
        if target == room and room in SYSTEMS:
            own, other = system(room, file.stem), system(room, name.split(".")[2])
            assert own is None or other in (None, own), f"two systems import each other: {file.name}, {name}"


def test_no_modules_import_each_other():
    """Anywhere in their text: inside functions and for type checkers too."""
    files = {name_of(file): file for file in SOURCE.rglob("*.py") if file.name != "__init__.py"}
    graph = {
        name: {found for each in imports(file) if (found := module_in(each, files))} for name, file in files.items()
    }
    reached = {name: upstream(graph.__getitem__, graph[name]) for name in graph}
    circles = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    assert not [sorted(circle) for circle in circles if circle]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)


def module_in(name: str, files: dict[str, Path]) -> str | None:
    """The module that an imported name is or stands in; None for a package."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in files), None)


def test_packages_are_empty():
    assert all(not file.read_text().strip() for file in SOURCE.rglob("__init__.py"))


LIGHT = [
    "tesserae.cli.main",
    "tesserae.cli.data",
    "tesserae.cli.plan",
    "tesserae.stages.forecast",
    "tesserae.reporting.forecast",
    "tesserae.workflow.plan",
    "tesserae.workflow.runner",
    "tesserae.audit.audit",
    "tesserae.audit.numbers",
    "tesserae.reporting.curves",
    *(f"tesserae.stages.{name}" for name, stage in STAGES.items() if not stage.torch),
]
# Imports each module that is named in a process of its own; libraries that are not torch are there already, for they
# take the time. Says whether torch came along: 0 no, 1 yes, 2 the module cannot be imported.
FORKS = """
import importlib, os, sys
for name in ("click", "jinja2", "matplotlib.figure", "numpy", "pandas", "pydantic", "rich", "yaml"):
    importlib.import_module(name)
assert "torch" not in sys.modules
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        code = 2
        try:
            importlib.import_module(name)
            code = int("torch" in sys.modules)
        finally:
            os._exit(code)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def came_along() -> dict[str, str]:
    """Module -> what FORKS says of it."""
    done = subprocess.run([sys.executable, "-c", FORKS, *LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("module", LIGHT)
def test_starts_without_torch(came_along, module):
    assert came_along[module] == "0"


def test_configuration_is_read_in_one_direction():
    """No two of its modules need each other, not even inside a function or for types alone."""
    modules = {
        "tesserae." + ".".join(file.relative_to(SOURCE).with_suffix("").parts): imports(file)
        for file in (SOURCE / "config").rglob("*.py")
    }
    needs = {
        module: {
            other for other in modules if other != module and any(f"{name}.".startswith(f"{other}.") for name in used)
        }
        for module, used in modules.items()
    }
    assert needs["tesserae.config.resolve"] and needs["tesserae.config.project"]
    while free := {module for module, others in needs.items() if not others}:
        needs = {module: others - free for module, others in needs.items() if module not in free}
    assert not needs, f"these need each other: {needs}"
