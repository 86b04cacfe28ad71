"""What all commands share: the plan or the scale they are about, and a console."""

import sys
from pathlib import Path

import click

paper_option = click.option(
    "--paper", "papers", metavar="PAPER", multiple=True, help="One paper alone; again for another one."
)


class Commands(click.Group):
    """Commands whose errors of configuration and of rights are messages, not tracebacks."""

    def invoke(self, context: click.Context):
        from tesserae.config.errors import ConfigError
        from tesserae.workflow import rights

        try:
            return super().invoke(context)
        except ConfigError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            if complaint := rights.complaint(error):
                raise click.ClickException(complaint) from None
            raise


def scale_of(settings: dict) -> str:
    """The scale asked for. Reads no recipe: what was made can be looked at whatever the recipes say by now."""
    from tesserae.config.errors import ConfigError
    from tesserae.config.files import read_yaml, validated
    from tesserae.config.types import Settings

    file = Path("config/config.yaml")
    try:
        return settings["scale"] or validated(Settings, read_yaml(settings["root"] / file), file).scale
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def plan_of(settings: dict):
    """The plan of the project and the scale asked for."""
    from tesserae.config.errors import ConfigError
    from tesserae.workflow.plan import read_plan

    try:
        return read_plan(settings["root"], settings["scale"])
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def targets_of(plan, targets: tuple[str, ...], papers: tuple[str, ...] = ()) -> list[str]:
    """The artifacts that a user's targets and papers mean; none if nothing was named."""
    from tesserae.workflow import launch

    try:
        named = [*launch.papers(plan, papers), *targets]
        return launch.wanted(plan, named) if named else []
    except LookupError as error:
        raise click.ClickException(str(error.args[0])) from None


def artifact_of(plan, target: str) -> str:
    """The artifact that a user names."""
    try:
        return plan.find(target)
    except LookupError as error:
        raise click.ClickException(str(error.args[0])) from None


def unless_refused(action, *arguments):
    """Run something that fetches or shares; its refusals are messages, not tracebacks."""
    from tesserae.workflow.sharing import NotShared

    try:
        return action(*arguments)
    except NotShared as error:
        raise click.ClickException(str(error)) from None


def make_console(width: int = 110, highlight: bool = True):
    """As wide as the terminal, or of a fixed width where nobody looks."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=highlight)
