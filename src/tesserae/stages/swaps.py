"""Stage `swaps`: pictures of tokens mixed from two images, and what that does to them (CompTok, Figs. 3 to 8).

Shapes: P pairs of validation images of side S, K of them shown; R columns of a row, from no token of the second image
to all; M tokens of an image; B pairs of a batch.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.data.cache import Images, open_cache
from tesserae.data.transforms import to_uint8
from tesserae.encoders.pooled import pooled_features
from tesserae.lineage.measures.mixtures import Mixtures
from tesserae.lineage.work import Work
from tesserae.metrics.mode_connectivity import Judge, Pairs, connectivities
from tesserae.metrics.swapping import neglected, sensitivities, some_pairs, swapped, turning_points
from tesserae.stages.shared.judging import critic_of, open_pairs
from tesserae.stages.shared.moving import Moving, bar, kept, parts, resuming
from tesserae.stages.shared.numbers import write_numbers

ORDERS = {"": "random", "_prefix": "prefix"}  # what follows the names of the numbers -> which tokens come first
OF_ROWS = ("ratio", "worst", "half_first", "half_second", "turn")
MOVED = ("sensitivity", "neglected")

Arrays = dict[str, np.ndarray]


class Mixing(NamedTuple):
    """What the pictures of a job are made from and looked at with."""

    moving: Moving
    data: Images
    pairs: Pairs
    features: np.ndarray  # (N, F) of all validation images
    judge: Judge
    shown: np.ndarray  # numbers of the pairs whose pictures are kept
    spec: dict[str, Any]

    def vectors(self, some: np.ndarray) -> tuple[Tensor, Tensor]:
        """Tokens (B, M, C) of both images of some pairs."""
        first, second = (self.moving.vectors(self.data, rows[some]) for rows in (self.pairs.first, self.pairs.second))
        return first, second

    def likeness(self, seen: Tensor, rows: np.ndarray) -> Tensor:
        """Cosines (B,) of features (B, F) with those of validation images, rows (B,)."""
        return F.cosine_similarity(seen, torch.from_numpy(np.array(self.features[rows])).to(seen), dim=1)


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and swaps.npz.

    metrics.json, means over pairs, of rows that take tokens in random order and, `..._prefix`, from the first one on:
    `ratio`, the critic's loss at the better end over that at the worst column, from 0 to 1, as MC is; `worst`, that
    loss; `half_first` and `half_second`, cosines of the picture with half of the tokens and either image; `turn`,
    percent of the tokens after which it is more like the second one. `end`, the loss at the better end. `sensitivity`,
    mean squared change in [0, 1] images where one token is replaced; `neglected`, percent of the tokens that change a
    tenth of that or less. Of a tokenizer that reads tokens back: `missed_own` and `missed_mixed`, errors over those of
    one that reads nothing, of an image's own tokens and of mixed ones; `..._8bit`, of pictures of 8 bits. Beside the
    values `curves`, means by column (R,): `loss`, `first` and `second`, of both orders, `missed` and `missed_8bit`.
    `without`: names of numbers that there are not, with the reason.

    swaps.npz: of K pairs `first` and `second` (K, S, S, 3) uint8, `pictures` and `pictures_prefix` (K, R, S, S, 3);
    `shares` (R,) of the tokens; `sensitivities` float32 (P', M), NaN where both images have the same token.

    Noise is that of the pair, along the whole row. What an interrupted job has finished is kept.
    """
    spec, moving = work.spec, Moving(work)
    data = open_cache(work.inputs["dataset"], "val")
    pairs, features = open_pairs(work, len(data.images))
    chosen = some_pairs(len(pairs.first), spec["pairs"])
    shown, single = chosen[: spec["shown"]], chosen[: spec["sensitivity_pairs"]]
    mixing = Mixing(moving, data, pairs, features, critic_of(work, moving, data, spec["role"]), shown, spec)
    with resuming(work), bar(work.title, len(ORDERS) * len(chosen) + len(single), "row") as moved:
        rows = joined(
            kept(work, f"rows-{start}", mixed(mixing, some, moved)) for start, some in parts(chosen, spec["batch"])
        )
        changes = joined(
            kept(work, f"tokens-{start}", changed(mixing, some, moved)) for start, some in parts(single, spec["batch"])
        )
    values, without, curves = numbers(rows, changes["sensitivities"])
    arrays = {f"pictures{order}": rows[f"pictures{order}"] for order in ORDERS}
    arrays |= {"first": data.images[pairs.first[shown]], "second": data.images[pairs.second[shown]]}
    np.savez_compressed(work.out / "swaps.npz", shares=np.linspace(0, 1, spec["columns"]), **arrays, **changes)
    measure = Mixtures(
        reference=f"{work.inputs['dataset'].name} val",
        samples=len(chosen),
        sensitivity_pairs=len(single),
        weights="averaged",
        **{key: spec[key] for key in ("critic", "encoder", "columns", "drawing_steps", "real_images")},
    )
    return write_numbers(work, values, measure, without=without, curves=curves)


