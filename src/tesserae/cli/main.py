"""`tesserae`: what a user asks about a project. The work itself is done by Snakemake.

Imports stay inside the commands, so that `tesserae --help` answers at once.
"""

import json
import subprocess
import sys
from pathlib import Path

import click

from tesserae.cli.audit import audit, compare, export, trace
from tesserae.cli.claims import claims
from tesserae.cli.common import artifact_of, make_console, plan_of, unless_refused
from tesserae.cli.data import data
from tesserae.cli.mlflow import mlflow
from tesserae.cli.params import params
from tesserae.cli.plan import plan
from tesserae.cli.share import pull, share


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Project folder (default: this one).",
)
@click.option("--scale", help="smoke, pocket, desk, released or paper (default: the scale of config/config.yaml).")
@click.pass_context
def main(context: click.Context, project: Path, scale: str | None) -> None:
    """Reproduce, change and audit the tables of five visual-tokenizer papers."""
    context.obj = {"root": project.resolve(), "scale": scale}


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--remake", metavar="NAMES", help="Make these again: artifacts, tables, or `libraries`; comma-separated.")
@click.option("--confirm", metavar="TOKEN", help="Agree to an expensive run, as `tesserae reproduce` asked for it.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def reproduce(settings: dict, remake: str | None, confirm: str | None, arguments: tuple[str, ...]) -> None:
    """Bring everything up to date.

    Says what will run and why, restores what is in the cache, runs the rest and shows it in MLflow. ARGUMENTS go to
    snakemake.
    """
    from tesserae.tracking import follow as following
    from tesserae.workflow import launch, showing, staleness, store

    plan = plan_of(settings)
    root = plan.project.root
    asked = _remake(plan, remake)
    standings = staleness.examine(plan, asked)
    run = staleness.to_run(plan, standings)
    dry = any(argument in ("-n", "--dry-run", "--dryrun") for argument in arguments)
    if not dry and (back := _restorable(plan, standings, run)):
        back = store.restore(plan, standings, back)
        click.echo(f"Restored from the cache: {showing.short(back)}")
        standings = staleness.examine(plan, asked)
        run = staleness.to_run(plan, standings)
    again = launch.replaced(plan, standings, list(run))
    if run:
        remade = f", {len(again)} of them again" if again and len(again) < len(run) else ""
        click.echo(f"{len(run)} artifacts to make{remade}{_work(plan, standings, list(run))}")
    if again:
        _show_reasons(plan, standings, {name: run[name] for name in again}, most=6)
    _note_libraries(standings)
    if not dry:
        try:
            launch.confirm(plan, standings, list(run), confirm)
        except launch.Unconfirmed as question:
            if not sys.stdin.isatty():
                raise click.ClickException(str(question)) from None
            click.confirm(f"{question}\nGo on", abort=True)
            confirm = launch.token(plan, standings)
    command = [sys.executable, "-m", "snakemake", *arguments, "--quiet", "rules", "host"]
    given = {"scale": settings["scale"], "remake": remake, "confirm": confirm}
    if any(given.values()):
        command += ["--config", *(f"{key}={value}" for key, value in given.items() if value)]
    if dry:
        sys.exit(subprocess.run(command, cwd=root).returncode)
    follower = following.start_follower(root, plan.scale) if run else None
    try:
        failed = subprocess.run(command, cwd=root).returncode
    finally:
        if follower:
            following.stop(follower)
    _sync_if_new(root, plan.scale)
    page = root / plan.folder("report/index") / "index.html"
    if failed:
        raise click.ClickException(
            "the workflow did not finish; the log of each failed job is named above. "
            "Run the same command again to go on where it stopped."
        )
    click.echo(f"Everything at scale {plan.scale} is up to date: {page.relative_to(root)}")


@main.command()
@click.option("--remake", metavar="NAMES", help="As if these were asked for again.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--committed", is_flag=True, help="Without data: judge what `tesserae share` recorded; exit 1 if stale.")
@click.pass_obj
def stale(settings: dict, remake: str | None, as_json: bool, committed: bool) -> None:
    """Show what would run, and what it costs.

    With the time that it took the last time, and what would be restored instead.
    """
    from tesserae.workflow import sharing, showing, staleness

    plan = plan_of(settings)
    if committed:
        old = unless_refused(sharing.stale, plan)
        for line in old:
            click.echo(line)
        if old:
            raise click.ClickException(
                f"{len(old)} committed results are not what this code makes; run and share again"
            )
        click.echo(f"{sharing.index_file(plan)}: what is committed is what this code makes")
        return
    standings = staleness.examine(plan, _remake(plan, remake))
    run = staleness.to_run(plan, standings)
    back = _restorable(plan, standings, run)
    if as_json:
        click.echo(json.dumps(showing.as_json(plan, standings, run, back), indent=1, ensure_ascii=False))
        return
    if not run:
        click.echo(f"Nothing is stale at scale {plan.scale}")
    else:
        make_console().print(showing.table(plan, standings, run, back), markup=False)
        click.echo("`tesserae why` says what changed")
    _note_libraries(standings)


@main.command()
@click.argument("target", required=False)
@click.option("--remake", metavar="NAMES", help="As if these were asked for again.")
@click.pass_obj
def why(settings: dict, target: str | None, remake: str | None) -> None:
    """Say why artifacts would be made again.

    All of them, or TARGET and what it is made from.
    """
    from tesserae.workflow import staleness

    plan = plan_of(settings)
    wanted = [artifact_of(plan, target)] if target else None
    standings = staleness.examine(plan, _remake(plan, remake))
    run = staleness.to_run(plan, standings, wanted)
    if not run:
        click.echo(f"{wanted[0] if wanted else 'Everything'} is current at scale {plan.scale}")
    else:
        click.echo(f"{len(run)} artifacts would run{_work(plan, standings, list(run))}")
        _show_reasons(plan, standings, run)
    _note_libraries(standings)


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
        entry = equivalence.record(plan, module, reason, by)
    except equivalence.NotNeeded as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{equivalence.EQUIVALENTS}: {module} {entry.code} counts as {entry.same_as}. Commit it with the edit.")


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
        if check and (not file.exists() or file.read_text() != text):
            stale.append(file.name)
        elif not check:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    if stale:
        raise click.ClickException(f"stale: {', '.join(stale)}; run `tesserae schema`")


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


def _sync_if_new(root: Path, scale: str) -> None:
    from tesserae.tracking.store import StoreError
    from tesserae.tracking.sync import sync_if_new

    try:
        click.echo(sync_if_new(root, scale))
    except StoreError as error:
        click.echo(str(error), err=True)  # says itself that results are complete, and the remedy
    except Exception as error:  # tracking may never cost a result
        click.echo(
            f"MLflow: not synchronised ({type(error).__name__}: {error}); "
            "results are complete without it, `tesserae mlflow sync` tries again",
            err=True,
        )


def _remake(plan, wanted: str | None) -> tuple[str, ...]:
    from tesserae.workflow import launch

    try:
        return launch.remake(plan, wanted)
    except LookupError as error:
        raise click.ClickException(f"--remake: {error.args[0]}") from None


def _restorable(plan, standings: dict, run: dict[str, str]) -> list[str]:
    from tesserae.workflow import store

    try:
        return store.restorable(plan, standings, list(run))
    except store.NoRepository as error:
        click.echo(str(error), err=True)
        return []


def _show_reasons(plan, standings: dict, run: dict[str, str], most: int | None = None) -> None:
    from tesserae.workflow import showing

    groups = showing.reasons(plan, standings, run)
    for names, lines in groups[:most]:
        click.echo(f"{showing.short(names)}  ({showing.cost(plan, standings, names)})")
        for line in lines:
            click.echo(f"    {line}")
    if most and len(groups) > most:
        click.echo(f"and {sum(len(names) for names, _ in groups[most:])} artifacts for other reasons: `tesserae why`")


def _work(plan, standings: dict, names: list[str]) -> str:
    """`: 3 min 02 s of work the last time`, or nothing where nothing was ever made."""
    from tesserae.workflow import showing

    known = any(standing.record for standing in standings.values())
    return f": {showing.cost(plan, standings, names)} of work the last time" if known else ""


def _note_libraries(standings: dict) -> None:
    from tesserae.workflow import showing

    for line in showing.libraries(standings):
        click.echo(f"Note: {line}; `tesserae reproduce --remake libraries` makes them again")


for command in (audit, claims, compare, data, export, mlflow, params, plan, pull, share, trace):
    main.add_command(command)

if __name__ == "__main__":
    main()
