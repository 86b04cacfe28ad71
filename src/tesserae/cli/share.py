"""`tesserae share` and `pull`: results through DVC."""

import click

from tesserae.cli.common import artifact_of, plan_of, unless_refused


@click.command()
@click.pass_obj
def share(settings: dict) -> None:
    """Record results with DVC and push them.

    Also writes their index, lineage/<scale>.json; commit it with DVC's pointer.
    """
    from tesserae.workflow import sharing

    for line in unless_refused(sharing.share, plan_of(settings)):
        click.echo(line)


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--needed", is_flag=True, help="Only what the next `tesserae reproduce` reads.")
@click.pass_obj
def pull(settings: dict, targets: tuple[str, ...], needed: bool) -> None:
    """Fetch shared results.

    Everything, the artifacts or tables TARGETS, or what is needed.
    """
    from tesserae.workflow import sharing

    plan = plan_of(settings)
    names = [artifact_of(plan, target) for target in targets] or None
    fetched = unless_refused(sharing.pull, plan, names, needed)
    click.echo(
        f"fetched {len(fetched)}: {', '.join(fetched[:6])}{' …' if len(fetched) > 6 else ''}"
        if fetched
        else "nothing to fetch"
    )
