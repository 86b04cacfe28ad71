"""What `reproduce`, `stale` and `why` share: names to make again, what is in the cache, and the reasons in words."""

import click

from tesserae.words import count, duration


def remake_of(plan, wanted: str | None) -> tuple[str, ...]:
    from tesserae.workflow import launch

    try:
        return launch.remake(plan, wanted)
    except LookupError as error:
        raise click.ClickException(f"--remake: {error.args[0]}") from None


def restorable(plan, statuses: dict, run: dict[str, str]) -> list[str]:
    from tesserae.workflow import store

    try:
        return store.restorable(plan, statuses, list(run))
    except store.NoRepository as error:
        click.echo(str(error), err=True)
        return []


def show_reasons(plan, statuses: dict, run: dict[str, str], most: int | None = None) -> None:
    from tesserae.workflow import showing

    groups = showing.reasons(plan, statuses, run)
    for names, lines in groups[:most]:
        click.echo(f"{showing.short(names)}  ({showing.cost(plan, statuses, names)})")
        for line in lines:
            click.echo(f"    {line}")
    if most and len(groups) > most:
        click.echo(f"and {sum(len(names) for names, _ in groups[most:])} artifacts for other reasons: `tesserae why`")


def work(plan, statuses: dict, names: list[str]) -> str:
    """`: 3 min 02 s of work the last time`, with how many never ran; nothing where nothing was ever made."""
    from tesserae.workflow import showing

    if not any(status.record for status in statuses.values()):
        return ""
    known, unknown = showing.taken(plan, statuses, names)
    if known is None:
        return ": how long it takes is not known, nothing of the kind ran here yet"
    new = f", and {count(unknown, 'artifact')} of which no time is known" if unknown else ""
    return f": {duration(known)} of work the last time{new}"


def note_libraries(statuses: dict) -> None:
    from tesserae.workflow import showing

    for line in showing.libraries(statuses):
        click.echo(f"Note: {line}; `tesserae reproduce --remake libraries` makes them again")
