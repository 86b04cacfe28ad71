"""`tesserae params`: of what parts a network's parameters are, beside what the papers print.

Imports stay inside the command, so that `tesserae --help` answers at once.
"""

import json
from collections.abc import Iterator
from typing import Any

import click

from tesserae.cli.common import make_console

PAPER = "paper"  # the scale of the published sizes
NAMES = {"quantize": "codebook"}  # parts whose name in the weights would not tell


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("recipe")
@click.pass_obj
def params(settings: dict, as_json: bool, recipe: str) -> None:
    """Count the parameters of RECIPE, part by part.

    At the size of its paper and at the scale's, with what its paper prints. Nothing is built or read but the
    configuration.
    """
    from tesserae.config.errors import ConfigError
    from tesserae.config.project import read_project
    from tesserae.workflow.graph.whole import jobs

    try:
        ours = read_project(settings["root"], settings["scale"])
        published = ours if ours.scale.scale == PAPER else read_project(settings["root"], PAPER)
        sizes = {project.scale.scale: counted(project, jobs(project), recipe) for project in (published, ours)}
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    found = {"recipe": recipe, "sizes": sizes, "printed": list(_printed(published, recipe))}
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def parts(module: str, model: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """Trained parameters of the network that `module` builds of `model`, by part: what is kept, and what only training
    needs. A part is what stands first in a parameter's name; what reads prompts is one of its own.
    """
    import importlib

    import torch

    from tesserae.training.weights import used

    with torch.device("meta"):
        network = importlib.import_module(module).build(model)
    trained = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    kept = used(network, trained)
    counts: tuple[dict[str, int], dict[str, int]] = {}, {}
    for name, tensor in trained.items():
        part = _part(name)
        own = counts[name not in kept]
        own[part] = own.get(part, 0) + tensor.numel()
    return counts


def _part(name: str) -> str:
    first = name.split(".")[0]
    if "text_guidance" in name:
        return f"text projection and positions ({first})"
    return NAMES.get(first, first.replace("_", " "))


def counted(project: Any, plan: dict[str, Any], recipe: str) -> dict[str, Any]:
    """Of a project at one scale and the jobs of its plan: `parts` and their sum `trained`, `frozen` networks beside
    them, the `total` of both, and what is there for `training` only; or why the scale is without the recipe, as
    `omitted`. ConfigError for a recipe that is not in the plan.
    """
    from tesserae.config import spec as specs
    from tesserae.config.errors import ConfigError
    from tesserae.config.stages import TRAININGS

    if recipe in project.omitted:
        return {"omitted": project.omitted[recipe]}
    made = {job.recipe: job for job in plan.values() if job.stage in TRAININGS}
    if recipe not in made:
        known = ", ".join(sorted(name for name in made if "." not in name))
        raise ConfigError("config/papers", recipe, "no such recipe, or one that nothing shows", f"one of {known}")
    spec, frozen = made[recipe].spec, {}
    if recipe in project.tokenizers:
        spec_recipe = project.tokenizers[recipe]
        text = specs.text(spec_recipe, project.context)
        frozen = {f"text encoder ({text.encoder}, frozen)": specs.frozen(spec_recipe, project.context)} if text else {}
    kept, training = parts(spec["module"], spec["model"])
    trained = sum(kept.values())
    total = trained + sum(frozen.values())
    return {"parts": kept, "trained": trained, "frozen": frozen, "total": total, "training": training}


def _printed(project: Any, recipe: str) -> Iterator[dict[str, str]]:
    """What the papers print of a recipe's size, in millions, and where."""
    from tesserae.reporting import published

    for paper in project.papers.values():
        numbers = published.load(project.root / paper.published)
        for table in paper.tables.values():
            for name, column in table.columns.items():
                for row, label in table.rows.items():
                    counted = column.of(row) == f"sizes/{recipe}" and column.value in ("parameters", "with_frozen")
                    if counted and table.prints(row, name):
                        line = published.cell(numbers, table.source, label, name)
                        if line is not None and line["printed"]:
                            place = {"paper": paper.paper, "table": table.source, "row": label, "column": name}
                            yield place | {"printed": line["printed"]}


def _show(found: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = make_console(150, highlight=False)
    sizes = {scale: size for scale, size in found["sizes"].items() if "parts" in size}
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(f"parameters of {found['recipe']}")
    for scale in sizes:
        table.add_column(f"scale {scale}", justify="right")

    def line(label: str, numbers: list[int | None], style: str = "") -> None:
        table.add_row(escape(label), *("" if number is None else f"{number:,}" for number in numbers), style=style)

    def group(kind: str, style: str = "") -> None:
        for part in dict.fromkeys(part for size in sizes.values() for part in size[kind]):
            note = " (for training only, not counted)" if kind == "training" else ""
            line(part + note, [size[kind].get(part) for size in sizes.values()], style)

    group("parts")
    line("trained", [size["trained"] for size in sizes.values()], "bold")
    group("frozen")
    if any(size["frozen"] for size in sizes.values()):
        line("total", [size["total"] for size in sizes.values()], "bold")
    group("training", "dim")
    console.print(table)
    for scale, size in found["sizes"].items():
        if "omitted" in size:
            console.print(f"[dim]scale {scale}: not run ({escape(size['omitted'])})[/]")
    for one in found["printed"]:
        place = f"{one['paper']}, {one['table']}, {one['row']}, {one['column']}"
        console.print(f"In print: {one['printed']} million ({escape(place)})")
