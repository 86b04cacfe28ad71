"""Stage `masks`: images of a split with the class of each pixel, at the size at which a tokenizer sees them."""

from tqdm import tqdm

from tesserae.data.masks import pairs, write_masks
from tesserae.data.providers import Provider, check, open_provider
from tesserae.lineage.work import Work


def run(work: Work) -> dict[str, int]:
    """Writes images.npy (N, S, S, 3) uint8, masks.npy (N, S, S) uint8 and index.json: see data/masks.py."""
    spec, provider = work.spec, provider_of(work)
    count, size = provider.count(spec["split"]), spec["image_size"]
    found = tqdm(pairs(provider, spec["split"], size=size), total=count, desc=work.title, unit="img", mininterval=1)
    write_masks(work.out, found, count=count, size=size, about={"provider": provider.name, "split": spec["split"]})
    return {"images": count}


def provider_of(work: Work) -> Provider:
    """The data set of a spec, complete and as large as config/datasets.yaml says; DataError or ValueError if not."""
    settings = {key: value for key, value in work.spec.items() if key not in ("image_size", "module", "split")}
    name, counts = settings.pop("provider"), settings.pop("counts", {})
    if "corpus" in work.sources:
        settings["label"] = settings.pop("labels")
        del settings["classes"]
        root = work.sources["corpus"]
    elif work.data_root is None:
        raise ValueError(
            f"data.root is not set in config/config.yaml: {name} is not an embedded corpus. Set it to the folder that "
            f"holds the folder named as `root` in config/datasets.yaml, or choose a smaller scale"
        )
    else:
        root = work.data_root
    provider = open_provider(name, root=root, **settings)
    check(provider)
    found = provider.counts() if counts else {}
    if any(found.get(what) != number for what, number in counts.items()):
        raise ValueError(f"{name} has {found} images, config/datasets.yaml says {counts}")
    return provider


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("masks")
