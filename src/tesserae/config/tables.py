"""Tables of a paper held against its published file when the configuration is read, before anything is trained."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.config.published import PublishedError, read
from tesserae.config.types import Paper, Table


def read_printed(root: Path, paper: Paper, file: Path) -> list[dict]:
    """The lines of a paper's published file; ConfigError, at the paper's own `file`, if there is none, or at a line."""
    try:
        return read(root / paper.published)
    except FileNotFoundError:
        remedy = "create it, or mend `published`"
        raise ConfigError(file, "published", f"no such file: {paper.published}", remedy) from None
    except PublishedError as error:
        raise ConfigError(Path(paper.published), "", str(error), "mend the line") from None


def wrong_labels(paper: Paper, file: Path, lines: list[dict]) -> Iterator[ConfigError]:
    """Labels and columns that the paper does not print and that are not declared as ours, and the reverse.

    `file` is the paper's own, `lines` are those of its published file.
    """
    for name, table in paper.tables.items():
        printed = [line for line in lines if line["table"] == table.source]
        key = f"tables.{name}"
        if not table.own:
            yield from _printed(table, printed, {line["table"] for line in lines}, file, key, paper.published)
        elif printed:
            what = f"{paper.published} has numbers of {table.source}, which is a table of ours"
            yield ConfigError(file, f"{key}.own", what, "remove them, or `own`")


def _printed(
    table: Table, lines: list[dict], tables: set[str], file: Path, key: str, published: str
) -> Iterator[ConfigError]:
    if not lines:
        what = f"{published} has no table {table.source!r}"
        remedy = f"{_nearest(table.source, tables)}; or `own: true` for a table that no paper prints"
        yield ConfigError(file, f"{key}.source", what, remedy)
        return
    rows, columns = {line["row"] for line in lines}, {line["column"]: line["direction"] for line in lines}
    for row, label in table.rows.items():
        own = row in table.own_rows
        yield from _wrong_name(table, "row", label, rows, own, f"own_rows: [{row}]", file, f"{key}.rows.{row}")
    for label in table.published_rows:
        if _plain(label) not in rows:
            what = f"{table.source} has no row {label!r}"
            yield ConfigError(file, f"{key}.published_rows", what, _nearest(label, rows))
    for name, column in table.columns.items():
        where = f"{key}.columns.{name}"
        yield from _wrong_name(table, "column", name, columns, column.own, "own: true", file, where)
        direction = columns.get(_plain(name), column.direction)
        if direction != column.direction:
            what = f"{column.direction!r}, but {direction!r} in {published}"
            yield ConfigError(file, f"{where}.direction", what, f"write {direction}")


def _wrong_name(
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
