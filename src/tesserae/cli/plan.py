"""`tesserae plan`: what a scale would cost before anything runs: GPU-hours, wall time, memory, disk.

Imports stay inside the command, so that `tesserae --help` answers at once.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from tesserae.cli import prices
from tesserae.cli.common import make_console, paper_option, targets_of
from tesserae.cli.prices import PAPER, PUBLISHED


@click.command()
@click.option("--scale", help="The scale to plan (default: as for all commands).")
@click.option("--gpus", type=click.IntRange(min=1), help="How many GPUs there are (default: 64).")
@click.option("--gpu", help="Their kind: a100 or h100 (default).")
@click.option("--cores", type=click.IntRange(min=1), help="For a scale without GPUs (default: this machine's).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the chart, too.")
@paper_option
@click.argument("targets", nargs=-1)
@click.pass_obj
def plan(
    settings: dict,
    scale: str | None,
    gpus: int | None,
    gpu: str | None,
    cores: int | None,
    as_json: bool,
    html: Path | None,
    papers: tuple[str, ...],
    targets: tuple[str, ...],
) -> None:
    """Say what a scale costs: GPU-hours, wall time, memory, disk.

    All of it, or TARGETS (artifacts, tables, figures, papers) and what they are made from. Nothing runs. Of a
    scale without GPUs: CPU-hours and wall time, from what jobs took here.
    """
    from tesserae.config.errors import ConfigError
    from tesserae.workflow.plan import open_plan

    try:
        planned = open_plan(settings["root"], scale or settings["scale"])
        published = planned if planned.scale == PAPER else open_plan(settings["root"], PAPER)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    wanted = targets_of(planned, targets, papers)
    requests = {job.stage: planned.request(job.stage) for job in planned.jobs.values()}
    on_cpu = not prices.on_gpus(planned)
    unfit = {"--gpus": gpus, "--gpu": gpu, "--html": html} if on_cpu else {"--cores": cores}
    given = ", ".join(option for option, value in unfit.items() if value)
    if given:
        raise click.UsageError(f"{given}: for scales {'with' if on_cpu else 'without'} GPUs; not for {planned.scale}")
    if not as_json and sys.stderr.isatty():
        click.echo("Counting (a minute the first time) ...", err=True)
    try:
        if on_cpu:
            found = _on_cpu(planned, requests, wanted, cores)
        else:
            found = _on_gpus(planned, requests, wanted, published, gpu or prices.GPU, gpus or 64)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if html:
        from tesserae.reporting.forecast import write_page

        write_page(html, found)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    _show_cpu(found) if on_cpu else _show(found)
    if html:
        click.echo(f"Chart and tables: {html}")


def _on_gpus(
    planned: Any, requests: dict[str, Any], wanted: list[str], published: Any, gpu: str, gpus: int
) -> dict[str, Any]:
    from tesserae.costs.describe import describe
    from tesserae.costs.forecast import forecast

    described = describe(
        planned.jobs, requests, wanted, published=published.jobs, scale=planned.scale, gpu=gpu, gpus=gpus
    )
    root = planned.project.root
    return forecast(described, root / PUBLISHED, _free(root / planned.top))


def _on_cpu(planned: Any, requests: dict[str, Any], wanted: list[str], cores: int | None) -> dict[str, Any]:
    from tesserae.costs import measured
    from tesserae.workflow import machine

    timed, left_out = measured.read(planned.project.root)
    jobs = {name: planned.jobs[name] for name in planned.demanded(*wanted)}
    cores = cores or machine.cores()
    found = measured.forecast(jobs, requests, scale=planned.scale, cores=cores, timed=timed)
    if left_out:
        found["warnings"].append(f"{len(left_out)} manifests in results/ do not count, such as {left_out[0]}")
    return found


def _free(folder: Path) -> int:
    """Bytes free where the results will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim", pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0)
    return made


def _path(found: dict[str, Any]) -> Any:
    """The table of the critical path."""
    from tesserae.reporting.forecast import hours

    path, passed = _table("\nCritical path", "job", "takes", "ends after"), 0.0
    for step in found["critical_path"]:
        passed += step["hours"]
        path.add_row(step["job"], hours(step["hours"]), hours(passed))
    return path


