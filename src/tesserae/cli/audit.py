"""`tesserae trace`, `compare`, `audit` and `export`: where a number came from, and whether that is still true."""

import json
import os
import sys
import tempfile
from pathlib import Path

import click

from tesserae.cli.common import make_console, plan_of, scale_of


@click.command()
@click.argument("target")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page.")
@click.option("--verify", is_flag=True, help="Read every file again; exit status 1 if anything is not as recorded.")
@click.option("--depth", type=click.IntRange(min=1), help="Levels of the tree to print (default: all).")
@click.pass_obj
def trace(settings: dict, target: str, as_json: bool, html: Path | None, verify: bool, depth: int | None) -> None:
    """Show what TARGET was made from, back to the data.

    TARGET is a cell of a table ("detok_table_1[Joint noise, MAR-B w/ CFG FID]", words may be left out where it stays
    clear), a table, a figure, an artifact (<stage>/<recipe>) or a file below results/.
    """
    from tesserae.lineage.targets import TraceError
    from tesserae.lineage.trace import trace as walk

    root = settings["root"]
    try:
        found = walk(root, scale_of(settings), target, verify)
    except TraceError as error:
        raise click.ClickException(str(error)) from None
    if html:
        from tesserae.reporting.lineage import write_trace

        click.echo(f"Wrote {write_trace(html.absolute(), found, root)}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    elif not html:
        from tesserae.reporting.tree import render

        make_console(100).print(render(found, depth))
    if verify and found["problems"]:
        sys.exit(1)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def compare(settings: dict, a: str, b: str, as_json: bool) -> None:
    """Say in which fields the measures of A and B differ.

    A and B are numbers as `trace` understands them ("detok_table_1[joint, mar-b w/ cfg fid]"), or artifacts with
    numbers (metrics/mar_b_joint-cfg); "desk:" before one names its scale. Exit status: 0 same measure, 1 another one, 2
    nothing to compare.
    """
    from tesserae.lineage.compare import compare as held_against
    from tesserae.lineage.targets import TraceError
    from tesserae.reporting.compared import render

    try:
        found = held_against(settings["root"], scale_of(settings), a, b)
    except TraceError as error:
        refusal = click.ClickException(str(error))
        refusal.exit_code = 2
        raise refusal from None
    if as_json:
        click.echo(json.dumps(found.plain(), indent=1, ensure_ascii=False))
    else:
        make_console(100, highlight=False).print(render(found))
    sys.exit(1 if found.differing else 0)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def audit(settings: dict, as_json: bool) -> None:
    """Verify every file, manifest and number.

    Looks at all results of a scale; exits with 1 if anything is not as it should be.
    """
    from tesserae.audit.audit import audit as run
    from tesserae.audit.evidence import AuditError, Planned
    from tesserae.audit.findings import render
    from tesserae.audit.numbers import check
    from tesserae.config.stages import STAGES
    from tesserae.stages import claims as claimed
    from tesserae.stages import table
    from tesserae.workflow import staleness

    with tempfile.TemporaryDirectory() as memory:
        os.environ["TESSERAE_CACHE"] = memory  # an audit believes no cache of what modules mean
        plan = plan_of(settings)
        statuses = staleness.examine(plan, content=False)
        planned = {
            job.id: Planned(
                plan.fingerprint(job),
                STAGES[job.stage].files,
                {name: plan.reads(job, name) for name in job.inputs.values()},
                frozenset(plan.own(job).modules),
            )
            for job in plan.jobs.values()
        }
        try:
            report = run(
                plan.project.root,
                plan.scale,
                planned,
                why=lambda name: staleness.why(plan, statuses[name]),
                equivalents=plan.project.equivalents.equivalents,
                further=[check({"table": table.run, "claims": claimed.run})],
            )
        except AuditError as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    else:
        make_console(100).print(render(report))
    sys.exit(0 if report.clean else 1)


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--format", "form", type=click.Choice(["ro-crate"]), default="ro-crate", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option(
    "--light", is_flag=True, help="Describe files of more than 1 MB with path and hash; leave out their bytes."
)
@click.option("--no-files", is_flag=True, help="Describe all artifacts so; only code and configuration are copied.")
@click.pass_obj
def export(settings: dict, targets: tuple[str, ...], form: str, output: Path, light: bool, no_files: bool) -> None:
    """Write results and their lineage as an RO-Crate.

    TARGETS and everything upstream of them go into a folder that explains itself (default: the whole scale).

    A target is an artifact (<stage>/<recipe>), a table or figure, a table's cell, or a file below results/. The folder
    is a Workflow Run RO-Crate; open its ro-crate-preview.html.
    """
    from tesserae.lineage import crate
    from tesserae.lineage.targets import TraceError, resolve

    root, scale = settings["root"], scale_of(settings)
    try:
        found = [resolve(root, scale, target) for target in targets]
        scales = {target.scale for target in found} or {scale}
        if len(scales) > 1:
            raise click.ClickException(f"targets of several scales ({', '.join(sorted(scales))}): export one at a time")
        artifacts = list(dict.fromkeys(target.artifact for target in found)) or None
        limit = crate.LIGHT if light else None
        folder = crate.write(root, scales.pop(), artifacts, output, copy=not no_files, limit=limit)
    except (TraceError, crate.CrateError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{form}: {folder / crate.PREVIEW}")