def joined(batches: Any) -> Arrays:
    """Arrays of all batches, one after the other."""
    found = list(batches)
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


def mixed(mixing: Mixing, some: np.ndarray, moved: Callable[[int], object]) -> Callable[[], Arrays]:
    """The rows of some pairs, by their numbers (B,), when it is called: `loss`, `first` and `second` float64 (B, R),
    and of those that are shown `pictures` (b, R, S, S, 3), of both orders; `missed` and `missed_8bit` (B, R) where the
    tokenizer reads tokens back.
    """
    spec, shown = mixing.spec, torch.from_numpy(np.isin(some, mixing.shown))

    @torch.no_grad()
    def made() -> Arrays:
        first, second = mixing.vectors(some)
        decode, found = mixing.moving.images_of(some.tolist()), {}
        for name, order in ORDERS.items():
            columns: dict[str, list[Tensor]] = {}
            for replaced in swapped(first.shape[1], order, spec["seed"], spec["columns"]).to(first.device):
                tokens = torch.where(replaced[:, None], second, first)
                images = decode(tokens).clamp(-1, 1)
                seen = pooled_features(spec["encoder"], images)
                column = {f"loss{name}": mixing.judge(images)}
                column[f"first{name}"] = mixing.likeness(seen, mixing.pairs.first[some])
                column[f"second{name}"] = mixing.likeness(seen, mixing.pairs.second[some])
                if spec["read_by"] is not None and order == "random":
                    reader = importlib.import_module(spec["read_by"])
                    found_back = reader.missed(mixing.moving.model, tokens, seeds=some.tolist(), **mixing.moving.drawn)
                    column |= dict(zip(("missed", "missed_8bit"), found_back, strict=True))
                column = {key: value.double().cpu() for key, value in column.items()}
                column[f"pictures{name}"] = to_uint8(images, mode="round").cpu()[shown]
                for key, value in column.items():
                    columns.setdefault(key, []).append(value)
            found |= {key: torch.stack(each, dim=1).numpy() for key, each in columns.items()}
            moved(len(some))
        return found

    return made


def changed(mixing: Mixing, some: np.ndarray, moved: Callable[[int], object]) -> Callable[[], Arrays]:
    """What single tokens of some pairs change, (B,), when it is called: {"sensitivities": (B, M)}."""

    def made() -> Arrays:
        first, second = mixing.vectors(some)
        decode = mixing.moving.images_of(some.tolist())
        found = sensitivities(lambda tokens: decode(tokens).clamp(-1, 1), first, second)
        moved(len(some))
        return {"sensitivities": found.float().cpu().numpy()}

    return made


def numbers(rows: Arrays, sensitivity: np.ndarray) -> tuple[dict[str, float], dict[str, str], dict[str, list[float]]]:
    """Values, names of those that there are not with the reason, and curves; see `run`."""
    values: dict[str, float] = {}
    without: dict[str, str] = {}
    curves: dict[str, list[float]] = {}
    for name in ORDERS:
        loss, first, second = (torch.from_numpy(rows[f"{key}{name}"]) for key in ("loss", "first", "second"))
        if not loss.isfinite().all():
            without |= dict.fromkeys([f"{key}{name}" for key in OF_ROWS], "the realism of some pictures is not finite")
            continue
        half = loss.shape[1] // 2
        turn = 100 * turning_points(first, second)
        found = (connectivities(loss), loss.amax(dim=1), first[:, half], second[:, half], turn)
        values |= {f"{key}{name}": value.mean().item() for key, value in zip(OF_ROWS, found, strict=True)}
        means = {"loss": loss, "first": first, "second": second}
        curves |= {f"{key}{name}": value.mean(dim=0).tolist() for key, value in means.items()}
        values["end"] = loss[:, [0, -1]].amin(dim=1).mean().item()
    if "end" not in values:
        without["end"] = without["ratio"]
    changes = torch.from_numpy(sensitivity).double()
    if changes.isnan().all() or changes.isinf().any():
        without |= dict.fromkeys(MOVED, "no token differs between the images of a pair, or a change is not finite")
    else:
        values |= {"sensitivity": changes.nanmean().item(), "neglected": 100 * neglected(changes)}
    for kind in ("", "_8bit") if "missed" in rows else ():
        missed = rows[f"missed{kind}"]
        values[f"missed_own{kind}"] = float(missed[:, [0, -1]].mean())
        values[f"missed_mixed{kind}"] = float(missed[:, 1:-1].mean())
        curves[f"missed{kind}"] = missed.mean(axis=0).tolist()
    return values, without, curves


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("swaps")
