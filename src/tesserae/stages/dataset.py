"""Stage `dataset`: images of a data set at one size, decoded once into memory-mapped uint8 arrays.

A killed job goes on where it stopped: it writes below `work.state` and moves the files at the end.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tesserae.data.base import cores
from tesserae.data.cache import CAPTIONS, bytes_to_write, need_room, write_cache, write_json
from tesserae.data.providers import SPLITS, Labelled, Provider, check, open_provider
from tesserae.lineage.work import Work


def run(work: Work) -> dict[str, int]:
    """Writes {train,val}_images.npy (N, S, S, 3), {train,val}_labels.npy (N,), index.json and captions.json.

    captions.json: split -> one caption for each image, null for a set without captions. A set without classes has
    labels -1; one with the only split `train` has an empty `val` (0, S, S, 3). The numbers of images are returned.
    """
    provider = checked_provider(work)
    for other in work.state.glob("*"):  # of another identity: never resumed
        if other.is_dir() and other.name != work.identity:
            shutil.rmtree(other)
    folder, size = work.state / work.identity, work.spec["image_size"]
    folder.mkdir(parents=True, exist_ok=True)
    need_room(folder, bytes_to_write(provider, size=size, folder=folder))
    with leaving_when_asked():
        for split in SPLITS:
            write_cache(provider, split, size=size, folder=folder, workers=cores())
    for file in [*folder.glob("*.npy"), folder / "index.json"]:
        os.replace(file, work.out / file.name)
    there = provider.splits
    write_json(work.out / CAPTIONS, {split: provider.captions(split) if split in there else None for split in SPLITS})
    return {f"{split}_images": provider.count(split) if split in there else 0 for split in SPLITS}


@contextmanager
def leaving_when_asked() -> Iterator[None]:
    """SIGUSR1, sent before a job's time is up, ends it with 75 (queue it again): what is written counts."""
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def checked_provider(work: Work) -> Provider:
    """The data set of a spec, complete and as large as config/datasets.yaml says; DataError or ValueError if not."""
    settings = dict(work.spec)
    name = settings.pop("provider")
    del settings["image_size"], settings["module"]
    counts = {}  # none are published of the corpus: it has a checksum
    if "corpus" in work.sources:
        settings["label"] = settings.pop("labels")
        classes, root = settings.pop("classes"), work.sources["corpus"]
    else:
        root = work.data_root
        if root is None:
            raise ValueError(
                f"data.root is not set in config/config.yaml: {name} is not an embedded corpus. Set it to the folder "
                f"that holds the folder named as `root` in config/datasets.yaml, or choose a smaller scale"
            )
        unlabelled = "counts" in settings
        classes = None if unlabelled else settings["classes"]
        counts = settings.pop("counts") if unlabelled else {split: settings.pop(f"{split}_images") for split in SPLITS}
    provider = open_provider(name, root=root, **settings)
    if provider.splits != ("train",) and not set(SPLITS) <= set(provider.splits):
        raise ValueError(f"{name} has the splits {', '.join(provider.splits)}; a cache needs train, and val if others")
    check(provider)
    if isinstance(provider, Labelled) and len(provider.class_names) != classes:
        raise ValueError(f"{name} has {len(provider.class_names)} classes, config/datasets.yaml says {classes}")
    found = provider.counts()
    if any(found.get(what) != number for what, number in counts.items()):
        raise ValueError(f"{name} has {found} images, config/datasets.yaml says {counts}")
    return provider


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("dataset")
