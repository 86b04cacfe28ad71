"""`tesserae claims`: which claims of the papers the measured numbers bear out, in the terminal.

Imports stay inside the command, so that `tesserae --help` answers at once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tesserae.cli.common import make_console, plan_of

COLOURS = {
    "reproduced": "green",
    "contradicted": "red",
    "absent": "magenta",
    "inconclusive": "default",
    "not run": "dim",
}


@click.command()
@click.option("--scale", help="The scale to tell of (default: as for all commands).")
@click.option("--so-far", is_flag=True, help="By the numbers there are, also while a run goes on.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("paper", required=False)
@click.pass_obj
def claims(settings: dict, scale: str | None, so_far: bool, as_json: bool, paper: str | None) -> None:
    """Show which claims the measured numbers bear out.

    Those of all papers, or of PAPER (detok), as `tesserae reproduce` evaluated them last; or by what was measured so
    far.
    """
    from tesserae.config.errors import ConfigError
    from tesserae.config.files import read_yaml, validated
    from tesserae.config.types import Settings
    from tesserae.reporting import claims_files

    root, file = settings["root"], Path("config/config.yaml")
    try:
        settings_ = validated(Settings, read_yaml(root / file), file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    scale = scale or settings["scale"] or settings_.scale
    if paper and paper not in settings_.papers:
        raise click.ClickException(f"no paper {paper!r}; config/config.yaml has {', '.join(settings_.papers)}")
    names = [paper] if paper else settings_.papers
    found = _so_far(settings | {"scale": scale}, names) if so_far else _evaluated(root, scale, names)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for one in found:
        _show(one)
    if len(found) > 1 and (together := claims_files.over_papers(found)):
        click.echo(f"All papers: {together}")


def _evaluated(root: Path, scale: str, papers: Sequence[str]) -> list[dict[str, Any]]:
    """claims.json of each paper as it was made last; of several papers, those that have one."""
    found = []
    for name in papers:
        made = Path("results", scale, "claims", name, "claims.json")
        if (root / made).is_file():
            one = json.loads((root / made).read_text(encoding="utf-8"))
            if "after_holm" not in one:  # written by code that knew fewer verdicts
                raise click.ClickException(f"{made} is outdated: `tesserae --scale {scale} reproduce {made}`")
            found.append(one)
        elif len(papers) == 1:
            raise click.ClickException(
                f"{made} is not there: run `tesserae --scale {scale} reproduce {made}`, which makes it"
            )
        else:
            click.echo(f"{name}: not evaluated at scale {scale}; `tesserae --scale {scale} reproduce {made}`", err=True)
    return found


def _so_far(settings: dict, papers: Iterable[str]) -> list[dict[str, Any]]:
    """What claims.json of each paper would hold, by the numbers that are there or were published so far."""
    from tesserae.publishing import so_far

    plan = plan_of(settings)
    return [found for paper in papers if (found := so_far.judged(plan, paper))]


def _show(found: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tesserae.reporting.claims import MARKS
    from tesserae.reporting.claims_files import after, badge_rows, bracket, notes, p_in_words, signed

    console = make_console(150, highlight=False)
    (badge,) = badge_rows([found])
    console.print(f"[bold]{escape(badge['paper'])}[/] at scale {escape(badge['scale'])}: {badge['verdicts']}\n")
    table = Table(box=None, header_style="dim", pad_edge=False, expand=True)
    for name in ("verdict", "after Holm", "claim", "effect", "95 % interval", "p", "relative", "in print"):
        left = name in ("verdict", "after Holm", "claim")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # as much of the claim's words as there is room for
    for record in found["claims"]:
        word, effect = record["verdict"], record["effect"]
        table.add_row(
            f"[{COLOURS[word]}]{MARKS[word]} {word}[/]",
            after(record),
            escape(record["id"]),
            signed(effect["mean"]) if effect else "",
            escape(bracket(effect)) if effect else "",
            p_in_words(record["p"]),
            signed(record["relative"], percent=True),
            signed(record["published"]["relative"], percent=True) if record["published"] else "plotted",
            escape(record["claim"]),
        )
    console.print(table)
    console.print()
    for note in notes(found):
        console.print(f"[dim]{escape(note)}[/]")
