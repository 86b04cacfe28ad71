"""Two measures side by side, for the terminal."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tesserae.lineage.compare import Comparison, Side
from tesserae.words import number, setting

MARKS = {True: "≠", False: ""}


def render(found: Comparison) -> Group:
    """Each field with its value on both sides, those that differ marked, and a line that sums up."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("measure")
    for side in (found.a, found.b):
        table.add_column(_heading(side), overflow="fold")
    table.add_row("", "id", found.a.measure_id, found.b.measure_id)
    for field in found.fields:
        values = (Text(setting(value)) for value in (field.a, field.b))
        style = "" if field.differs else "dim"
        table.add_row(MARKS[field.differs], Text(field.name), *values, style=style)
    return Group(table, Text(f"\n{_sum(found)}"))


def _heading(side: Side) -> Text:
    measured = "" if side.measured is None else f"{number(side.measured)}  "
    return Text(f"{measured}{side.name} at scale {side.scale}")


def _sum(found: Comparison) -> str:
    chosen = [field.name for field in found.fields if field.differs and field.chosen]
    text = f"differ in {', '.join(found.differing)}" if found.differing else "same measure"
    return f"{text}; each number has a {' and '.join(chosen)} of its own" if chosen else text
