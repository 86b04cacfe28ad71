"""Claims of a paper: sentences about numbers of its tables that measured numbers can bear out or contradict.

They stand in config/published/<paper>.claims.yaml, beside the numbers themselves (<paper>.csv), whose names they use.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from tesserae.config.errors import ConfigError, together
from tesserae.config.files import Strict, read_yaml, validated

Text = Annotated[str, Field(min_length=1)]
Key = tuple[str, str, str]  # table, row label, column
# An effect of less than half the published one is another finding than the paper's: of a claim that says nothing else.
ABSENT_WITHIN = 0.5


class Place(Strict):
    """One number of the paper."""

    table: Text = Field(description="as in the published file, e.g. Table 1")
    row: Text = Field(description="label of the row")
    column: Text = Field(description="name of the column")


class _Claim(Strict):
    id: str = Field(pattern=r"^[a-z0-9-]+$", description="name of the claim, unique in its file")
    claim: Text = Field(description="the claim in words")
    where: Text = Field(description="where the paper makes it")
    margin: Annotated[float, Field(ge=0)] | None = Field(
        description="absolute difference of the published numbers (a series': from first to last); null: only plotted"
    )
    holds_in_print: bool | None = Field(description="whether the published numbers bear it out; null: only plotted")
    absent_within: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="the part of the published relative effect (of correlations: of the difference of |r|) within "
        f"which a measured one counts as absent; {ABSENT_WITHIN} if neither this nor absent_below is given",
    )
    absent_below: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="instead of a part of what is published, for one only plotted: the relative effect itself (of "
        "correlations: the difference of |r|) below which it counts as absent, such as 0.05",
    )

    @model_validator(mode="after")
    def _one_bound(self) -> "_Claim":
        if self.absent_within is not None and self.absent_below is not None:
            raise ValueError("absent_within and absent_below are two bounds of one effect: give one of them")
        if self.absent_within is not None and not self.margin:
            raise ValueError("absent_within is a part of the published effect, and there is none: give absent_below")
        return self

    def cells(self) -> list[Key]:
        """The numbers that the claim is about."""
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        """All kinds of claims in one shape: `cells` in the order that reporting/claims.py reads them in."""
        names = ("id", "claim", "where", "relation", "margin", "holds_in_print", "absent_within", "absent_below")
        fields = {name: getattr(self, name) for name in names}
        if self.margin and self.absent_within is None and self.absent_below is None:
            fields["absent_within"] = ABSENT_WITHIN
        return fields | {"cells": [list(key) for key in self.cells()]}


class Order(_Claim):
    """left <relation> right."""

    relation: Literal["lt", "le", "gt", "ge"]
    left: Place
    right: Place

    def cells(self) -> list[Key]:
        """left, right."""
        return [(place.table, place.row, place.column) for place in (self.left, self.right)]


class Rows(Strict):
    """One column of a table at several rows, in an order that matters."""

    table: Text
    rows: list[Text] = Field(min_length=2)
    column: Text


class Series(_Claim):
    """The numbers of a column rise, or fall, at every step from row to row."""

    relation: Literal["increasing", "decreasing"]
    series: Rows

    def cells(self) -> list[Key]:
        """In the order of the rows."""
        return [(self.series.table, row, self.series.column) for row in self.series.rows]


class Correlated(Strict):
    """Two columns of a table over rows."""

    table: Text
    rows: list[Text] = Field(min_length=3)
    column: Text
    against: Text = Field(description="the column that `column` is correlated with")


class Other(Strict):
    """The column that is correlated with `against`, too."""

    column: Text


class Correlation(_Claim):
    """|Pearson r| of `column` with `against` exceeds that of `than.column` with `against`."""

    relation: Literal["stronger_correlation"]
    correlate: Correlated
    than: Other

    def cells(self) -> list[Key]:
        """All rows of `column`, then of `against`, then of `than.column`."""
        found = self.correlate
        return [
            (found.table, row, column)
            for column in (found.column, found.against, self.than.column)
            for row in found.rows
        ]


Claim = Order | Series | Correlation
Claims = list[Annotated[Claim, Field(discriminator="relation")]]  # what a file holds; for its JSON schema
KINDS = {relation: kind for kind in get_args(Claim) for relation in get_args(kind.model_fields["relation"].annotation)}


def read_claims(root: Path, file: Path) -> list[Claim]:
    """The claims in `root`/`file`, in its order.

    Raises ConfigError, naming `file`, the claim and its key, for all that is not one of the three kinds of claims, and
    for every id given twice.
    """
    found: dict[str, Claim] = {}
    problems: list[ConfigError] = []
    try:
        entries = read_yaml(root / file, list)
    except ConfigError as error:
        raise ConfigError(file, error.key, error.problem, error.remedy) from None
    for number, entry in enumerate(entries, start=1):
        fields = entry if isinstance(entry, dict) else {}
        name, relation = str(fields.get("id", f"claim {number}")), fields.get("relation")
        try:
            if relation not in list(KINDS):  # a list, since what stands there may be anything
                known = f"one of {', '.join(KINDS)}"
                raise ConfigError(file, f"{name}.relation", f"unknown relation {relation!r}", known)
            claim = validated(KINDS[relation], fields, file, name)
            if claim.id in found:
                raise ConfigError(file, claim.id, "an id of two claims", "give each claim an id of its own")
            found[claim.id] = claim
        except ConfigError as error:
            problems.append(error)
    if problems:
        raise together(problems)
    return list(found.values())
