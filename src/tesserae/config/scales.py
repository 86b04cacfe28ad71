"""A scale's file as it is read: what it says of all systems (types.py), and what each system lets a scale change."""

from pydantic import Field, create_model, field_validator

from tesserae.config.files import Strict
from tesserae.config.registry import SYSTEMS
from tesserae.config.types import GeneralScale

Systems = create_model(
    "Systems", __base__=Strict, **{name: (system.Scaled, system.Scaled()) for name, system in SYSTEMS.items()}
)


class Scale(GeneralScale):
    systems: Systems = Field(description="what is particular to a system")

    @field_validator("sizes")
    @classmethod
    def _known(cls, sizes: dict) -> dict:
        if unknown := set(sizes) - set(SYSTEMS):
            raise ValueError(f"unknown system {', '.join(sorted(unknown))}; one of {', '.join(SYSTEMS)}")
        return sizes
