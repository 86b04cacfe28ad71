"""What is said under a table, plain text: how its numbers were obtained, what seeds chose, and what is blank why."""

from collections.abc import Mapping, Sequence
from typing import Any

from tesserae import words
from tesserae.lineage.measures.texts import setting
from tesserae.reporting.printed import BEHIND, BLANK, CITED, OURS
from tesserae.reporting.tables import Cell, Column, Table, control_words

AVGIG = {"avgig": "AvgIG", "avgig_enc": "AvgIG of own tokens", "avgig_raw": "AvgIG in own units"}
MC = {"mc": "MC", "mc_other": "MC by the other critic", "mc_features": "MC by features"}
NAMES = {"fid": "FID", "rfid": "rFID", "is": "IS", "ris": "rIS", "samples_per_second": "images a second", **AVGIG, **MC}
CONTROL = "Control (ours), below each number: what it has to beat, a closed-form model of which nothing is trained:"
INCOMPARABLE = (
    "Numbers of different scales or {} are not comparable in absolute value: compare the order of the rows within one "
    "column."
)


def notes(table: Table, *, bold: bool) -> list[str]:
    """The lines under the table: scale, extractor, samples, seeds, selections, measure ids, blanks.

    bold: whether it marks the best numbers.
    """
    cells = [cell for column in table.columns for cell in table.compared(column).values()]
    both = len(table.kinds) == 2
    printed = "Published: printed in the paper" if both else "The paper prints no number"
    lines = [f"{printed} ({table.source}). Measured: scale {table.scale}{_measured_with(table)}."]
    instruments = dict.fromkeys(cell.kind.instruments for cell in cells if _by_instrument(cell))
    if instruments:
        lines.append(INCOMPARABLE.format(" or ".join(instruments)))
    if table.own_rows or any(column.own for column in table.columns):
        lines.append(f"{OURS}: not in the paper's table.")
    lines += [*_varied(table), *_seeds(table, cells)]
    if bold:
        apart = ", among the published and among the measured numbers separately" if both else ""
        lines.append(f"Bold: the best of its column{apart}.")
    lines += _spread(cells)
    lines += [*_controls(table), *caveats(table)]
    for ran, found in table.settings:
        lines += _selected(ran, found)
    lines += _identities(table)
    for blank, what in _missing(table, failed=True).items():
        lines.append(f"No number ({blank}): {what}.")
    for blank, what in _missing(table, failed=False).items():
        lines.append(f"Not run at scale {table.scale} ({blank}): {what}.")
    if any(cell.blank == CITED for cell in cells):
        lines.append(f"{CITED}: cited by the paper, not run here.")
    lines += reported(table)
    lines += [table.note] if table.note else []
    return [*lines, *(f"Contradiction {found}" for found in table.contradictions)]


def _spread(cells: Sequence[Cell]) -> list[str]:
    """What ± is, of numbers of one seed."""
    over = {
        "over the splits of the one set of images": ("is", "ris"),
        "over draws of as many images, by a jackknife over groups of them": ("fid", "rfid"),
        "over the loops that were timed": ("samples_per_second",),
        "of the mean over images or pairs": ("avgig", "avgig_enc", "avgig_raw", "mc", "mc_other", "mc_features"),
    }
    found = {cell.value for cell in cells if cell.deviation is not None}
    said = [
        f"of {', '.join(NAMES[name] for name in names if name in found)} {how}"
        for how, names in over.items()
        if found & {*names}
    ]
    return [f"±: standard deviation, {'; '.join(said)}; not over training seeds."] if said else []


def _controls(table: Table) -> list[str]:
    """What the controls are."""
    beside: dict[str, dict[str, None]] = {}
    for column in table.columns:
        for cell in table.compared(column).values():
            if cell.control is not None:
                beside.setdefault(cell.control_words, {})[column.setting or column.name] = None
    if not beside:
        return []
    lines = [f"{CONTROL} {_grouped(beside)}."]
    for key, label in table.rows:
        shown: dict[str, dict[str, None]] = {}
        for column in table.columns if key in table.control_rows else ():
            measure = table.cells[key, column.name].measure
            if measure is not None:
                shown.setdefault(control_words(measure), {})[column.setting or column.name] = None
        lines += [f"{label}: {_grouped(shown)}."] if shown else []
    return lines


