"""`tesserae decide`: which claims more seeds would decide in some hours, as a change of the scale's file.

Imports stay inside the command, so that `tesserae --help` answers at once.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tesserae.cli import prices
from tesserae.cli.common import make_console, paper_option

if TYPE_CHECKING:
    from tesserae.deciding.proposing import Proposal

CAP = 20  # seeds


@click.command()
@click.option("--hours", type=click.FloatRange(min=0), required=True, help="CPU-hours to spend; of a GPU's, GPU-hours.")
@click.option("--cap", type=click.IntRange(min=2), default=CAP, show_default=True, help="The most seeds of a recipe.")
@click.option("--so-far", is_flag=True, help="By the numbers there are, of a scale that was run in part.")
@click.option("--write", is_flag=True, help="Change the scale's file as proposed.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@paper_option
@click.pass_obj
def decide(
    settings: dict, hours: float, cap: int, so_far: bool, write: bool, as_json: bool, papers: tuple[str, ...]
) -> None:
    """Propose the seeds that would decide most claims.

    For each claim without a verdict, how many seeds would show the published effect with a chance of 80 %; of these
    claims the ones that fit in so many hours, cheapest first; and the change of the scale's file that asks for their
    seeds. Nothing runs.
    """
    from tesserae.deciding.proposing import propose
    from tesserae.deciding.scale_file import difference, with_seeds
    from tesserae.workflow.plan import open_plan

    planned = open_plan(settings["root"], settings["scale"])
    evaluated = (_so_far if so_far else _evaluated)(planned, papers)
    if not as_json and sys.stderr.isatty():
        click.echo("Counting (a minute the first time) ...", err=True)
    try:
        proposal = propose(
            planned.project, planned.jobs, evaluated, lambda jobs: prices.hours(planned, jobs), budget=hours, cap=cap
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    file = planned.project.root / planned.project.context.scale_file
    old = file.read_text(encoding="utf-8")
    new = with_seeds(old, proposal.seeds) if proposal.seeds else old
    changes = difference(old, new, planned.project.context.scale_file.as_posix())
    if write and changes:
        file.write_text(new, encoding="utf-8", newline="\n")
    if as_json:
        click.echo(json.dumps(_plain(proposal, hours, changes), indent=1, ensure_ascii=False))
        return
    _show(proposal, planned, hours)
    if changes:
        click.echo(f"\n{changes}")
        click.echo(
            f"Written: `tesserae --scale {planned.scale} reproduce` runs it"
            if write
            else f"`tesserae --scale {planned.scale} decide --hours {hours:g} --write` accepts it"
        )


def _evaluated(planned: Any, papers: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Paper -> content of its claims.json; an error with the command that makes it if there is none that counts."""
    from tesserae.lineage import manifest

    root, found = planned.project.root, {}
    known = _known(planned, papers)
    for paper in papers or known:
        job = planned.jobs[f"claims/{paper}"]
        folder = planned.folder(job.id)
        problem = None
        if not (root / folder / "claims.json").is_file():
            problem = "not evaluated"
        elif manifest.read(root / folder)["spec"] != json.loads(json.dumps(job.spec)):
            problem = "evaluated with other settings or seeds than there are now"
        if problem is None:
            found[paper] = json.loads((root / folder / "claims.json").read_text(encoding="utf-8"))
            continue
        said = (
            f"{paper}: {problem} at scale {planned.scale}; `tesserae --scale {planned.scale} reproduce {job.id}`, or "
            "`--so-far` for the numbers there are"
        )
        if papers or len(known) == 1:
            raise click.ClickException(said)
        click.echo(said, err=True)
    if not found:
        raise click.ClickException("no paper's claims are evaluated: run one of these commands first")
    return found


def _known(planned: Any, papers: tuple[str, ...]) -> list[str]:
    """The papers with claims; an error for one of `papers` that is none of them."""
    known = [paper for paper in planned.project.papers if f"claims/{paper}" in planned.jobs]
    if unknown := [paper for paper in papers if paper not in known]:
        raise click.ClickException(f"no claims of {unknown[0]!r}; there are those of {', '.join(known)}")
    return known


