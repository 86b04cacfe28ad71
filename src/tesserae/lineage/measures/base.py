"""How a number was obtained: one typed, hashed record per number, of a kind that says what measured it.

A kind is a module beside this one and a line in `registry.py`. A stage imports its own kind alone, so that a new kind
makes nothing again. A record is what stands under `measure` in metrics.json: `kind`, and the fields given.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tesserae.lineage import fingerprint

CHOSEN = ("guidance", "temperature")  # fields of a record that a search chooses for each number


class Measure(BaseModel):
    """A kind of measure; its fields are those of its records. Unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: str
    instrument: ClassVar[str] = ""  # the field that names what measures; "": numbers are counted, not measured
    instruments: ClassVar[str] = ""  # what such are called: numbers of two of them cannot be compared
    words: ClassVar[str] = ""  # how one is named, "extractor {}"
    exact: ClassVar[bool] = False  # numbers are shown with the digits that they have

    @classmethod
    def named(cls, record: Mapping[str, Any]) -> str:
        """What measured, e.g. "extractor embedded"; "" for what is counted."""
        return cls.words.format(record[cls.instrument]) if cls.instrument else ""

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        """What a reader must know of a number with this record, as a table says it in its notes.

        record: as in metrics.json; fields that differ between the seeds of one number may be lists.
        """
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """For JSON: the kind, and the fields that were given, None included."""
        return {"kind": self.kind, **self.model_dump(exclude_unset=True)}

    @property
    def identity(self) -> str:
        """The record's hash, without what a search chooses: how it selects must not differ between numbers."""
        return identity(self.record())


def identity(record: Mapping[str, Any]) -> str:
    """16 hex digits that numbers of one measure share."""
    return fingerprint.digest({name: value for name, value in record.items() if name not in CHOSEN})
