"""What a paper shows, against what is measured, drawn and printed: mistakes are found before anything runs.

Tables name artifacts and their numbers, figures name a kind and the artifacts it is drawn from, claims name cells of
tables and points of figures.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tesserae.config.claims import Claim
from tesserae.config.errors import ConfigError
from tesserae.config.figures import KINDS, Kind
from tesserae.config.resolve import ResolvedRecipe
from tesserae.config.stages import METRICS, SEARCHED, STAGES
from tesserae.config.types import Column, Figure, Paper, Table

Cell = tuple[str, str, str]  # table, row label and column of the published file
KEY = ("table", "row", "column")
TABLED = [name for name, stage in STAGES.items() if stage.numbers == METRICS]  # stages whose numbers a table can show
SEARCH, STATED = "search", "settings"  # a stage of sweeps, and the one of what recipes say
# What the stage `settings` adds to the numbers that a recipe says.
FOLLOWING = (
    "width",
    "patch_tokens",
    "tokens",
    "vocabulary",
    "code_values",
    "guidance.smallest",
    "guidance.largest",
    "guidance.step",
    "guidance.unguided_percent",
)


class Number(NamedTuple):
    """A number that this project measures."""

    artifact: str
    value: str  # its name there
    varies: tuple[str, ...] = ()  # in what numbers of its column may be measured otherwise


# ---- what claims speak of ---------------------------------------------------------------------------------------


def is_cited(paper: Paper, source: str, row: str) -> bool:
    """Whether a row of a table has printed numbers and nothing of it is run."""
    return any(table.source == source and row in table.published_rows for table in paper.tables.values())


def number_behind(paper: Paper, source: str, row: str, column: str) -> Number | None:
    """Ours for a printed one, if a table or a figure shows it; a figure's rows are `group | row`."""
    for table in paper.tables.values():
        key = _key_of(table.rows, row)
        if table.source == source and key and column in table.columns:
            shown = table.columns[column]
            if key in _rows(table, shown):
                return Number(shown.of(key), shown.values.get(key, shown.value), tuple(shown.varies))
    group, _, label = row.partition(" | ")
    for figure in paper.figures.values():
        key = _key_of(figure.rows, label)
        if figure.source == source and key and SEARCH in figure.inputs.get(group, {}) and column.lower() in SEARCHED:
            return Number(figure.inputs[group][SEARCH].format(row=key), f"search:cfg:{column.lower()}")
    return None


def printed_cells(lines: Iterable[Mapping[str, str]]) -> frozenset[Cell]:
    """Table, row and column of every line of a published file, blanks included."""
    return frozenset(tuple(line[name] for name in KEY) for line in lines)


def wrong_claims(paper: Paper, claims: Iterable[Claim], file: Path, printed: frozenset[Cell]) -> Iterator[ConfigError]:
    """Claims about numbers that are neither printed nor measured."""
    for claim in claims:
        for cell in claim.cells():
            if cell not in printed and number_behind(paper, *cell) is None:
                yield ConfigError(file, claim.id, *_why_not(paper, cell, printed))


def _why_not(paper: Paper, cell: Cell, printed: frozenset[Cell]) -> tuple[str, str]:
    """Problem and remedy of a number that is neither printed nor measured."""
    source, row, column = cell
    ours = {cell for table in paper.tables.values() for cell in _cells(table)}
    ours |= {cell for figure in paper.figures.values() for cell in _points(figure)}
    known = printed | ours
    for name, wanted, found in (
        ("table or figure", source, {table for table, _, _ in known}),
        (f"row of {source}", row, {label for table, label, _ in known if table == source}),
        (f"column of {source}", column, {name for table, _, name in known if table == source}),
    ):
        if wanted not in found:
            return f"there is no {name} named {wanted!r}", f"one of {_list(found)}"
    has = {name for table, label, name in known if (table, label) == (source, row)}
    return f"no stage measures {column!r} of {row!r} in {source}", f"of this row there are {_list(has)}"


def _cells(table: Table) -> Iterator[Cell]:
    for name, column in table.columns.items():
        for key in _rows(table, column):
            if key in table.rows:
                yield table.source, table.rows[key], name


def _points(figure: Figure) -> Iterator[Cell]:
    if figure.source is not None:
        for group, roles in figure.inputs.items():
            for label in figure.rows.values() if SEARCH in roles else ():
                for statistic in SEARCHED:
                    yield figure.source, f"{group} | {label}", statistic.upper()


