"""`tesserae mlflow`: runs as MLflow shows them."""

import click

from tesserae.cli.common import plan_of


@click.group()
def mlflow() -> None:
    """Show runs in MLflow."""


@mlflow.command()
@click.option("--uri", help="Tracking store (default: MLFLOW_TRACKING_URI, else mlflow.db in the project folder).")
@click.pass_obj
def sync(settings: dict, uri: str | None) -> None:
    """Turn manifests and curves into one MLflow run per artifact; what is there already is left alone."""
    from tesserae.tracking.store import StoreError
    from tesserae.tracking.sync import sync as run

    plan = plan_of(settings)
    try:
        added, present = run(plan.project.root, plan.scale, uri)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"MLflow: {added} runs added, {present} already there")


@mlflow.command()
@click.option("--uri", help="Tracking store (default: MLFLOW_TRACKING_URI, else mlflow.db in the project folder).")
@click.option("--every", type=float, default=5.0, show_default=True, help="Seconds between two looks.")
@click.pass_obj
def follow(settings: dict, uri: str | None, every: float) -> None:
    """Show trainings in MLflow while they run, until Ctrl-C. `reproduce` does so by itself."""
    from tesserae.tracking.follow import follow as run

    plan = plan_of(settings)
    try:
        run(plan.project.root, plan.scale, uri, every=every, until=lambda: False)
    except KeyboardInterrupt:
        click.echo("MLflow: stopped following")
