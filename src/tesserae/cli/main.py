"""`tesserae`: what a user asks about a project. The work itself is done by Snakemake.

Imports stay inside the commands, so that `tesserae --help` answers at once.
"""

import json
from pathlib import Path

import click

from tesserae.cli.audit import audit, compare, export, trace
from tesserae.cli.claims import claims
from tesserae.cli.common import Commands, artifact_of, make_console, paper_option, plan_of, targets_of, unless_refused
from tesserae.cli.data import data
from tesserae.cli.decide import decide
from tesserae.cli.mlflow import mlflow
from tesserae.cli.params import params
from tesserae.cli.plan import plan
from tesserae.cli.publish import publish
from tesserae.cli.reproduce import reproduce
from tesserae.cli.share import pull, share
from tesserae.cli.showing import note_libraries, remake_of, restorable, show_reasons, work
from tesserae.words import count


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tesserae", message="tesserae %(version)s")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Project folder (default: this one).",
)
@click.option("--scale", help="smoke, pocket, desk, released or paper (default: the scale of config/config.yaml).")
@click.pass_context
def main(context: click.Context, project: Path, scale: str | None) -> None:
    """Reproduce, change and audit the tables of visual-tokenizer papers: those of config/config.yaml."""
    from tesserae.config.errors import ConfigError
    from tesserae.workflow import home, own_code, streams

    home.speak_utf8()
    streams.adapt()
    home.settle(project.resolve())
    try:
        own_code.check(project.resolve())
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    context.obj = {"root": project.resolve(), "scale": scale}


@main.command()
@click.option("--remake", metavar="NAMES", help="As if these were asked for again.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--committed", is_flag=True, help="Without data: judge what `tesserae share` recorded; exit 1 if stale.")
@paper_option
@click.argument("targets", nargs=-1)
@click.pass_obj
def stale(
    settings: dict,
    remake: str | None,
    as_json: bool,
    committed: bool,
    papers: tuple[str, ...],
    targets: tuple[str, ...],
) -> None:
    """Show what would run, and what it costs.

    Of everything, or of TARGETS (artifacts, tables, figures, papers): with the time that it took the last time, and
    what would be restored instead.
    """
    from tesserae.workflow import sharing, showing, staleness

    plan = plan_of(settings)
    wanted = targets_of(plan, targets, papers)
    if committed:
        if wanted:
            raise click.UsageError("--committed judges all that was shared: name no targets with it")
        old = unless_refused(sharing.stale, plan)
        for line in old:
            click.echo(line)
        if old:
            raise click.ClickException(
                f"{len(old)} committed results are not what this code makes; run and share again"
            )
        click.echo(f"{sharing.index_file(plan)}: what is committed is what this code makes")
        return
    statuses = staleness.examine(plan, remake_of(plan, remake))
    run = staleness.to_run(plan, statuses, wanted)
    back = restorable(plan, statuses, run)
    if as_json:
        click.echo(json.dumps(showing.as_json(plan, statuses, run, back), indent=1, ensure_ascii=False))
        return
    if not run:
        of = f" of {', '.join((*papers, *targets))}" if wanted else ""
        click.echo(f"Nothing{of} is stale at scale {plan.scale}")
    else:
        make_console().print(showing.table(plan, statuses, run, back), markup=False)
        click.echo("`tesserae why` says what changed")
    note_libraries(statuses)


@main.command()
@click.argument("target", required=False)
@click.option("--remake", metavar="NAMES", help="As if these were asked for again.")
@click.pass_obj
def why(settings: dict, target: str | None, remake: str | None) -> None:
    """Say why artifacts would be made again.

    All of them, or TARGET (an artifact, a table, a figure, a paper) and what it is made from.
    """
    from tesserae.workflow import staleness

    plan = plan_of(settings)
    wanted = targets_of(plan, (target,) if target else ())
    statuses = staleness.examine(plan, remake_of(plan, remake))
    run = staleness.to_run(plan, statuses, wanted)
    if not run:
        click.echo(f"{wanted[0] if len(wanted) == 1 else target or 'Everything'} is current at scale {plan.scale}")
    else:
        click.echo(f"{count(len(run), 'artifact')} would run{work(plan, statuses, list(run))}")
        show_reasons(plan, statuses, run)
    note_libraries(statuses)