# ---- tables -----------------------------------------------------------------------------------------------------


def wrong_tables(paper: Paper, file: Path, recipes: Mapping[str, ResolvedRecipe]) -> Iterator[ConfigError]:
    """Columns that name rows that the table has not, artifacts without numbers, or numbers that are not measured."""
    for name, table in paper.tables.items():
        for heading, column in table.columns.items():
            where = f"tables.{name}.columns.{heading}"
            for part in ("rows", "values", "artifacts"):
                yield from _unknown_rows(getattr(column, part) or (), table.rows, file, f"{where}.{part}")
            for row in _rows(table, column):
                if row in table.rows:
                    yield from _wrong_cell(column, row, file, where, recipes)


def _wrong_cell(
    column: Column, row: str, file: Path, where: str, recipes: Mapping[str, ResolvedRecipe]
) -> Iterator[ConfigError]:
    pattern, value = column.artifacts.get(row, column.artifact), column.values.get(row, column.value)
    key = f"{where}.artifacts.{row}" if row in column.artifacts else f"{where}.artifact"
    artifact = _filled(pattern, row)
    if artifact is None:
        yield ConfigError(file, key, *_braces(pattern))
        return
    stage, _, recipe = artifact.partition("/")
    if stage not in TABLED or not recipe:
        # Of the pattern, so that what is wrong in all rows alike is said once.
        problem = f"{pattern!r} is not an artifact with numbers for a table"
        near = difflib.get_close_matches(stage, TABLED, n=1)
        meant = f"did you mean {near[0]}/…? " if near and near[0] != stage else ""
        remedy = f"{meant}write <stage>/<recipe> with one of the stages {', '.join(TABLED)}"
        yield ConfigError(file, key, problem, remedy)
        return
    known = stated(recipes[recipe]) if stage == STATED and recipe in recipes else STAGES[stage].values
    if known and value not in known:
        key = f"{where}.values.{row}" if row in column.values else f"{where}.value"
        whose = artifact if stage == STATED else f"the stage {stage}"
        yield ConfigError(file, key, f"{whose} has no number {value!r}", f"one of {_list(known)}")


