"""Kind `speed`: how many images a second a generator draws, timed on one device."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from tesserae.lineage.measures.base import Measure

OTHER_BATCHES = (1, 16, 128)  # DECISION (D23): beside the recipe's own
MOST_BATCHES = 16  # in a loop of those: one image at a time would take long


def other_batches(samples: int) -> dict[int, int]:
    """Sizes of batches that are timed beside the recipe's own -> images of such a loop, of the recipe's `samples`."""
    return {batch: min(samples, batch * MOST_BATCHES) for batch in OTHER_BATCHES}


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
        threads = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
        return (
            f"images a second on {record['device']} ({threads}), {record['precision']}, batches of "
            f"{record['batch']}, median of {record['loops']} loops of {record['samples']} images, in turn with "
            f"{record['against']}; compare numbers of one device alone"
        )
