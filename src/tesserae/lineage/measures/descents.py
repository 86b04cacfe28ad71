"""Kind `descents`: what gradient descent on the tokens of images gains (CompTok's AvgIG)."""

from collections.abc import Mapping
from typing import Any, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Descents(Measure):
    kind: Literal["descents"] = "descents"

    reference: str  # the images
    samples: int
    weights: str
    steps: int
    rate: float  # on half the squared error, summed over an image in [0, 1]
    drawing_steps: int  # of decoders that draw
    calibration_images: int

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return (
            f"bits per value of images of {record['reference']}{counted(record)}, over {record['steps']} steps of "
            f"{record['rate']:g} on half the summed squared error in [0, 1]; tokens in units of their deviation; "
            f"decoders that draw do so in {record['drawing_steps']} steps"
        )