def reported(table: Table) -> list[str]:
    """What others told of the printed numbers, a line for each of these: neither published nor measured here."""
    cells: dict[tuple[str, str, str], list[str]] = {}
    for one in table.reported:
        told = f"{one['value']} ({one['source']}, {one['date']})"
        cells.setdefault((one["row"], one["column"], one["published"]), []).append(told)
    return [
        f"Reported elsewhere, not measured here: {row}, {column}{f', published {printed}' if printed else ''}: "
        f"{', '.join(told)}."
        for (row, column, printed), told in cells.items()
    ]


def caveats(table: Table) -> list[str]:
    """What † says, and which columns say nothing: what nobody may miss."""
    lines = []
    if any(cell.behind for cell in table.cells.values()):
        lines.append(f"{BEHIND}: does not beat its control.")
    if silent := [column for column in table.columns if table.uninformative(column)]:
        names = ", ".join(_named(silent, table.columns))
        lines.append(f"No number beats its control, so that these columns carry no information: {names}.")
    return lines


def _grouped(found: Mapping[str, Mapping[str, None]]) -> str:
    """Text -> whom it is said of, as one sentence; a text that stands alone is said of all."""
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in found.items())


def _varied(table: Table) -> list[str]:
    """In what the rows of a column were measured otherwise, as those of the paper's were."""
    lines = []
    for column in table.columns:
        compared = [(key, label) for key, label in table.rows if key not in table.control_rows]
        labels = {label: table.cells[key, column.name].measure for key, label in compared}
        for name in column.varies:
            values: dict[str, list[str]] = {}
            for label, measure in labels.items():
                if measure is not None and name in measure:
                    values.setdefault(setting(measure[name]), []).append(label)
            if len(values) > 1:
                shown = "; ".join(f"{value} ({', '.join(some)})" for value, some in values.items())
                lines.append(
                    f"{column.name}: rows differ in their {name.replace('_', ' ')}, as the paper's do: {shown}."
                )
    return lines


def _seeds(table: Table, cells: Sequence[Cell]) -> list[str]:
    """Over how many seeds numbers are means, and which where that differs; those that are counted know no chance."""
    counts = sorted({cell.seeds for cell in cells if _by_instrument(cell)})
    if not counts:
        return []
    if counts == [1]:
        return ["Each number is of one training seed: a difference between rows may be chance."]
    shown = " or ".join(map(str, counts))
    lines = [
        f"Measured numbers are means over {shown} seeds ± the sample standard deviation between them; every seed has a "
        "training, a search and samples of its own."
    ]
    if len(counts) > 1:
        of_each = "; ".join(f"{words.seeds_in_words([count])}: {_with_seeds(table, count)}" for count in counts)
        lines.append(f"Numbers differ in how many seeds they have. {of_each}.")
    return lines


def _with_seeds(table: Table, count: int) -> str:
    """Rows whose numbers have so many seeds, with the columns where not all of a row have them."""
    found = []
    for key, label in table.rows:
        cells = {column.name: table.cells[key, column.name] for column in table.columns}
        seeds = {name: cell.seeds for name, cell in cells.items() if _by_instrument(cell)}
        having = [name for name, number in seeds.items() if number == count]
        if key not in table.control_rows and having:
            found.append(label if len(having) == len(seeds) else f"{label} ({', '.join(having)})")
    return ", ".join(found)


def _by_instrument(cell: Cell) -> bool:
    """Whether the number was measured, and not counted."""
    return cell.kind is not None and bool(cell.kind.instrument)


def _measured_with(table: Table) -> str:
    """The fields of the measure that the reader must know; column by column where columns differ."""
    described: dict[str, list[str]] = {}
    for ran, cells in table.settings:
        for _, cell in cells:
            if cell.measure is not None:
                described.setdefault(cell.kind.described(cell.measure), []).append(ran)
                break
    if not described:
        return "; nothing was measured"
    if len(described) == 1:
        return f"; {next(iter(described))}"
    return "".join(f"; {', '.join(settings)}: {text}" for text, settings in described.items())