def stated(recipe: ResolvedRecipe) -> list[str]:
    """Names of the numbers of a recipe's `settings`: those it says, by dotted key, and those that follow from them.

    What a scale does without (null) counts as the paper says it: settings are shown as at the scale `paper`.
    """
    said = recipe.replaced | {key: value for key, (value, _) in recipe.leaves.items() if value is not None}
    numbers = [key for key, value in said.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    lists = {key: value for key, value in said.items() if isinstance(value, list)}
    return [*numbers, *(f"{key}.{place}" for key, value in lists.items() for place in range(len(value))), *FOLLOWING]


# ---- figures ----------------------------------------------------------------------------------------------------


def wrong_figures(paper: Paper, file: Path, printed: frozenset[Cell]) -> Iterator[ConfigError]:
    """Figures of a table's name, of an unknown kind, and those that do not say what their kind is drawn from."""
    for name, figure in paper.figures.items():
        where = f"figures.{name}"
        if name in paper.tables:
            problem = f"a table has this key too, and both would be called {paper.paper}_{name}"
            yield ConfigError(file, where, problem, "give one of them another key")
        if figure.draw not in KINDS:
            yield ConfigError(
                file, f"{where}.draw", f"there is no kind of figure named {figure.draw!r}", f"one of {', '.join(KINDS)}"
            )
            continue
        kind = KINDS[figure.draw]
        yield from _wrong_inputs(figure, kind, file, f"{where}.inputs")
        for key in ("x", "series", "published", "published_rows", "pair"):
            if getattr(figure, key) not in (None, []) and key not in kind.takes:
                takers = [other for other, found in KINDS.items() if key in found.takes]
                yield ConfigError(
                    file,
                    f"{where}.{key}",
                    f"a figure of kind {figure.draw!r} does not take it",
                    f"leave it out, or draw one of {', '.join(takers)}",
                )
        if figure.x is not None:
            yield from _unknown_rows(figure.x.values, figure.rows, file, f"{where}.x.values")
        for series, rows in (figure.series or {}).items():
            yield from _unknown_rows(rows, figure.rows, file, f"{where}.series.{series}")
        tables = {table for table, _, _ in printed}
        if figure.published is not None and figure.published not in tables:
            yield ConfigError(
                file,
                f"{where}.published",
                f"{paper.published} has no table {figure.published!r}",
                f"one of {_list(tables)}",
            )
        if "published_rows" in kind.takes:
            yield from _wrong_published_rows(figure, file, f"{where}.published_rows", printed)


def _wrong_published_rows(figure: Figure, file: Path, where: str, printed: frozenset[Cell]) -> Iterator[ConfigError]:
    """Rows that a figure cites of a table that has no such rows, or that it draws as ours."""
    labels = {row for table, row, _ in printed if table == figure.published}
    for label in figure.published_rows:
        if figure.published is None:
            yield ConfigError(file, where, f"of no table: {label!r}", "name the printed table under `published`")
        elif label in figure.rows.values():
            yield ConfigError(file, where, f"{label!r} is a row of ours too", "leave it out in one of the two places")
        elif label not in labels:
            problem = f"{figure.published!r} has no row {label!r}"
            yield ConfigError(file, where, problem, f"one of {_list(labels)}")


def wrong_contradictions(paper: Paper, file: Path) -> Iterator[ConfigError]:
    """Contradictions of tables and figures that the paper does not have."""
    known = [*paper.tables, *paper.figures]
    for number, found in enumerate(paper.contradictions):
        for key in found.at:
            if key not in known:
                problem = f"{paper.paper} has no table or figure with the key {key!r}"
                near = difflib.get_close_matches(key, known, n=3, cutoff=0.4) or known
                yield ConfigError(file, f"contradictions.{number}.at", problem, f"one of {_list(near)}")


def _wrong_inputs(figure: Figure, kind: Kind, file: Path, where: str) -> Iterator[ConfigError]:
    """Groups, roles and stages that are not those of the figure's kind."""
    needed = ", ".join(f"{role}: {source.stage}/<recipe>" for role, source in kind.roles.items() if not source.optional)
    if (kind.group is not None and list(figure.inputs) != [kind.group]) or not figure.inputs:
        groups = "the one group " + repr(kind.group) if kind.group is not None else "a group for each panel"
        yield ConfigError(
            file,
            where,
            f"inputs of a figure of kind {figure.draw!r} stand in {groups}, found {_list(figure.inputs) or 'none'}",
            f"write {{{kind.group or '<name of the panel>'}: {{{needed}}}}}",
        )
        return
    for group, roles in figure.inputs.items():
        for role, source in kind.roles.items():
            if role not in roles and not source.optional:
                remedy = f"add {role}: {source.stage}/<recipe>"
                yield ConfigError(file, f"{where}.{group}", f"{figure.draw!r} needs the role {role!r}", remedy)
        for role, pattern in roles.items():
            key = f"{where}.{group}.{role}"
            if role not in kind.roles:
                yield ConfigError(file, key, f"{figure.draw!r} has no such role", f"one of {', '.join(kind.roles)}")
            elif any(_filled(pattern, row) is None for row in figure.rows):
                yield ConfigError(file, key, *_braces(pattern))
            elif (stage := pattern.partition("/")[0]) != kind.roles[role].stage:
                source = kind.roles[role]
                yield ConfigError(
                    file,
                    key,
                    f"{figure.draw!r} is drawn from {' and '.join(source.files)} of the stage {source.stage}, "
                    f"not from an artifact of {stage!r}",
                    f"name an artifact {source.stage}/<recipe>, or draw another kind",
                )


# ---- parts ------------------------------------------------------------------------------------------------------


def _rows(table: Table, column: Column) -> list[str]:
    """Keys of the rows that have a column's number."""
    return list(table.rows if column.rows is None else column.rows)


def _key_of(rows: Mapping[str, str], label: str) -> str | None:
    return next((key for key, shown in rows.items() if shown == label), None)


def _filled(pattern: str, row: str) -> str | None:
    """A pattern of artifacts with a row's key in it; None if something else stands in braces."""
    try:
        return pattern.format(row=row)
    except (KeyError, IndexError, ValueError, AttributeError):
        return None


def _braces(pattern: str) -> tuple[str, str]:
    return f"{pattern!r} has something else than {{row}} in braces", "write {row} where the row's key is to stand"


def _unknown_rows(named: Iterable[str], rows: Mapping[str, str], file: Path, key: str) -> Iterator[ConfigError]:
    for row in named:
        if row not in rows:
            yield ConfigError(file, f"{key}.{row}", "there is no row with this key", f"one of {', '.join(rows)}")


def _list(found: Iterable[str]) -> str:
    return ", ".join(sorted(found))
