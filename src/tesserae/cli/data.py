"""`tesserae data`: what real data sets there are, and whether they are as they should be."""

import sys
from pathlib import Path

import click

from tesserae.cli.common import make_console


@click.group()
def data() -> None:
    """Look at data sets (docs/data.md)."""


@data.command("list")
@click.pass_obj
def show(settings: dict) -> None:
    """Print the data sets of config/datasets.yaml and config/domains.yaml, and which of them are there."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("name", "provider", "root", "present"):
        table.add_column(name, overflow="fold")
    datasets, root = _configured(settings)
    for name, entry in datasets.items():
        place = _place(settings["root"], root, entry)
        present = "data.root is not set" if place is None else "yes" if place.exists() else "no"
        table.add_row(name, entry.provider, str(place or entry.root), present)
    make_console(140).print(table, markup=False)


@data.command()
@click.argument("name")
@click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="Pixels of the cache.")
@click.option("--deep", is_flag=True, help="Decode every image, and hash the archives that were kept.")
@click.pass_obj
def check(settings: dict, name: str, size: int, deep: bool) -> None:
    """Compare data set NAME with what was published.

    Layout, counts, hashes of annotation files, and free disk for its cache; exits with 1 and one message for each
    problem. Where nobody published a checksum, the first hash seen is kept in .tesserae/data and compared later.
    """
    from rich.table import Table

    from tesserae.data.checking import examine

    datasets, root = _configured(settings)
    if name not in datasets:
        known = f"config/datasets.yaml and config/domains.yaml have {', '.join(datasets)}"
        raise click.ClickException(f"no data set is called {name!r}; {known}")
    project, entry = settings["root"], datasets[name]
    place = _place(project, root, entry)
    if place is None:
        raise click.ClickException(
            f"data.root is not set in config/config.yaml: set it to the folder that holds {entry.root}/"
        )
    findings = list(
        examine(
            _provider(entry, place),
            _published(entry),
            size=size,
            folder=project / "results",
            record=project / ".tesserae" / "data" / f"{name}.json",
            deep=deep,
        )
    )
    table = Table(title=f"{name} in {place}", title_justify="left", box=None, pad_edge=False)
    for column in ("", "published or needed", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        if finding.what:
            table.add_row(finding.what, finding.published, finding.found, style="red" if finding.problem else None)
    make_console(140).print(table, markup=False)
    problems = [finding.problem for finding in findings if finding.problem]
    for problem in problems:
        click.echo(f"Problem: {problem}", err=True)
    sys.exit(1 if problems else 0)


def _configured(settings: dict) -> tuple[dict, Path | None]:
    """The data sets by name, those sets of domains that are files as well, and data.root."""
    from tesserae.config.domains import Domains
    from tesserae.config.errors import ConfigError
    from tesserae.config.files import read_yaml, validated
    from tesserae.config.types import Datasets, Settings

    project, file, user = settings["root"], Path("config/datasets.yaml"), Path("config/config.yaml")
    others = Path("config/domains.yaml")
    try:
        datasets = validated(Datasets, read_yaml(project / file), file).datasets
        sets = validated(Domains, read_yaml(project / others), others).sets
        datasets |= {name: entry for name, entry in sets.items() if hasattr(entry, "root")}
        root = validated(Settings, read_yaml(project / user), user).data.root
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    return datasets, None if root is None else project / Path(root).expanduser()


def _place(project: Path, root: Path | None, entry) -> Path | None:
    """Where a data set lies; None if that is not configured."""
    if entry.provider == "emoji":
        return project / entry.corpus
    return None if root is None else root / entry.root


def _provider(entry, place: Path):
    """The provider of an entry, as the stage `dataset` or `domain` opens it."""
    from tesserae.data.domains import DOMAINS, open_domain
    from tesserae.data.providers import open_provider

    if entry.provider in DOMAINS:
        return open_domain(entry.provider, root=place, **entry.model_dump(exclude={"provider", "root", "counts"}))
    described = {"provider", "root", "corpus", "counts", "train_images", "val_images"}
    kept = entry.model_dump(exclude=described)
    if entry.provider == "emoji":
        kept["label"] = kept.pop("labels")
        del kept["classes"]
    return open_provider(entry.provider, root=place, **kept)


def _published(entry) -> dict[str, int]:
    """The counts that an entry states; the embedded corpus has its checksum instead."""
    if entry.provider == "emoji":
        return {}
    return getattr(entry, "counts", None) or {"train": entry.train_images, "val": entry.val_images}
