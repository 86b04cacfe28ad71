"""How far a stage is."""

from collections.abc import Iterator

from tqdm import tqdm


def slices(count: int, batch: int, title: str) -> Iterator[slice]:
    """Consecutive slices of at most `batch`, with a progress bar in samples."""
    with tqdm(total=count, desc=title, unit="img", mininterval=1.0) as bar:
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            yield slice(start, stop)
            bar.update(stop - start)
