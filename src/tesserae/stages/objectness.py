"""Stage `objectness`: whether what a token attends to is an object (COMiT, Sec. 4 and App. C; Figs. 2, 6 and 8).

Shapes: N images of side S, K of them shown; M tokens; G x G positions of a map; X shares; T tokens shown.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.data.floats import float_images
from tesserae.data.masks import Masked, open_masks
from tesserae.lineage.measures.objects import Objects
from tesserae.lineage.work import Work
from tesserae.metrics.objectness import ceiling, middle, overlaps, random_maps, smoothness
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.tokenizers import attends_to_images
from tesserae.training import weights

TOKENS = 6  # of each shown image: the best one, and those that differ most
LINES = ("miou", "chance", "another", "middle", "ceiling")
OWN, TO_MESSAGE = "own", "image_to_message"  # the paper's numbers; those of what positions ask of tokens
LAYER = "layer "  # of names of views that no number is called by
HARD = "causal"  # the mask of the buffer that the paper describes


class View(NamedTuple):
    """Where attention is read."""

    layer: int
    time: float
    mask: str = HARD


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and objectness.npz.

    metrics.json: `miou`, the mean over images of the IoU of the best token's map with the mask, where the spec's
    `share` percent of the map are kept, and what it is worth: `chance`, as many random maps that are as smooth;
    `another`, the maps of another image; `middle`, one map that is highest in the middle; `ceiling`, what no map can
    exceed. All five at every share, `miou_10` and so on. miou and chance at other times, `miou_t10` at 0.1, of what
    positions of the image ask of tokens, `miou_image_to_message`, and, of official weights that were trained without a
    mask of the buffer, without it, `miou_unmasked`. `object_percent` of all pixels belong to objects. Beside the values
    `layers`: miou and chance at each block.

    objectness.npz: of K images `originals` (K, S, S, 3) uint8, `masks` (K, S, S) bool, `best_maps` (K, X, G, G), the
    map of the best token at each of `shares` (X,), and its IoU, `best` (K, X); `maps` (K, T, G, G) of the tokens
    `tokens` (K, T): the best one at the spec's share, then each time that which attends least to where those before do.
    """
    spec, device = work.spec, pick_device(work.device)
    data = open_masks(work.inputs["masks"])
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    views, shares = views_of(model, spec), spec["shares"]
    means = measured(work, model, data, views, device)
    values = named(means, shares, shares.index(spec["share"]))
    values |= {f"{line}_{name_at(spec['time'])}": values[line] for line in LINES[:2]}
    values["object_percent"] = 100 * float((data.masks[:] > 0).mean())
    measure = Objects(
        reference=work.inputs["masks"].name,
        samples=len(data.images),
        weights="averaged",
        share=spec["share"],
        block=f"{spec['layer']} of {spec['blocks']}",
        time=spec["time"],
        seed=spec["seed"],
    )
    layers = over_layers(views, means, shares.index(spec["share"]))
    np.savez_compressed(work.out / "objectness.npz", **look_at(model, data, views[OWN], spec, device))
    return write_numbers(work, values, measure, layers=layers)


