"""Kind `settings`: numbers that a recipe states."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure


class Settings(Measure):
    kind: Literal["settings"] = "settings"
    exact: ClassVar[bool] = True

    stated: str  # where

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return record["stated"]
