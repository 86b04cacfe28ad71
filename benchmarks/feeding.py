"""How many CPU cores keep one GPU fed: decoding, batches from the image cache, batches from the token cache.

    python benchmarks/feeding.py [--faster 3.0] [--batch 128] [--required 500 1000]

Images per second of one core, as images per second of CPU time, so that neighbours on the machine matter less. What a
training asks for comes from the A100-hours that l-DeTok prints (config/published/detok.csv, table GPU-hours): images
seen / hours, times `--faster`, an assumption of how much faster the GPU is than an A100 (3: an H100). Where a range of
hours is printed, the shorter end counts.

Data: JPEG files of 500 x 375 at quality 90, sums of smoothed noise of six sizes, with about the bytes of ImageNet's
files (138 GB / 1,281,167 = 108 kB); caches of random bytes in a temporary folder, small enough for the page cache.
"""

import argparse
import io
import os
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tesserae.data.base import open_image, read_image
from tesserae.data.transforms import random_flip, to_float
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.reporting.published import load

PICTURES = 48
IMAGES = 1_281_167  # of an epoch
SIDE = 256
TOKENS, CHANNELS = 256, 16  # of l-DeTok at 256 pixels
ROWS = (
    "Tokenizer S-B, 50 epochs, no GAN",
    "Tokenizer S-B, 50 epochs, GAN from epoch 20",
    "SiT-B, 100 epochs",
    "MAR-B, 100 epochs",
)


def jpeg(seed: int) -> bytes:
    """One synthetic picture: noise smoothed at six sizes, from whole areas down to single pixels."""
    rng, total = np.random.default_rng(seed), np.zeros((375, 500, 3))
    for size, weight in ((125, 0.16), (50, 0.14), (20, 0.13), (8, 0.12), (3, 0.15), (1, 0.3)):
        coarse = rng.integers(0, 256, (-(-375 // size), -(-500 // size), 3), dtype=np.uint8)
        total += weight * np.asarray(Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC))
    stream = io.BytesIO()
    Image.fromarray(total.astype(np.uint8)).save(stream, "jpeg", quality=90)
    return stream.getvalue()


def rate(work: Callable[[], int], seconds: float = 4.0) -> float:
    """Images per second of CPU time; `work` returns how many it made."""
    work()
    made, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        made += work()
    return made / (time.process_time() - start)


def decode(path: str) -> int:
    read_image(Path(path), SIDE)
    return 1


def side_by_side(paths: list[str]) -> dict[str, tuple[float, float]]:
    """One worker and two of each kind: images per second of the clock, and of CPU time."""
    many, found = paths * 20, {}
    for title, pool, workers in (
        ("1 thread", ThreadPoolExecutor, 1),
        ("2 threads", ThreadPoolExecutor, 2),
        ("2 processes", ProcessPoolExecutor, 2),
    ):
        clock, spent = time.perf_counter(), sum(os.times()[:4])  # own and ended children's
        with pool(workers) as running:
            list(running.map(decode, many, chunksize=16))
        clock, spent = time.perf_counter() - clock, sum(os.times()[:4]) - spent
        found[title] = len(many) / clock, len(many) / spent
    return found


def measure(folder: Path, batch: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """(images per second and core of each way, those of one and two workers)."""
    paths = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    print(f"{PICTURES} pictures of {np.mean([path.stat().st_size for path in paths]) / 1e3:.0f} kB\n")
    rng, draws = np.random.default_rng(0), torch.Generator().manual_seed(0)
    count = 8 * batch
    np.save(folder / "images.npy", rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(folder / "moments.npy", rng.normal(size=(count, 2, TOKENS, 2 * CHANNELS)).astype(np.float32))
    images, moments = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "moments"))

    def files() -> int:
        return sum(decode(str(path)) for path in paths)

    def decoded_only() -> int:
        return len([open_image(path) for path in paths])

    def gathered() -> int:
        return len(torch.from_numpy(np.array(images[rng.permutation(count)[:batch]])))

    def ready() -> int:
        chosen = torch.from_numpy(np.array(images[rng.permutation(count)[:batch]]))
        return len(random_flip(to_float(chosen), draws))

    def tokens() -> int:
        chosen = rng.permutation(count)[:batch]
        drawn = torch.from_numpy(moments[chosen, rng.integers(0, 2, batch)])
        return len((GaussianPosterior.from_moments(drawn).sample(draws) - 0.1) / 1.1)

    ways = {
        "JPEG decoded": decoded_only,
        "JPEG decoded, ADM crop to 256": files,
        "image cache: a shuffled batch, uint8": gathered,
        "image cache: the same, flipped, as float": ready,
        "token cache: moments, flip, posterior sample": tokens,
    }
    return {title: rate(way) for title, way in ways.items()}, side_by_side([str(path) for path in paths])


def demands(faster: float) -> dict[str, float]:
    """Training of the paper -> images per second that one GPU asks for."""
    hours = load("config/published/detok.csv").query("table == 'GPU-hours'").groupby("row")["value"].min()
    return {row: int(re.search(r"(\d+) epochs", row).group(1)) * IMAGES / (3600 * hours[row]) * faster for row in ROWS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faster", type=float, default=3.0, help="speed of the GPU, in A100s (default: 3, an H100)")
    parser.add_argument("--batch", type=int, default=128, help="images of a batch (1,024 shared by 8 GPUs: 128)")
    parser.add_argument("--required", type=float, nargs="*", default=[], help="further images/s of one GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rates, workers = measure(Path(folder), arguments.batch)
    print("| way | images/s of one core |\n|---|---:|")
    for title, found in rates.items():
        print(f"| {title} | {found:,.0f} |")
    print("\n| decoding and cropping | images/s | images/s of CPU time |\n|---|---:|---:|")
    for title, (clock, spent) in workers.items():
        print(f"| {title} | {clock:,.0f} | {spent:,.0f} |")
    asked = demands(arguments.faster) | {f"--required {number:g}": number for number in arguments.required}
    _, jpegs, gathered, ready, tokens = rates
    print(f"\n| one GPU, {arguments.faster:g} x A100 | images/s | cores: JPEG | cache, uint8 | cache, float | tokens |")
    print("|---|---:|---:|---:|---:|---:|")
    for row, required in asked.items():
        ways = (jpegs, gathered, ready) if "Tokenizer" in row else (tokens,) if "epochs" in row else list(rates)[1:]
        cores = [f"{required / rates[way]:.2f}" if way in ways else "" for way in (jpegs, gathered, ready, tokens)]
        print(f"| {row} | {required:,.0f} | {' | '.join(cores)} |")


if __name__ == "__main__":
    main()
