"""Kind `objects`: attention maps of tokens compared with masks of objects, the best token of an image."""

from collections.abc import Mapping
from typing import Any, Literal

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.texts import counted


class Objects(Measure):
    kind: Literal["objects"] = "objects"

    reference: str  # the images and their masks
    samples: int
    weights: str
    share: int  # percent of a map that is kept
    block: str  # "24 of 28", of the paper's model; of another depth in proportion
    time: float  # of the noisy image, from noise, 0, to data, 1
    seed: int  # of random maps

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return (
            f"best token of each image of {record['reference']}{counted(record)}, of whose map {record['share']} % are "
            f"kept, at block {record['block']} or in proportion, t = {record['time']:g}"
        )
