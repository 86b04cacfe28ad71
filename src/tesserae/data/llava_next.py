"""LLaVA-NeXT instruction data: images with conversations about them, in Parquet shards with the images inside.

    data/train-00000-of-00250.parquet ...      columns id, conversations, data_source, image {bytes, path}

ConceptTok trains its sparse autoencoder on features of these images; see docs/data.md. Rows without an image (text
only) are left out. Several rows may show one image; they are kept.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tesserae.data.base import Provider, damage, open_image, ordered_map
from tesserae.data.errors import DataError
from tesserae.data.transforms import center_crop

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

COLUMNS = ("id", "conversations", "data_source", "image")
BATCH = 64  # rows in memory


class Turn(NamedTuple):
    speaker: str  # human or gpt
    text: str


class Conversation(NamedTuple):
    id: str
    source: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, kw_only=True)
class LlavaNext(Provider):
    """One split, "train". A key is <shard>/<row>."""

    root: Path | None
    name = "llava_next"
    layout = "a folder with data/train-*-of-*.parquet, the shards of lmms-lab/LLaVA-NeXT-Data"
    splits = ("train",)

    @cached_property
    def shards(self) -> list[Path]:
        return sorted((self.need_root(self.layout) / "data").glob("train-*-of-*.parquet"))

    @contextmanager
    def opened(self, shard: Path) -> Iterator["ParquetFile"]:
        """A shard; DataError with its path if it cannot be read or has not the columns."""
        from pyarrow.parquet import ParquetFile  # not at the top: other data sets start without it

        try:
            file = ParquetFile(shard)
            if absent := set(COLUMNS) - set(file.schema_arrow.names):
                raise ValueError(f"no column {', '.join(sorted(absent))}")
            yield file
        except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
            raise DataError(
                shard,
                expected=f"a Parquet file with the columns {', '.join(COLUMNS)}",
                found=f"{type(error).__name__}: {error}",
                remedy="Download this shard again.",
            ) from error

    @cached_property
    def shown(self) -> dict[Path, np.ndarray]:
        """shard -> rows with an image. Reads one small column: whether an image is there stands with its path, too."""
        found = {}
        for shard in self.shards:
            with self.opened(shard) as file:
                found[shard] = np.flatnonzero(np.asarray(file.read(columns=["image.path"])["image"].is_valid()))
        return found

    def problems(self) -> Iterator[DataError]:
        announced = {shard.stem.rpartition("-of-")[2] for shard in self.shards}
        if len(announced) != 1 or len(self.shards) != int(min(announced)):
            yield DataError(
                self.need_root(self.layout) / "data",
                expected="as many shards train-*-of-N.parquet as their names announce",
                found=f"{len(self.shards)} of {', '.join(sorted(announced)) or 'none'}",
                remedy="Download the missing shards.",
            )
        for shard in self.shards:
            try:
                with self.opened(shard):
                    pass
            except DataError as error:
                yield error

    def keys(self, split: str) -> list[str]:
        return [f"{shard.stem}/{row}" for shard, rows in self.shown.items() for row in rows]

    def counts(self) -> dict[str, int]:
        rows = 0
        for shard in self.shards:
            with self.opened(shard) as file:
                rows += file.metadata.num_rows
        return super().counts() | {"train rows": rows}

    def encoded(self, start: int = 0) -> Iterator[tuple[str, io.BytesIO]]:
        """(shard and row, image file) from position `start`; shards before it are not opened."""
        for shard, rows in self.shown.items():
            wanted, first = set(rows[start:].tolist()), 0
            start = max(0, start - len(rows))
            if not wanted:
                continue
            with self.opened(shard) as file:
                for batch in file.iter_batches(BATCH, columns=["image.bytes"]):
                    for row, image in enumerate(batch["image"], first):
                        if row in wanted:
                            yield f"{shard}/{row}", io.BytesIO(image["bytes"].as_py())
                    first += len(batch)

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        def crop(item: tuple[str, io.BytesIO]) -> np.ndarray:
            return np.asarray(center_crop(open_image(item[1], name=item[0]), size))

        return ordered_map(crop, self.encoded(start), workers)

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        return ordered_map(lambda item: damage(item[1], item[0]), self.encoded(), workers)

    def annotations(self, split: str) -> Iterator[Conversation]:
        for shard, rows in self.shown.items():
            with self.opened(shard) as file:
                table = file.read(columns=["id", "conversations", "data_source"]).take(rows)
            for entry in table.to_pylist():
                turns = tuple(Turn(turn["from"], turn["value"]) for turn in entry["conversations"])
                yield Conversation(entry["id"], entry["data_source"], turns)
