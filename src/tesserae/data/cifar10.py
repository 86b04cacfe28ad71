"""CIFAR-10, as its "python version" unpacks."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tesserae.data.base import SPLITS, Labelled, ordered_map
from tesserae.data.errors import DataError
from tesserae.data.transforms import center_crop

FOLDER = "cifar-10-batches-py"
MD5 = {  # as torchvision.datasets.cifar lists them
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}


@dataclass(frozen=True, kw_only=True)
class Cifar10(Labelled):
    """CIFAR-10; val is the test batch. Every file is verified before it is unpickled."""

    root: Path | None
    classes: int
    name = "cifar10"
    layout = f"a folder that holds {FOLDER}/ with the five training batches, the test batch and batches.meta"
    checksums = {f"{FOLDER}/{name}": f"md5:{digest}" for name, digest in MD5.items()}

    def load(self, name: str) -> dict:
        """One of the pickled files; DataError if it is missing or not the published one."""
        path = self.need_root(self.layout) / FOLDER / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.md5(content).hexdigest() != MD5[name]:
            raise DataError(
                path,
                expected=f"a file of CIFAR-10 with MD5 {MD5[name]}",
                found="another content" if path.is_file() else "nothing",
                remedy=f"Download cifar-10-python.tar.gz and unpack it into {self.root}.",
            )
        return pickle.loads(content, encoding="latin1")

    @cached_property
    def batches(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """split -> uint8 (N, 32, 32, 3) and int64 (N,)."""
        names = {"train": [f"data_batch_{number}" for number in range(1, 6)], "val": ["test_batch"]}
        found = {}
        for split in SPLITS:
            loaded = [self.load(name) for name in names[split]]
            pixels = np.concatenate([batch["data"] for batch in loaded]).reshape(-1, 3, 32, 32)
            labels = np.concatenate([np.array(batch["labels"], dtype=np.int64) for batch in loaded])
            found[split] = pixels.transpose(0, 2, 3, 1), labels
        return found

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.load("batches.meta")["label_names"])

    def problems(self) -> Iterator[DataError]:
        yield from self.need_images()  # reads and verifies every file
        if len(self.class_names) != self.classes:
            yield DataError(
                self.root,
                expected=f"{self.classes} classes",
                found=f"{len(self.class_names)}",
                remedy="Correct the number of classes of the data set.",
            )

    def keys(self, split: str) -> list[str]:
        return [f"{split}/{number:05d}" for number in range(len(self.labels(split)))]

    def labels(self, split: str) -> np.ndarray:
        return self.batches[split][1]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        pixels = self.batches[split][0][start:]
        return ordered_map(lambda x: np.asarray(center_crop(Image.fromarray(x), size)), pixels, workers)
