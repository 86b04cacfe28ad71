"""A trace in the terminal: the number on top, the data at the leaves, each artifact described once.

Producers that took fewer steps to make come first, so that what is referred to as "above" was described above.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tesserae import words
from tesserae.lineage.changes import leaves
from tesserae.lineage.trace import AWAY

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

DIGITS = 16  # of a sha256: JSON and HTML give all 64
VALUE = 40  # characters of a setting
NUMBERS = 6  # that an artifact's line lists
BAD, QUIET = "bold red", "dim"
FOUND = {"changed": "CHANGED", "missing": "MISSING"}


def render(trace: dict[str, Any], depth: int | None = None) -> "RenderableType":
    """What rich prints of a trace (see `lineage.trace.trace`); `depth`: levels of the tree below the target.

    Fits 100 columns. Facts that all artifacts share (machine, libraries, commit) stand once, below the tree.
    """
    from rich.console import Group
    from rich.tree import Tree

    trace = _tame(trace)
    drawing = _Drawing(trace, depth)
    tree = Tree(_target(trace), guide_style=QUIET)
    drawing.add(tree, trace["target"]["artifact"], 1)
    return Group(tree, "", drawing.legend(), "", _verdict(trace))


class _Drawing:
    def __init__(self, trace: dict[str, Any], depth: int | None):
        self.trace, self.depth = trace, depth
        self.nodes = {node["artifact"]: node for node in trace["nodes"]}
        self.shown: set[str] = set()
        self.heights: dict[str, int] = {}
        for name in reversed(self.nodes):  # producers first
            made_from = [self.heights.get(producer, 0) for producer in self.nodes[name]["inputs"]]
            self.heights[name] = 1 + max(made_from, default=0)
        present = [node for node in trace["nodes"] if node["missing"] is None]
        self.commits = _distinct(present, lambda node: node["git"])
        self.machines = _distinct(present, lambda node: node["hardware"])
        self.environments = _distinct(present, lambda node: node["environment"])

    def add(self, tree: "Tree", artifact: str, level: int) -> None:
        """Describe an artifact and, below it, what it was made from."""
        from rich.text import Text

        if artifact in self.shown:
            tree.add(Text.assemble((artifact, "cyan"), (" (above)", QUIET)))
            return
        self.shown.add(artifact)
        node = self.nodes[artifact]
        branch = tree.add(self.describe(node))
        for source in node["sources"]:
            branch.add(_file(source))
        if node["weights"]:
            branch.add(_weights(node["weights"]))
        if node.get("data"):
            branch.add(_images(node["data"]))
        producers = sorted(node["inputs"], key=lambda name: (self.heights[name], name))
        if producers and self.depth is not None and level >= self.depth:
            branch.add(Text(f"made from {', '.join(producers)} (more with a larger --depth)", style=QUIET))
            return
        for producer in producers:
            self.add(branch, producer, level + 1)

    def describe(self, node: dict[str, Any]) -> "Text":
        from rich.text import Text

        text = Text.assemble((node["artifact"], "bold cyan"))
        if node["missing"]:
            text.append("  no manifest", BAD)
        elif node["metrics"]:
            shown = [f"{name} {words.number(value)}" for name, value in node["metrics"].items()]
            text.append("  " + (", ".join(shown) if len(shown) <= NUMBERS else f"{len(shown)} numbers"))
        text.append(f"\nfingerprint {node['fingerprint']}")
        if node["missing"] is None:
            text.append("\n")
            self._circumstances(text, node)
        for entry in node["outputs"]:
            text.append("\n")
            text.append_text(_file(entry, entry["path"].rpartition("/")[2]))
        if node["missing"] is None:
            text.append(f"\ncode {len(node['modules'])} modules; spec {_spec(node['spec'])}", QUIET)
        for problem in self.trace["problems"]:
            if problem["artifact"] == node["artifact"]:
                text.append(f"\n✗ {_where(problem)}: {problem['what']}", BAD)
        return text

    def _circumstances(self, text: "Text", node: dict[str, Any]) -> None:
        """When, how long, with which seed, in what state of the tree; and whatever not all artifacts share."""
        text.append(f"started {words.moment(node['started'])}, took {words.duration(node['seconds'])}")
        text.append("" if node["seed"] is None else f", seed {node['seed']}")
        text.append(", commit ")
        git = node["git"] or {}
        text.append(words.commit(git), "bold yellow" if git.get("dirty") or not git.get("commit") else "")
        for name, of in (("machine", self.machines), ("environment", self.environments)):
            if len(of) > 1:
                text.append(f", {name} {of[_key(node['hardware' if name == 'machine' else name])][0]}")
        run = (node["mlflow"] or {}).get("run")
        if run:
            text.append(f"\nMLflow run {run['run_id']}")

    def legend(self) -> "Table":
        """Commits, machines, environments and experiments in full."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for _, git in self.commits.values():
            text = Text((git or {}).get("commit") or "none: the project was no git repository")
            if (git or {}).get("dirty"):
                text.append(" with uncommitted changes: the code store has what ran", "bold yellow")
            table.add_row("commit", text)
        for number, hardware in self.machines.values():
            name = f"machine {number}" if len(self.machines) > 1 else "machine"
            table.add_row(name, Text(words.machine(hardware)))
        for number, found in self.environments.values():
            libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
            name = f"environment {number}" if len(self.environments) > 1 else "environment"
            table.add_row(name, Text(f"Python {found['python']}, {found['platform']}; {libraries}"))
        experiments = sorted({node["mlflow"]["experiment"] for node in self.trace["nodes"] if node["mlflow"]})
        runs = sum(bool((node["mlflow"] or {}).get("run")) for node in self.trace["nodes"])
        if experiments:
            known = f"tag tesserae.fingerprint; {runs} of {len(self.nodes)} runs known here"
            table.add_row("MLflow", Text(f"{', '.join(experiments)}; {known}"))
        return table