def _so_far(planned: Any, papers: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Paper -> what its claims.json would hold by the numbers there are."""
    from tesserae.publishing import so_far

    known = _known(planned, papers)
    return {paper: so_far.judged(planned, paper) for paper in papers or known}


# ---- what is shown ----------------------------------------------------------------------------------------------


def _plain(proposal: "Proposal", budget: float, changes: str) -> dict[str, Any]:
    def lines(some: list) -> list[dict[str, Any]]:
        return [
            {
                "paper": line.needed.claim.paper,
                "claim": line.needed.claim.id,
                "sought": line.needed.sought,
                "sd": line.needed.sd,
                "sd_from": line.needed.basis,
                "seeds": line.needed.claim.seeds,
                "enough": line.needed.seeds,
                "proposed": line.seeds,
                "hours": line.hours,
            }
            for line in some
        ]

    return {
        "budget": budget,
        "hours": proposal.hours,
        "jobs": proposal.jobs,
        "decided": proposal.decided,
        "paired_variance": proposal.paired,
        "chosen": lines(proposal.chosen),
        "unaffordable": lines(proposal.unaffordable),
        "left": [entry._asdict() for entry in proposal.left],
        "seeds": proposal.seeds,
        "diff": changes,
    }


def _show(proposal: "Proposal", planned: Any, budget: float) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tesserae.deciding.undecided import NOT_RUN
    from tesserae.words import count

    console = make_console(130, highlight=False)
    unit = prices.unit(planned)
    undecided = [entry for entry in proposal.left if entry.verdict != NOT_RUN]
    open_ = len(proposal.chosen) + len(proposal.unaffordable) + len(undecided)
    console.print(
        f"[bold]{planned.scale}[/]: {count(proposal.decided, 'claim')} decided, {open_} open, "
        f"{len(proposal.left) - len(undecided)} not run. [bold]{len(proposal.chosen)}[/] of the open ones in "
        f"{budget:g} {unit}: {count(proposal.jobs, 'new job')}, {proposal.hours:,.2f} {unit}\n"
    )
    for title, lines in (("Chosen", proposal.chosen), ("More than the hours", proposal.unaffordable)):
        if not lines:
            continue
        table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
        for name in ("claim", "verdict", "effect sought", "sd", "sd from", "seeds", "hours"):
            right = name in ("effect sought", "sd", "hours")
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for line in lines:
            found = line.needed
            table.add_row(
                escape(f"{found.claim.paper} {found.claim.id}"),
                "inconclusive",
                f"{found.sought:.4g}",
                f"{found.sd:.4g}",
                found.basis,
                f"{found.claim.seeds} → {line.seeds}" + (f" ({found.seeds})" if found.seeds < line.seeds else ""),
                f"{line.hours:,.2f}",
            )
        console.print(table)
        console.print()
    console.print(
        "[dim]effect sought: the published relative effect at the size of the measured numbers. sd: of the differences "
        "between seeds. seeds: what is there → when it is judged next (in brackets: what is enough for 80 %). hours: "
        "what a line adds to those above it; jobs that several claims share are paid for once.[/]"
    )
    if proposal.paired is not None:
        console.print(
            f"[dim]Pairing by seed: differences have {proposal.paired:.0%} of the variance that they would have if "
            "recipes shared nothing.[/]"
        )
    for title, some in (
        ("Not for more seeds", undecided),
        ("Not run", [entry for entry in proposal.left if entry.verdict == NOT_RUN]),
    ):
        if some:
            console.print(f"\n[bold]{title}[/]")
            reasons: dict[str, list[str]] = {}
            for entry in some:
                reasons.setdefault(entry.reason, []).append(f"{entry.paper} {entry.id}")
            for reason, names in reasons.items():
                console.print(f"[dim]- {escape(reason)}: {escape(', '.join(names))}[/]")
