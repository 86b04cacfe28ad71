"""How tables and the notes under them print what is not a number of theirs: blanks, and names of our own."""

OURS = "(ours)"  # stands after a row or column that the paper does not print in its table
BLANK = "–"  # not measured, though it could be
BEHIND = "†"  # follows a measured number that does not beat its control
CITED = "—"  # not ours to measure: the paper quotes it from other work


def marked_own(name: str, own: bool) -> str:
    """The name of a row or column as the table shows it."""
    return f"{name} {OURS}" if own else name