def _target(trace: dict[str, Any]) -> "Text":
    """The number, or the file, or the artifact that was asked for."""
    from rich.text import Text

    target, cell, count = trace["target"], trace["target"]["cell"], len(trace["problems"])
    if cell:
        number = "no number" if cell["measured"] is None else words.number(cell["measured"])
        text = Text.assemble((number, "bold"))
        if len(cell["numbers"]) > 1:
            text.append(f" (mean of {len(cell['numbers'])} seeds: {_numbers(cell)})")
        text.append(f"  {cell['source']}, {cell['row']}, {cell['column']}")
        text.append(f" at scale {trace['scale']} (published: {cell['printed'] or 'blank'})")
        if cell["reason"]:
            text.append(f"\nnot run: {cell['reason']}", "bold yellow")
        if cell["measure"]:
            text.append(f"\nmeasure {cell['measure_id']}: {_spec(cell['measure'])}", QUIET)
    elif target["file"]:
        text = Text.assemble((target["file"]["path"], "bold"), f"  {words.size(target['file']['bytes'])}")
        text.append(f"\nsha256 {target['file']['sha256']}")
    else:
        text = Text.assemble((target["artifact"], "bold"), f" at scale {trace['scale']}")
    if count:
        text.append(f"\n✗ {count} problem{'s' if count > 1 else ''} upstream, marked ✗", BAD)
    return text


def _numbers(cell: dict[str, Any]) -> str:
    """The number of each seed, and how they scatter."""
    shown = ", ".join("none" if value is None else words.number(value) for value in cell["numbers"])
    return shown if cell["sd"] is None else f"{shown}; sd {words.number(cell['sd'])}"


def _verdict(trace: dict[str, Any]) -> "Text":
    from rich.text import Text

    if trace["problems"]:
        lines = [f"✗ {problem['artifact']}: {_where(problem)}: {problem['what']}" for problem in trace["problems"]]
        return Text("\n".join(lines), style=BAD)
    if not trace["verified"]:
        return Text("Told by the manifests; --verify reads the files again.", style=QUIET)
    nodes = trace["nodes"]
    paths = {entry["path"] for node in nodes for kind in ("outputs", "sources") for entry in node[kind]}
    text = Text(f"✓ {len(paths)} files of {len(nodes)} artifacts were read again: all as recorded.", style="green")
    away = {node["weights"]["file"] for node in nodes if node["weights"] and node["weights"]["found"] == AWAY}
    if away:
        text.append(f"\nPublished weights that are not on this machine: {', '.join(sorted(away))}", QUIET)
    return text


def _tame(value: Any) -> Any:
    """Without control characters: results may come from others, and no name in them shall steer the terminal."""
    if isinstance(value, dict):
        return {_tame(key): _tame(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tame(item) for item in value]
    return (
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
        if isinstance(value, str)
        else value
    )


def _where(problem: dict[str, str]) -> str:
    """A file of the artifact by its name alone."""
    folder, _, name = problem["where"].rpartition("/")
    return name if folder.endswith(problem["artifact"]) else problem["where"]


def _file(entry: dict[str, Any], name: str | None = None) -> "Text":
    from rich.text import Text

    text = Text.assemble((name or entry["path"], "green"), f"  {words.size(entry['bytes'])}")
    text.append(f"  sha256 {entry['sha256'][:DIGITS]}", QUIET)
    if entry["found"] in FOUND:
        text.append(f"  {FOUND[entry['found']]}", BAD)
    return text


def _weights(weights: dict[str, Any]) -> "Text":
    """Published weights that were taken: named in the list of a recipe, kept outside the project."""
    text = _file(weights, weights["file"])
    text.append("  published weights", QUIET)
    return text


def _images(found: dict[str, Any]) -> "Text":
    """A real data set: where it lay, and what stands for its files."""
    from rich.text import Text

    return Text.assemble(
        found["folder"],
        (f"  {found['files']:,} files, {words.size(found['bytes'])}, sha256 {found['sha256'][:12]}…  images", QUIET),
    )


def _spec(spec: dict[str, Any]) -> str:
    """Settings in one paragraph: `batch=75, layer=320; training: rate=0.001, seed=1`."""
    plain = {key: value for key, value in spec.items() if not isinstance(value, dict)}
    groups = [_settings(plain)] if plain else []
    groups += [f"{key}: {_settings(value)}" for key, value in spec.items() if isinstance(value, dict)]
    return "; ".join(groups) or "nothing"


def _settings(spec: dict[str, Any]) -> str:
    texts = {key: words.setting(value) for key, value in leaves(spec)}
    return ", ".join(f"{key}={text if len(text) <= VALUE else text[: VALUE - 1] + '…'}" for key, text in texts.items())


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _distinct(nodes: list[dict[str, Any]], of: Callable[[dict[str, Any]], Any]) -> dict[str, tuple[int, Any]]:
    """Different values by their JSON: (number from 1, value), in order of appearance."""
    found: dict[str, tuple[int, Any]] = {}
    for node in nodes:
        found.setdefault(_key(of(node)), (len(found) + 1, of(node)))
    return found
