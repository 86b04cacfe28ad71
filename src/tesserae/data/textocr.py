"""TextOCR 0.1: photographs with every legible word, its text and its outline.

    TextOCR_0.1_train.json, TextOCR_0.1_val.json
    train_images/<id>.jpg         train_val_images.zip: the images of both splits

CompTok decodes words and looks whether a recogniser still reads them; see docs/data.md.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tesserae.data.base import Files, read_annotations
from tesserae.data.errors import DataError

ILLEGIBLE = "."  # what annotators wrote for words they could not read, or not in English


class Word(NamedTuple):
    text: str
    box: tuple[float, float, float, float]  # left, top, width, height, upright
    points: tuple[tuple[float, float], ...]  # (x, y), clockwise from the text's own top left; four if it is straight

    @property
    def legible(self) -> bool:
        return self.text != ILLEGIBLE


@dataclass(frozen=True, kw_only=True)
class TextOcr(Files):
    """The official splits (words of the test images are not public); keys sorted by image id."""

    root: Path | None
    name = "textocr"
    layout = "a folder with TextOCR_0.1_train.json, TextOCR_0.1_val.json and train_images/*.jpg"
    # MD5 as open-mmlab/mmocr, dataset_zoo/textocr lists them.
    checksums = {
        "TextOCR_0.1_train.json": "md5:0f8ba1beefd2ca4d08a4f82bcbe6cfb4",
        "TextOCR_0.1_val.json": "md5:fb151383ea7b3c530cde9ef0d5c08347",
    }
    archives = {"train_val_images.zip": "md5:d12dd8098899044e4ae1af34db7ecfef"}

    @cached_property
    def words(self) -> dict[str, dict[str, tuple[str, tuple[Word, ...]]]]:
        """split -> image id -> (path, words), by id."""

        def parse(text: str) -> dict[str, tuple[str, tuple[Word, ...]]]:
            content = json.loads(text)
            return {
                name: (
                    f"train_images/{Path(content['imgs'][name]['file_name']).name}",
                    tuple(word(content["anns"][str(number)]) for number in content["imgToAnns"].get(name, ())),
                )
                for name in sorted(content["imgs"])
            }

        return {split: read_annotations(self.tree / f"TextOCR_0.1_{split}.json", parse) for split in self.splits}

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need("train_images", *self.checksums))
        yield from missing
        if not missing:
            for split in self.splits:
                yield from self.need_files(self.keys(split), f"TextOCR_0.1_{split}.json")

    def keys(self, split: str) -> list[str]:
        return [path for path, _ in self.words[split].values()]

    def counts(self) -> dict[str, int]:
        words = {f"{split} words": sum(len(words) for _, words in self.words[split].values()) for split in self.splits}
        return super().counts() | words

    def annotations(self, split: str) -> Iterator[tuple[Word, ...]]:
        return (words for _, words in self.words[split].values())


def word(entry: dict) -> Word:
    """One annotation of the JSON file."""
    points = entry["points"]
    return Word(entry["utf8_string"], tuple(entry["bbox"]), tuple(zip(points[::2], points[1::2], strict=True)))
