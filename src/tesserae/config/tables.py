"""Tables of a paper held against its published file when the configuration is read, before anything is trained."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.config.published import PublishedError, read
from tesserae.config.types import Paper, Table


def wrong_labels(root: Path, paper: Paper, file: Path) -> Iterator[ConfigError]:
    """Labels and columns that the paper does not print and that are not declared as ours, and the reverse.

    `file` is the paper's own. ConfigError if the published file cannot be read.
    """
    try:
        lines = read(root / paper.published)
    except PublishedError as error:
        raise ConfigError(paper.published, "", str(error), "mend the line") from None
    tables = {line["table"] for line in lines}
    for name, table in paper.tables.items():
        printed = [line for line in lines if line["table"] == table.source]
        key = f"tables.{name}"
        if not table.own and printed:
            yield from _unlike(table, printed, file, key, paper.published)
        elif not table.own:
            what = f"{paper.published} has no table {table.source!r}"
            remedy = f"{_nearest(table.source, tables)}; or `own: true` for a table that no paper prints"
            yield ConfigError(file, f"{key}.source", what, remedy)
        elif printed:
            what = f"{paper.published} has numbers of {table.source}, which is a table of ours"
            yield ConfigError(file, f"{key}.own", what, "remove them, or `own`")


def _unlike(table: Table, lines: list[dict], file: Path, key: str, published: str) -> Iterator[ConfigError]:
    """Where a table that the paper prints is not as it prints it; lines: those of the published file, at least one."""
    rows, columns = {line["row"] for line in lines}, {line["column"]: line["direction"] for line in lines}
    for row, label in table.rows.items():
        own = row in table.own_rows
        yield from _wrong(table, "row", label, rows, own, f"own_rows: [{row}]", file, f"{key}.rows.{row}")
    for label in table.published_rows:
        if _plain(label) not in rows:
            what = f"{table.source} has no row {label!r}"
            yield ConfigError(file, f"{key}.published_rows", what, _nearest(label, rows))
    for name, column in table.columns.items():
        where = f"{key}.columns.{name}"
        yield from _wrong(table, "column", name, columns, column.own, "own: true", file, where)
        told = columns.get(_plain(name), column.direction)
        if told != column.direction:
            what = f"{column.direction!r}, but {told!r} in {published}"
            yield ConfigError(file, f"{where}.direction", what, f"write {told}")


def _wrong(
    table: Table, what: str, name: str, printed: Collection[str], own: bool, declaration: str, file: Path, key: str
) -> Iterator[ConfigError]:
    """A row or column is either printed or declared as ours, never both and never neither."""
    if own and _plain(name) in printed:
        problem = f"{table.source} prints the {what} {name!r}, which is declared as ours"
        yield ConfigError(file, key, problem, f"take {declaration} out")
    if not own and _plain(name) not in printed:
        remedy = f"{_nearest(name, printed)}; or {declaration} for a {what} of ours"
        yield ConfigError(file, key, f"{table.source} has no {what} {name!r}", remedy)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4) or sorted(known)
    return f"one of {', '.join(map(repr, close))}"
