"""Stage `dataset`: images of a data set at one size, decoded once into memory-mapped uint8 arrays."""

import os

from tesserae.data.cache import write_cache
from tesserae.data.providers import SPLITS, check, open_provider
from tesserae.lineage.work import Work


def run(work: Work) -> dict[str, int]:
    """Writes {train,val}_images.npy (N, S, S, 3), {train,val}_labels.npy (N,) and index.json; counts as numbers."""
    settings = dict(work.spec)
    name, size = settings.pop("provider"), settings.pop("image_size")
    if "corpus" in work.sources:
        settings["label"] = settings.pop("labels")
        classes, root = settings.pop("classes"), work.sources["corpus"]
        provider = open_provider(name, root=root, **settings)
    else:
        classes, root = settings["classes"], work.data_root
        if root is None:
            raise ValueError(
                f"data.root is not set in config/config.yaml: {name} is no embedded corpus. Set it to the folder that "
                f"holds the folder named as `root` in config/datasets.yaml, or choose a smaller scale"
            )
        counts = {split: settings.pop(f"{split}_images") for split in SPLITS}
        provider = open_provider(name, root=root, **settings)
    check(provider)
    found = {split: provider.count(split) for split in SPLITS}
    if len(provider.class_names) != classes:
        raise ValueError(f"{name} has {len(provider.class_names)} classes, config/datasets.yaml says {classes}")
    if "corpus" not in work.sources and found != counts:
        raise ValueError(f"{name} has {found} images, config/datasets.yaml says {counts}")
    for split in SPLITS:
        write_cache(provider, split, size=size, folder=work.out, workers=os.cpu_count() or 1)
    return {f"{split}_images": count for split, count in found.items()}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("dataset")
