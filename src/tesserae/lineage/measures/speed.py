"""Kind `speed`: how many images a second a generator draws, timed on one device."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure


class Speed(Measure):
    kind: Literal["speed"] = "speed"
    instrument: ClassVar[str] = "device"
    instruments: ClassVar[str] = "devices"
    words: ClassVar[str] = "{}"

    device: str  # the processor or GPU, by its maker's name
    threads: int  # of the processor
    precision: str
    batch: int
    samples: int  # of a loop
    loops: int  # of which the median counts, after one that does not
    against: str  # the generator that was timed in the same loops
    guidance: float

    @classmethod
    def described(cls, record: Mapping[str, Any]) -> str:
        return (
            f"images a second on {record['device']} ({record['threads']} threads), {record['precision']}, batches of "
            f"{record['batch']}, median of {record['loops']} loops of {record['samples']} images, in turn with "
            f"{record['against']}; compare numbers of one device alone"
        )
