"""Stage `information_gain`: AvgIG of a tokenizer, what gradient descent on an image's tokens gains (CompTok, Eq. 2)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tesserae.data.cache import Images, open_cache
from tesserae.lineage.measures.descents import Descents
from tesserae.lineage.work import Work
from tesserae.metrics.information_gain import Coordinates, Descent, descend, information_gain, random_starts
from tesserae.metrics.mode_connectivity import first_of_classes
from tesserae.stages.shared.moving import Moving, bar, kept, parts, resuming
from tesserae.stages.shared.numbers import write_numbers

NAMES = ("avgig", "worse", "error_start", "error_end")
# Between seeds of the noise that decoders draw and those of starts: else both are the same numbers. Of a seed PyTorch
# reads 32 bits.
APART = 2**31


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and descents.npz.

    metrics.json: `avgig`, bits per value of an image over the run, the mean over images (D29), and `avgig_literal`, the
    same as Eq. 15 prints it, bits of a step of all values; `worse`, percent of images further away in the end;
    `error_start` and `error_end`, mean squared errors in [0, 1]. The first, `worse` and errors also of descents from
    an image's own tokens (App. C), `avgig_enc`, and of random starts with steps in the tokens' own units, `avgig_raw`,
    where the spec's `kinds` name them: what follows the names of the numbers. Beside the values `curves`: mean
    squared errors after each step (T + 1,), by the same names. `without`: names of numbers that there are not, since a
    descent diverged or tokens do not change, with the reason.

    descents.npz: `images` int64 (B,), which validation images; `errors`, `errors_enc`, `errors_raw` float32 (T + 1, B).

    A descent of a batch is finished at once; what an interrupted job has finished is kept.
    """
    spec, moving = work.spec, Moving(work)
    data = open_cache(work.inputs["dataset"], "val")
    rows = first_of_classes(np.array(data.labels), spec["images"])
    scale, shape = calibrated(work)
    measure = Descents(
        reference=f"{work.inputs['dataset'].name} val",
        samples=len(rows),
        weights="averaged",
        **{key: spec[key] for key in ("steps", "rate", "drawing_steps", "calibration_images")},
    )
    if scale.still:
        reason = f"{len(scale.still)} of {shape[1]} channels of its tokens never change"
        names = [f"{name}{kind}" for kind in spec["kinds"] for name in NAMES]
        np.savez_compressed(work.out / "descents.npz", images=rows)
        return write_numbers(work, {}, measure, without=dict.fromkeys([*names, "avgig_literal"], reason), curves={})
    found: dict[str, Descent] = {}
    with resuming(work), bar(work.title, len(spec["kinds"]) * len(rows) * spec["steps"], "step") as moved:
        for kind in spec["kinds"]:
            errors = []
            for first, some in parts(rows, spec["batch"]):
                made = kept(work, f"{kind}-{first}", batch(moving, data, some, kind, scale, shape, spec, moved))
                errors.append(torch.from_numpy(made["errors"]))
            found[kind] = Descent(torch.cat(errors, dim=1))
    values, without, deviation, curves = numbers(found, 3 * data.images.shape[1] ** 2)
    arrays = {f"errors{kind}": descent.errors.float().numpy() for kind, descent in found.items()}
    np.savez_compressed(work.out / "descents.npz", images=rows, **arrays)
    return write_numbers(work, values, measure, deviation=deviation, without=without, curves=curves)


def calibrated(work: Work) -> tuple[Coordinates, tuple[int, int]]:
    """Units of the tokens, and how many there are of an image, with how many channels."""
    with np.load(work.inputs["calibration"] / "calibration.npz") as file:
        mean, std, tokens = (torch.from_numpy(file[name]) for name in ("mean", "std", "tokens"))
    return Coordinates(mean, std), (int(tokens), mean.shape[-1])


def batch(
    moving: Moving,
    data: Images,
    rows: np.ndarray,
    kind: str,
    scale: Coordinates,
    shape: tuple[int, int],
    spec: dict[str, Any],
    moved: Callable[[int], object],
) -> Callable[[], dict[str, np.ndarray]]:
    """Descents of some images: {"errors": (T + 1, B)} when it is called."""

    def descended() -> dict[str, np.ndarray]:
        ours = Coordinates(*(part.to(moving.device) for part in scale))
        seeds = rows.tolist()
        if kind == "_enc":
            tokens = moving.vectors(data, rows)
            if tokens.shape[1:] != shape:
                made, told = (f"{many} tokens of {values}" for many, values in (tokens.shape[1:], shape))
                raise ValueError(
                    f"it makes {made} values, and its calibration is of {told}: make both of one tokenizer"
                )
            start = ours.of(tokens)
        else:
            start = random_starts([APART + seed for seed in seeds], shape, ours, moving.normalised)
        if kind == "_raw":
            start, ours = ours.vectors(start), Coordinates(torch.zeros_like(ours.mean), torch.ones_like(ours.std))
        done = descend(
            moving.images_of(seeds),
            moving.pictures(data, rows),
            start,
            ours,
            steps=spec["steps"],
            rate=spec["rate"],
            after_step=lambda: moved(len(rows)),
        )
        return {"errors": done.errors.numpy()}

    return descended


def numbers(
    found: dict[str, Descent], values: int
) -> tuple[dict[str, float], dict[str, str], dict[str, float], dict[str, list[float]]]:
    """Values by name, reasons for those that there are not, the deviation of means over images, and mean curves.

    values: of an image, 3 S S.
    """
    named: dict[str, float] = {}
    without: dict[str, str] = {}
    deviation: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for kind, descent in found.items():
        names = [f"{name}{kind}" for name in NAMES]
        diverged, count = int(descent.diverged.sum()), descent.errors.shape[1]
        if diverged:
            reason = f"diverged, of {diverged} of {count} images"
            without |= dict.fromkeys([*names, *([] if kind else ["avgig_literal"])], reason)
            continue
        gain = information_gain(descent, values)
        curve = descent.errors.mean(dim=1).tolist()
        named |= dict(zip(names, (gain.bits, 100 * gain.worse, curve[0], curve[-1]), strict=True))
        named |= {} if kind else {"avgig_literal": gain.literal}
        if count > 1:
            deviation[names[0]] = float(descent.gains.std() / count**0.5)
        curves[names[0]] = curve
    return named, without, deviation, curves


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("information_gain")
