"""`tesserae plan`: what a scale would cost before anything runs: GPU-hours, wall time, memory, disk.

Imports stay inside the command, so that `tesserae --help` answers at once.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

PUBLISHED = Path("config/published/detok.csv")  # the hours that costs are calibrated on
PAPER = "paper"  # the scale of the trainings that took them


@click.command()
@click.option("--scale", help="The scale to plan (default: as for all commands).")
@click.option("--gpus", type=click.IntRange(min=1), default=64, show_default=True, help="How many GPUs there are.")
@click.option("--gpu", default="h100", show_default=True, help="Their kind: a100 or h100.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the chart, too.")
@click.argument("targets", nargs=-1)
@click.pass_obj
def plan(
    settings: dict, scale: str | None, gpus: int, gpu: str, as_json: bool, html: Path | None, targets: tuple[str, ...]
) -> None:
    """Say what a scale costs: GPU-hours, wall time, memory, disk.

    All of it, or TARGETS (artifacts, tables, figures) and what they are made from. Nothing runs.
    """
    from tesserae.config.errors import ConfigError
    from tesserae.workflow.plan import open_plan

    try:
        planned = open_plan(settings["root"], scale or settings["scale"])
        wanted = [planned.find(target) for target in targets]
        published = planned if planned.scale == PAPER else open_plan(settings["root"], PAPER)
    except (ConfigError, LookupError) as error:
        raise click.ClickException(error.args[0] if isinstance(error, LookupError) else str(error)) from None
    from tesserae.costs.describe import describe
    from tesserae.costs.forecast import forecast

    root = planned.project.root
    if not as_json and sys.stderr.isatty():
        click.echo("Counting (a minute the first time) ...", err=True)
    try:
        asked = {job.stage: planned.asked(job.stage) for job in planned.jobs.values()}
        described = describe(
            planned.jobs, asked, wanted, published=published.jobs, scale=planned.scale, gpu=gpu, gpus=gpus
        )
        found = forecast(described, root / PUBLISHED, _free(root / planned.top))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if html:
        from tesserae.reporting.forecast import write_page

        write_page(html, found)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    _show(found)
    if html:
        click.echo(f"Chart and tables: {html}")


def _free(folder: Path) -> int:
    """Bytes free where the results will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tesserae.lineage.words import size
    from tesserae.reporting.forecast import hours, reported

    console, total = Console(width=None if sys.stdout.isatty() else 100, highlight=False), found["total"]

    def table(title: str, *columns: str) -> Table:
        made = Table(
            title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False
        )
        for number, column in enumerate(columns):
            made.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0)
        return made

    console.print(
        f"[bold]{found['scale']}[/] on {found['gpus']} x {found['gpu'].upper()}: {total['jobs']} jobs, "
        f"[bold]{total['gpu_hours']:,.0f} GPU-hours, {hours(total['wall_hours'])}[/] in all, "
        f"{size(round(total['peak_disk']))} of disk, at most {size(round(total['memory']))} of a GPU\n"
    )
    stages = table("Stages", "stage", "jobs", "GPUs", "GPU-hours", "share", "longest job", "GPU memory", "disk")
    for row in found["stages"]:
        on_gpu = [f"{row['gpus']}", f"{row['gpu_hours']:,.1f}", f"{row['share']:.1%}"] if row["gpus"] else ["", "", ""]
        memory = size(round(row["memory"])) if row["gpus"] else ""
        last = [hours(row["longest_hours"]), memory, size(round(row["disk"]))]
        stages.add_row(row["stage"], str(row["jobs"]), *on_gpu, *last)
    console.print(stages)
    path = table("\nCritical path", "job", "takes", "ends after")
    passed = 0.0
    for step in found["critical_path"]:
        passed += step["hours"]
        path.add_row(step["job"], hours(step["hours"]), hours(passed))
    console.print(path)
    anchors = table("\nCalibration, in A100-hours", "published training", "reported", "predicted", "ratio", "used to")
    for row in found["calibration"]["anchors"]:
        use = "fit" if row["fitted"] else "check"
        anchors.add_row(row["row"], reported(row), f"{row['predicted']:,.0f}", f"{row['ratio']:.2f}", use)
    console.print(anchors)
    console.print("\n[bold]Assumed[/]")
    for sentence in found["assumptions"]:
        console.print(f"[dim]- {sentence}[/]")
    for warning in found["warnings"]:
        console.print(f"\n[bold]Warning[/] {warning}", markup=True)