def _selected(ran: str, cells: list[tuple[str, Cell]]) -> list[str]:
    """What was sampled with, by row, and how that was chosen: one line for each way of choosing."""
    ways: dict[str, dict[str, list[str]]] = {}
    for label, cell in cells:
        if cell.measure is None or "guidance" not in cell.measure:
            continue
        chosen = f"guidance {setting(cell.measure['guidance'])}"
        if set(each(cell.measure.get("temperature"))) - {None, 1.0}:
            chosen += f", temperature {setting(cell.measure['temperature'])}"
        chosen += ", at the edge of the candidates" if _at_edge(cell) else ""
        ways.setdefault(_way(cell.selection), {}).setdefault(chosen, []).append(label)
    lines = []
    for way, rows in ways.items():
        chosen_by_row = "; ".join(f"{chosen} ({', '.join(labels)})" for chosen, labels in rows.items())
        lines.append(f"{ran}: {chosen_by_row}; {way}.")
    return lines


def _at_edge(cell: Cell) -> bool:
    """Whether a seed selected the smallest or largest candidate, so that a wider search might find a better one."""
    candidates = (cell.selection or {}).get("candidates") or ()
    swept = "temperature" if set(each(cell.measure["guidance"])) == {1.0} else "guidance"  # only one of the two
    values = each(cell.measure.get(swept))
    return len(candidates) > 1 and any(value in (min(candidates), max(candidates)) for value in values)


def each(value: Any) -> list:
    """A field's values by seed: one for all, or a list."""
    return value if isinstance(value, list) else [value]


def _way(selection: Mapping[str, Any] | None) -> str:
    if not selection:
        return "fixed, nothing was selected"
    statistic = selection["statistic"]
    extreme = "highest" if statistic in ("is", "precision", "recall", "psnr") else "lowest"
    text = f"selected by the {extreme} {statistic.upper()} on {selection['samples']} samples"
    candidates = selection.get("candidates")
    return f"{text} among {', '.join(setting(candidate) for candidate in candidates)}" if candidates else text


def _identities(table: Table) -> list[str]:
    lines = []
    for ran, cells in table.settings:
        owners: dict[str, list[str]] = {}
        for label, cell in cells:
            if _by_instrument(cell):
                owners.setdefault(cell.measure_id, []).append(label)
        if len(owners) == 1:
            lines.append(f"{ran} {next(iter(owners))}")
        elif owners:
            lines.append(
                f"{ran} " + ", ".join(f"{identity} ({', '.join(labels)})" for identity, labels in owners.items())
            )
    return [f"Measures: {'; '.join(lines)}."] if lines else []


def _missing(table: Table, *, failed: bool) -> dict[str, str]:
    """What stands for a number -> the rows where it stands for all measured ones, and single cells of other rows.

    failed: of numbers that were tried for, or of those that nobody tried for.
    """
    parts: dict[str, list[str]] = {}
    for key, label in table.rows:
        cells = {column: table.cells[key, column.name] for column in table.columns}
        blanks: dict[str, list[Column]] = {}
        for column, cell in cells.items():
            if cell.failed == failed and (cell.left_out or (cell.measured is None and cell.blank == BLANK)):
                blanks.setdefault(cell.blank, []).append(column)
        for blank, found in blanks.items():
            whole = len(found) == len(table.columns)
            parts.setdefault(blank, []).append(
                label if whole else f"{label} ({', '.join(_named(found, table.columns))})"
            )
    return {blank: "; ".join(found) for blank, found in parts.items()}


def _named(some: Sequence[Column], columns: Sequence[Column]) -> list[str]:
    """The names of some columns; a system or setting of which all columns are among them is named once, as a whole."""
    names = []
    for column in some:
        for path in (column.heading[:1], column.heading[:2]):
            if path[-1] and all(other in some for other in columns if other.heading[: len(path)] == path):
                names.append(" ".join(filter(None, path)))
                break
        else:
            names.append(column.name)
    return list(dict.fromkeys(names))
