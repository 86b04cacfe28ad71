"""Stage `domain`: images of a domain that no tokenizer was trained on, with what its task asks of each.

They are a cache of images as the stage `dataset` makes one, so that what looks at a data set can look at them.
"""

import os
from typing import Any

from tesserae.data.cache import write_cache
from tesserae.data.domains import DomainSet, open_domain, write_answers
from tesserae.data.errors import DataError
from tesserae.lineage.work import Work


def run(work: Work) -> dict[str, int]:
    """Writes a cache of images, all labels -1; {train,val}_masks.npy (N, S, S) uint8 and task.json (data/domains.py).

    DataError for a set that is not there, or is not as large as config/domains.yaml says.
    """
    domain, size, workers = opened(work), work.spec["image_size"], len(os.sched_getaffinity(0))
    domain.check()
    found, published = domain.counts(), work.spec.get("counts", {})
    if other := {what: number for what, number in published.items() if found.get(what) != number}:
        raise DataError(
            domain.root,
            expected=", ".join(f"{number:,} {what}" for what, number in other.items()) + ", by config/domains.yaml",
            found=", ".join(f"{found.get(what, 0):,} {what}" for what in other),
            remedy="Complete the data set, or correct its numbers there; `tesserae data check` looks at all of it.",
        )
    for split in domain.splits:
        write_cache(domain, split, size=size, folder=work.out, workers=workers)
    write_answers(domain, work.out, size=size, workers=workers)
    return {f"{split}_images": domain.count(split) for split in domain.splits}


def opened(work: Work) -> DomainSet:
    """The set of a spec; ValueError where data.root is needed and not set."""
    settings: dict[str, Any] = dict(work.spec)
    name = settings.pop("provider")
    needs_root = "counts" in settings
    for key in ("image_size", "module", "counts"):
        settings.pop(key, None)
    root = work.sources.get("corpus", work.data_root)
    if root is None and needs_root:
        raise ValueError(
            f"data.root is not set in config/config.yaml: {name} is not drawn. Set it to the folder that holds the "
            "folder named as `root` in config/domains.yaml, or choose a smaller scale"
        )
    return open_domain(name, root=root, **settings)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("domain")
