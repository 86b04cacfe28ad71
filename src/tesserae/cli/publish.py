"""`tesserae publish`: results that a reader of the repository sees without running anything."""

from typing import Any

import click

from tesserae.cli import prices
from tesserae.cli.common import paper_option, plan_of


@click.command()
@click.option(
    "--check", is_flag=True, help="Write nothing; say what no longer belongs to the present code; exit 1 if so."
)
@click.option(
    "--so-far", is_flag=True, help="What is finished of papers that were run in part, and what the rest costs."
)
@click.option("--as-made", is_flag=True, help="Also what the present code would make otherwise.")
@paper_option
@click.pass_obj
def publish(settings: dict, check: bool, so_far: bool, as_made: bool, papers: tuple[str, ...]) -> None:
    """Write tables, figures and claims to docs/results.

    From the results of the scale; nothing is run for it. Also the block of README.md that shows them.
    """
    from tesserae.publishing import fingerprints, results

    plan = plan_of(settings)
    if unknown := [paper for paper in papers if paper not in plan.project.papers]:
        raise click.ClickException(f"no paper {unknown[0]!r}; there are {', '.join(plan.project.papers)}")
    try:
        if not check:
            for line in results.publish(plan, papers, as_made, (lambda names: _left(plan, names)) if so_far else None):
                click.echo(line)
            return
        lines, notes = results.check(plan, papers)
    except (results.NotPublished, ValueError) as error:
        raise click.ClickException(str(error)) from None
    for line in [*lines, *(f"Note: {note}" for note in notes)]:
        click.echo(line)
    where = fingerprints.folder(plan)
    if lines:
        raise click.ClickException(
            f"{where} is not what the present code makes: `tesserae --scale {plan.scale} reproduce`, then "
            f"`tesserae --scale {plan.scale} publish`"
        )
    click.echo(f"{where} is what the present code makes")


def _left(plan: Any, names: list[str]) -> dict[str, Any]:
    """What jobs that are not run cost; nothing, and a note, if nothing says how long they take."""
    from tesserae.workflow.graph.job import upstream

    behind = upstream(plan.jobs, names)
    try:
        found = prices.hours(plan, {name: job for name, job in plan.jobs.items() if name in behind})
    except ValueError as error:
        click.echo(f"Note: what the rest costs is not known: {error}", err=True)
        return {}
    return {"hours": round(sum(found[name] for name in names), 2), "unit": prices.unit(plan)}
