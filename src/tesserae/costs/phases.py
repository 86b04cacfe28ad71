"""Trainings that cost more from some step on."""

from collections.abc import Mapping
from typing import Any

# Settings of models that say from which step: on there is a discriminator, or CompTok's three losses.
STARTS = ("gan_start_step", "auxiliary_start_step")


def second_phase(model: Mapping[str, Any]) -> int | None:
    """The step from which a training costs more; None: none."""
    return next((model[key] for key in STARTS if model.get(key) is not None), None)


def from_the_start(model: dict[str, Any]) -> dict[str, Any]:
    """The same model, whose training costs more from its first step on, if it ever does."""
    return model | {key: 0 for key in STARTS if model.get(key) is not None}