def measured(
    work: Work, model: Any, data: Masked, views: dict[str, View], device: torch.device
) -> dict[tuple[str, str], list[float]]:
    """Means over images at each share (X,), by view and line; ValueError for fewer than two images."""
    if len(data.images) < 2:
        raise ValueError(f"{work.inputs['masks'].name} has {len(data.images)} images: maps of another one need two")
    spec, shares = work.spec, work.spec["shares"]
    found: dict[tuple[str, str], list[Tensor]] = defaultdict(list)  # of each view and line (B, X)
    every: list[Tensor] = []  # maps of the paper's view
    for part in slices(len(data.images), spec["batch"], work.title):
        images, masks = float_images(data.images[part], device), torch.from_numpy(data.masks[part] > 0).to(device)
        for name, maps in attention(model, model.encode(images), views, spec["steps"]):
            lines = {"miou": maps, "chance": drawn(maps, [(spec["seed"], n) for n in range(part.start, part.stop)])}
            if name == OWN:
                lines["middle"] = middle(maps.shape[-1]).to(device).expand(len(maps), -1, -1, -1)
                found[name, "ceiling"].append(ceiling(masks, shares).cpu())
                every.append(maps.cpu())
            for line, some in lines.items():
                found[name, line].append(overlaps(some, masks, shares).amax(dim=1).cpu())  # (B, X)
    of_others = torch.cat(every).roll(len(data.images) // 2, dims=0)  # neighbours in a data set may be alike
    for part in slices(len(of_others), spec["batch"], f"{work.title}, maps of other images"):
        masks = torch.from_numpy(data.masks[part] > 0).to(device)
        found[OWN, "another"].append(overlaps(of_others[part].to(device), masks, shares).amax(dim=1).cpu())
    return {key: torch.cat(parts).mean(dim=0).tolist() for key, parts in found.items()}


def over_layers(views: dict[str, View], means: dict[tuple[str, str], list[float]], at: int) -> list[dict[str, float]]:
    """miou and chance at each block, from the first; `at`: which of the shares is the paper's."""
    read = {view.layer: name for name, view in views.items() if name == OWN or name.startswith(LAYER)}
    return [{"layer": layer, **{line: means[read[layer], line][at] for line in LINES[:2]}} for layer in sorted(read)]


def depth_of(model: Any) -> int:
    """How many blocks a tokenizer has whose attention can be read; ValueError for one that shows none."""
    if not attends_to_images(model):
        raise ValueError(
            f"{type(model).__name__} shows no attention of tokens to an image (AttendsToImages in "
            "src/tesserae/contracts.py): take its row out of the table or figure that shows this stage"
        )
    return model.attention_blocks


def layer_of(layer: int, blocks: int, depth: int) -> int:
    """The block of a model of `depth` that stands for `layer` of `blocks`, both from 0.

    DECISION (D24): in proportion, rounded, but never the last one: what tokens of the message are after it nobody
    reads, so that nothing teaches them where to look. The paper's 24 of 28 is 10 of 12.
    """
    return min(round(layer * depth / blocks), max(depth - 2, 0))


def views_of(model: Any, spec: dict[str, Any]) -> dict[str, View]:
    """Where attention is read, by the name of its numbers; OWN is the paper's."""
    depth = depth_of(model)
    own = View(layer_of(spec["layer"], spec["blocks"], depth), spec["time"])
    views = {OWN: own}
    views |= {name_at(time): own._replace(time=time) for time in spec["times"] if time != own.time}
    views |= {f"{LAYER}{layer}": own._replace(layer=layer) for layer in range(depth) if layer != own.layer}
    if model.attention_mask != HARD:  # DECISION (D27): both, of weights that were trained without
        views["unmasked"] = own._replace(mask=model.attention_mask)
    return views


def name_at(time: float) -> str:
    """What numbers at a time are called."""
    return f"t{100 * time:.0f}"


def attention(model: Any, codes: Tensor, views: dict[str, View], steps: int) -> Iterator[tuple[str, Tensor]]:
    """The maps of codes (B, N) in a drawing of so many steps, float32 (B, M, G, G), by the name of each view; of OWN
    also how positions look back.
    """
    names = {view: name for name, view in views.items()}
    for mask in dict.fromkeys(view.mask for view in names):
        wanted: dict[float, list[int]] = defaultdict(list)
        for view in names:
            if view.mask == mask:
                wanted[view.time].append(view.layer)
        for time, layer, to_image, to_message in model.message_attention(codes, wanted, mask=mask, steps=steps):
            name = names[View(layer, time, mask)]
            yield name, to_image.float()
            if name == OWN:
                yield TO_MESSAGE, to_message.float()


def drawn(maps: Tensor, seeds: Sequence[tuple[int, int]]) -> Tensor:
    """Random maps, as many as there are and each as smooth as one of them, (B, M, G, G); a seed for each image."""
    wanted = smoothness(maps)
    found = [
        random_maps(smooth, maps.shape[-1], np.random.default_rng(seed))
        for smooth, seed in zip(wanted, seeds, strict=True)
    ]
    return torch.stack(found).to(maps.device)


def named(means: dict[tuple[str, str], list[float]], shares: list[int], at: int) -> dict[str, float]:
    """Numbers by name, from means (X,) by view and line; `at`: which of the shares is the paper's."""
    values = {}
    for (view, line), found in means.items():
        if view == OWN:
            values |= {line: found[at]} | {f"{line}_{share}": value for share, value in zip(shares, found, strict=True)}
        elif not view.startswith(LAYER):
            values[f"{line}_{view}"] = found[at]
    return values


def look_at(model: Any, data: Masked, view: View, spec: dict[str, Any], device: torch.device) -> dict[str, np.ndarray]:
    """The arrays, see `run`."""
    chosen = np.linspace(0, len(data.images) - 1, min(spec["shown"], len(data.images))).astype(int)
    shares, at = spec["shares"], spec["shares"].index(spec["share"])
    rows: dict[str, list[Tensor]] = {"best_maps": [], "best": [], "maps": [], "tokens": []}
    for number in chosen:
        images = float_images(data.images[number : number + 1], device)
        maps = dict(attention(model, model.encode(images), {OWN: view}, spec["steps"]))[OWN]
        scores = overlaps(maps, torch.from_numpy(data.masks[number : number + 1] > 0).to(device), shares)[0]  # (M, X)
        best = scores.max(dim=0)
        tokens = spread_out(maps[0], int(best.indices[at]), TOKENS, spec["share"])
        rows["best_maps"].append(maps[0][best.indices])
        rows["best"].append(best.values)
        rows["maps"].append(maps[0][tokens])
        rows["tokens"].append(tokens)
    arrays = {name: torch.stack(found).cpu().numpy() for name, found in rows.items()}
    return arrays | {"originals": data.images[chosen], "masks": data.masks[chosen] > 0, "shares": np.array(shares)}


def spread_out(maps: Tensor, first: int, many: int, share: int) -> Tensor:
    """`many` tokens (T,) of maps (M, G, G), `first` and then each time the one whose kept positions those before keep
    least of; fewer if there are not so many.
    """
    count = max(1, round(share / 100 * maps[0].numel()))
    kept = torch.zeros_like(maps.flatten(1), dtype=torch.bool)
    kept.scatter_(1, maps.flatten(1).topk(count, dim=1).indices, True)  # (M, G^2)
    chosen, seen = [first], kept[first].clone()
    while len(chosen) < min(many, len(maps)):
        shared = (kept & seen).sum(dim=1)
        shared[chosen] = count + 1
        chosen.append(int(shared.argmin()))
        seen |= kept[chosen[-1]]
    return torch.tensor(chosen, device=maps.device)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("objectness")
