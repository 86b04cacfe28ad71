"""A paper's studies of correlations, against what is printed, measured and trained: mistakes are found before anything
runs.
"""

import string
from collections.abc import Collection, Iterator
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.config.shown import TABLED, Cell
from tesserae.config.stages import STAGES
from tesserae.config.studies import Number, Predicting, Study
from tesserae.config.types import Paper


def wrong_studies(
    paper: Paper, file: Path, printed: frozenset[Cell], tokenizers: Collection[str], generators: Collection[str]
) -> Iterator[ConfigError]:
    """Studies of columns that are not printed, of recipes that there are not, of numbers that nothing measures."""
    for name, study in paper.studies.items():
        where = f"studies.{name}"
        columns = {column for table, _, column in printed if table == study.table}
        if not columns:
            tables = ", ".join(sorted({table for table, _, _ in printed}))
            yield ConfigError(file, f"{where}.table", f"{paper.published} has no {study.table!r}", f"one of {tables}")
            continue
        yield from _wrong_recipes(study, file, where, tokenizers, generators)
        for key, number in study.numbers.items():
            if number.column not in columns:
                problem = f"{study.table} has no column {number.column!r}"
                yield ConfigError(file, f"{where}.{key}.column", problem, f"one of {', '.join(sorted(columns))}")
            place = number.r if isinstance(number, Predicting) else None
            if place is not None and (study.table, place.row, place.column) not in printed:
                problem = f"{study.table} prints nothing at {place.row!r}, {place.column!r}"
                yield ConfigError(file, f"{where}.{key}.r", problem, "name a row and a column of it")
            if number.artifact is not None:
                yield from _wrong_number(study, number, file, f"{where}.{key}")


def _wrong_recipes(
    study: Study, file: Path, where: str, tokenizers: Collection[str], generators: Collection[str]
) -> Iterator[ConfigError]:
    if study.generator is not None and study.generator not in generators:
        problem = f"there is no generator recipe {study.generator!r}"
        yield ConfigError(file, f"{where}.generator", problem, f"one of {', '.join(sorted(generators))}")
    for name in study.tokenizers:
        if name not in tokenizers:
            problem = f"there is no tokenizer recipe {name!r}"
            yield ConfigError(file, f"{where}.tokenizers", problem, f"one of {', '.join(sorted(tokenizers))}")


def _wrong_number(study: Study, number: Number, file: Path, where: str) -> Iterator[ConfigError]:
    may = {"tokenizer", "generator"} if study.generator else {"tokenizer"}
    try:
        named = {field for _, field, *_ in string.Formatter().parse(number.artifact) if field is not None}
    except ValueError:
        named = {number.artifact}
    stage, _, recipe = number.artifact.partition("/")
    if named - may or not named:
        problem = f"{number.artifact!r} is to have one of {', '.join(sorted(may))} in braces, and nothing else"
        yield ConfigError(file, f"{where}.artifact", problem, "write <stage>/{tokenizer}")
    elif stage not in TABLED or stage not in STAGES["correlations"].reads or not recipe:
        known = ", ".join(STAGES["correlations"].reads)
        yield ConfigError(
            file, f"{where}.artifact", f"{number.artifact!r} has no number that can be correlated", f"one of {known}"
        )
    elif STAGES[stage].values and number.value not in STAGES[stage].values:
        problem = f"the stage {stage} has no number {number.value!r}"
        yield ConfigError(file, f"{where}.value", problem, f"one of {', '.join(STAGES[stage].values)}")