def _said(basis: dict[str, Any]) -> str:
    """How many measured jobs of which scale say what a job takes."""
    few, most = basis["measured"]
    count = "" if not most else f"{most} of " if few == most else f"{few}\u2013{most} of "
    return f"{count}{basis['scale']}{'' if basis['same_system'] else ' *'}"


def _show_cpu(found: dict[str, Any]) -> None:
    from tesserae.reporting.forecast import hours

    console, total = make_console(100, highlight=False), found["total"]
    made = f"; {total['made']} jobs are made and took {total['made_hours']:,.2f}" if total["made"] else ""
    console.print(
        f"[bold]{found['scale']}[/] on {found['cores']} CPU cores: {total['jobs']} jobs, "
        f"[bold]{total['cpu_hours']:,.2f} CPU-hours{made}, {hours(total['wall_hours'])}[/] in all\n"
    )
    stages = _table("Stages", "stage", "jobs", "CPU-hours", "fraction", "longest job", "made", "from", "off by")
    for row in found["stages"]:
        basis = " + ".join(map(_said, row["basis"]))
        off = f"{row['check']['median']:.0%}, {row['check']['most']:.0%}" if row["check"] else ""
        cells = [
            f"{row['cpu_hours']:,.2f}",
            f"{row['fraction']:.1%}",
            hours(row["longest_hours"]),
            str(row["made"] or ""),
        ]
        stages.add_row(row["stage"], str(row["jobs"]), *cells, basis, off)
    console.print(stages)
    console.print(
        "[dim]from: measured jobs of the same system that say how long one takes; * where none of its system ran, all "
        "of the stage. off by: median and 90 % of the error, each measured job predicted from the others.[/]"
    )
    console.print(_path(found))
    console.print("\n[bold]Check[/]")
    for key, whose in (("check", "measured jobs from the others"), ("across", "those of this scale from other scales")):
        if found[key]:
            said = found[key]
            console.print(
                f"{said['jobs']} {whose}: off by {said['median']:.0%} (median), {said['most']:.0%} (90 %); "
                f"all together {said['sum'] - 1:+.0%}"
            )
    console.print(
        f"[dim]- Jobs ran beside as many others as the machine had cores for, and will again.\n"
        f"- {found['between']:.1f} s pass between two jobs, as they did.\n"
        f"- Seconds grow with FLOP at most: larger networks and batches use a core better.[/]"
    )
    for warning in found["warnings"]:
        console.print(f"\n[bold]Warning[/] {warning}")


def _show(found: dict[str, Any]) -> None:
    from tesserae.reporting.forecast import hours, reported
    from tesserae.words import size

    console, total = make_console(100, highlight=False), found["total"]
    console.print(
        f"[bold]{found['scale']}[/] on {found['gpus']} x {found['gpu'].upper()}: {total['jobs']} jobs, "
        f"[bold]{total['gpu_hours']:,.0f} GPU-hours, {hours(total['wall_hours'])}[/] in all, "
        f"{size(round(total['peak_disk']))} of disk, at most {size(round(total['memory']))} of a GPU\n"
    )
    stages = _table("Stages", "stage", "jobs", "GPUs", "GPU-hours", "fraction", "longest job", "GPU memory", "disk")
    for row in found["stages"]:
        on_gpu = (
            [f"{row['gpus']}", f"{row['gpu_hours']:,.1f}", f"{row['fraction']:.1%}"] if row["gpus"] else ["", "", ""]
        )
        memory = size(round(row["memory"])) if row["gpus"] else ""
        last = [hours(row["longest_hours"]), memory, size(round(row["disk"]))]
        stages.add_row(row["stage"], str(row["jobs"]), *on_gpu, *last)
    console.print(stages)
    console.print(_path(found))
    anchors = _table("\nCalibration, in A100-hours", "published training", "reported", "predicted", "ratio", "used to")
    for row in found["calibration"]["anchors"]:
        use = "fit" if row["fitted"] else "check"
        anchors.add_row(row["row"], reported(row), f"{row['predicted']:,.0f}", f"{row['ratio']:.2f}", use)
    console.print(anchors)
    console.print("\n[bold]Assumed[/]")
    for sentence in found["assumptions"]:
        console.print(f"[dim]- {sentence}[/]")
    for warning in found["warnings"]:
        console.print(f"\n[bold]Warning[/] {warning}", markup=True)
