"""`tesserae`: what a user asks about a project. The work itself is done by Snakemake.

Imports stay inside the commands, so that `tesserae --help` answers at once.
"""

import json
import sys
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Project folder (default: this one).",
)
@click.option("--scale", help="smoke, pocket, desk or paper (default: the scale of config/config.yaml).")
@click.pass_context
def main(context: click.Context, project: Path, scale: str | None) -> None:
    """Reproduce, change and audit the tables of five visual-tokenizer papers."""
    context.obj = {"root": project.resolve(), "scale": scale}


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def reproduce(settings: dict, arguments: tuple[str, ...]) -> None:
    """Run the workflow (ARGUMENTS go to snakemake), then show what it made in MLflow, also after a failure."""
    import subprocess

    from tesserae.workflow.tracking import sync_if_new

    plan = _plan(settings)
    root = plan.project.root
    command = [sys.executable, "-m", "snakemake", "--quiet", "rules", "host", *arguments]
    if settings["scale"]:
        command += ["--config", f"scale={settings['scale']}"]
    failed = subprocess.run(command, cwd=root).returncode
    try:
        click.echo(sync_if_new(root, plan.scale))
    except Exception as error:  # tracking may never cost a result
        click.echo(
            f"MLflow: not synchronised ({type(error).__name__}: {error}); "
            "results are complete without it, `tesserae mlflow sync` tries again",
            err=True,
        )
    page = root / plan.folder("report/index") / "index.html"
    if failed:
        raise click.ClickException(
            "the workflow did not finish; the log of each failed job is named above. "
            "Run the same command again to go on where it stopped."
        )
    click.echo(f"Everything at scale {plan.scale} is up to date: {page.relative_to(root)}")


@main.command()
@click.argument("artifact")
@click.option("--json", "as_json", is_flag=True, help="Values only, as JSON.")
@click.pass_obj
def spec(settings: dict, artifact: str, as_json: bool) -> None:
    """Print the resolved spec of ARTIFACT (<stage>/<recipe>) and where each value came from."""
    plan = _plan(settings)
    job = plan.jobs.get(artifact)
    if job is None:
        stage = artifact.split("/")[0]
        near = [name for name in plan.jobs if name.startswith(stage + "/")] or sorted(
            {j.stage for j in plan.jobs.values()}
        )
        raise click.ClickException(f"no artifact {artifact!r} at scale {plan.scale}; there are: {', '.join(near)}")
    if as_json:
        click.echo(json.dumps(job.spec, indent=1, sort_keys=True))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{job.id} at scale {plan.scale}", title_justify="left", box=None, pad_edge=False)
    for name in ("key", "value", "from"):
        table.add_column(name, overflow="fold")
    for key, value in _leaves(job.spec):
        table.add_row(key, json.dumps(value, ensure_ascii=False), job.origins.get(key) or _parent(job.origins, key))
    console = Console(width=None if sys.stdout.isatty() else 160)
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
    """Write the JSON schemas of the configuration files, for editors."""
    from tesserae.config.recipes import schema as schemas

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
    """Print how long each stage took, from the manifests, as Markdown."""
    from tesserae.lineage.manifest import NAME, read

    plan = _plan(settings)
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


@main.group()
def mlflow() -> None:
    """Show runs in MLflow."""


@mlflow.command()
@click.option("--uri", help="Tracking store (default: MLFLOW_TRACKING_URI, else mlflow.db in the project folder).")
@click.pass_obj
def sync(settings: dict, uri: str | None) -> None:
    """Turn manifests and curves into one MLflow run per artifact; what is there already is left alone."""
    from tesserae.workflow.tracking import sync as run

    plan = _plan(settings)
    added, present = run(plan.project.root, plan.scale, uri)
    click.echo(f"MLflow: {added} runs added, {present} already there")


def _plan(settings: dict):
    from tesserae.config.errors import ConfigError
    from tesserae.workflow.plan import read_plan

    try:
        return read_plan(settings["root"], settings["scale"])
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _leaves(nested: dict, prefix: str = ""):
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parent(origins: dict[str, str], key: str) -> str:
    """Origin of the nearest enclosing key: some settings come as a whole."""
    while "." in key:
        key = key.rpartition(".")[0]
        if key in origins:
            return origins[key]
    return ""


if __name__ == "__main__":
    main()