@main.command()
@click.argument("module")
@click.option("--why", "reason", required=True, help="What was reviewed, and why no number changes.")
@click.option("--by", help="Who reviewed it (default: git's user.name).")
@click.pass_obj
def equivalent(settings: dict, module: str, reason: str, by: str | None) -> None:
    """Record that an edit changes no number.

    What MODULE (tesserae.losses.perceptual) says now then counts as what it said, and nothing is made again for it.
    """
    from tesserae.workflow import equivalence

    plan = plan_of(settings)
    try:
        entries = equivalence.record(plan, module, reason, by)
    except equivalence.NotNeeded as error:
        raise click.ClickException(str(error)) from None
    for entry in entries:
        click.echo(f"{equivalence.EQUIVALENTS}: {entry}.")
    click.echo("Commit it with the edit.")


@main.command()
@click.argument("artifact")
@click.option("--json", "as_json", is_flag=True, help="Values only, as JSON.")
@click.pass_obj
def spec(settings: dict, artifact: str, as_json: bool) -> None:
    """Print the resolved spec of ARTIFACT.

    Every setting of <stage>/<recipe>, and where each value came from.
    """
    plan = plan_of(settings)
    job = plan.jobs[artifact_of(plan, artifact)]
    if as_json:
        click.echo(json.dumps(job.spec, indent=1, sort_keys=True))
        return
    from rich.table import Table

    from tesserae.lineage import changes

    table = Table(title=f"{job.id} at scale {plan.scale}", title_justify="left", box=None, pad_edge=False)
    for name in ("key", "value", "from"):
        table.add_column(name, overflow="fold")
    for key, value in changes.leaves(job.spec):
        table.add_row(key, json.dumps(value, ensure_ascii=False), changes.origin_of(job.origins, key))
    console = make_console(160)
    console.print(table, markup=False)
    for role, producer in job.inputs.items():
        console.print(f"reads {producer}" + (f" as {role}" if role != producer else ""), markup=False, highlight=False)
    console.print(
        f"fingerprint {plan.fingerprint(job)}\nfolder      {plan.folder(job.id)}", markup=False, highlight=False
    )


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("workflow/schemas"), show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files are not up to date.")
@click.pass_obj
def schema(settings: dict, folder: Path, check: bool) -> None:
    """Write JSON schemas of the configuration."""
    from tesserae.config.schemas import schemas

    folder = settings["root"] / folder
    stale = []
    for name, content in schemas().items():
        file, text = folder / f"{name}.json", json.dumps(content, indent=1, sort_keys=True) + "\n"
        if check and (not file.exists() or file.read_text(encoding="utf-8") != text):
            stale.append(file.name)
        elif not check:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if stale:
        raise click.ClickException(f"stale: {', '.join(stale)}; run `tesserae schema`")


@main.command("dvc-yaml")
@click.option("--check", is_flag=True, help="Write nothing; fail if the file is not up to date.")
@click.pass_obj
def dvc_yaml(settings: dict, check: bool) -> None:
    """Write dvc.yaml: what DVC compares between commits.

    All settings, and the tables and claims of the scale.
    """
    from tesserae.config.errors import ConfigError
    from tesserae.workflow.dvc_yaml import FILE, render
    from tesserae.workflow.plan import open_plan

    try:
        file, text = settings["root"] / FILE, render(open_plan(settings["root"], settings["scale"]))
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    if not check:
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise click.ClickException(f"{FILE} is not up to date; run `tesserae dvc-yaml`")


@main.command()
@click.pass_obj
def times(settings: dict) -> None:
    """Print how long each stage took.

    From the manifests, as Markdown.
    """
    from tesserae.lineage.manifest import NAME, read

    plan = plan_of(settings)
    stages: dict[str, list[dict]] = {}
    for job in plan.jobs.values():
        folder = plan.project.root / plan.folder(job.id)
        if (folder / NAME).exists():
            stages.setdefault(job.stage, []).append(read(folder))
    click.echo("| stage | jobs | seconds each | seconds in all | largest memory |\n|---|---:|---:|---:|---:|")
    for stage, records in stages.items():
        seconds = [record["seconds"] for record in records]
        peak = max(record["peak_mb"] for record in records)
        each = f"{min(seconds):.1f} to {max(seconds):.1f}" if len(seconds) > 1 else f"{seconds[0]:.1f}"
        click.echo(f"| {stage} | {len(seconds)} | {each} | {sum(seconds):.0f} | {peak} MB |")
    everything = [record for records in stages.values() for record in records]
    total = sum(record["seconds"] for record in everything)
    peak = max((record["peak_mb"] for record in everything), default=0)
    click.echo(f"| all | {len(everything)} | | {total:.0f} | {peak} MB |")


for command in (
    audit,
    claims,
    compare,
    data,
    decide,
    export,
    mlflow,
    params,
    plan,
    publish,
    pull,
    reproduce,
    share,
    trace,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
