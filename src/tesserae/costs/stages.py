"""What one job of each stage needs: GPU time, memory of a GPU, disk. One small function per stage, in one registry.

A function gets a Task and returns its Need. Stages that are not in the registry are an error, never free.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tesserae import sweeps
from tesserae.config.domains import READERS
from tesserae.config.registry import tokens_of
from tesserae.config.resolve import Tokens
from tesserae.costs import probing
from tesserae.costs.assumed import CONTEXT, DECODED, LIGHT, PAGE, STARTED
from tesserae.costs.calibration import Rates, adversarial_fraction, count_training
from tesserae.costs.counts import count
from tesserae.lineage.measures.speed import other_batches
from tesserae.lineage.walk import nearest_first

# What only training does, as it is at use: tokenizers that differ in nothing else are counted once.
AT_INFERENCE = {
    "gamma": 0.0,
    "noise": "interpolative",
    "mask_ratio": 0.0,
    "mask_mode": "random",
    "gan_start_step": None,
    "filtering": {"order": "score"},  # a part of a setting; the others ask what an image shows, which cannot be counted
}
GRAPH = 12  # what a decode with a gradient holds, in peaks of one without: about a Transformer's blocks
ORDERS = 5  # of patches (stages/selection.py)
DECODING = ("dataset", "masks", "scenes", "domain")  # stages that decode files, on cores
EMBEDDED = 600  # validation images of the embedded corpus, about, drawn once
KEPT = 2  # checkpoints of a training (training/state.py)
FITTED, LEAST, PER_CENTRE, ROUNDS = 10_000, 8_192, 32, 30  # of k-means (controls/patches.py)
SOME_CLASSES = 8  # of pixels
PHRASES = {"minilm": 384, "t5": 768}  # width of the text encoders
CLASSES = {"inception-v3-compat": 1008, "embedded": 1000}  # logits of the extractors


class Need(NamedTuple):
    """What a job takes on the resources it asks for; bytes, seconds."""

    seconds: float
    memory: float = 0.0  # of a GPU, per process
    disk: float = 0.0  # of its outputs
    state: float = 0.0  # of its checkpoints, while it runs


@dataclass(frozen=True, eq=False)
class Task:
    """One job with what it is made from, and what its stage asks for."""

    id: str
    spec: dict[str, Any]
    producers: tuple["Task", ...]
    request: dict[str, int]

    @property
    def stage(self) -> str:
        return self.id.split("/")[0]

    def of(self, stage: str) -> "Task":
        """The nearest task of a stage that this one is made from; LookupError if there is none."""
        found = next((task for task in self.upstream() if task.stage == stage), None)
        if found is None:
            raise LookupError(f"{self.id} is made from no {stage}")
        return found

    def upstream(self) -> list["Task"]:
        """What it is made from, near ones first."""
        known = {self.id: self}

        def producers(name: str) -> Iterator[str]:
            for producer in known[name].producers:
                yield known.setdefault(producer.id, producer).id

        return [known[name] for name in nearest_first(producers, [self.id])[1:]]

    def sharded(self, items: int) -> int:
        """How many of `items` fall to this job, if its stage is scattered: the largest part."""
        return math.ceil(items / self.spec.get("shards", 1))


def need(task: Task, rates: Rates) -> Need:
    """What a job needs; ValueError for a stage whose cost nobody has written down."""
    if task.stage in LIGHT:
        shown = task.spec.get("shown", 0)
        return Need(STARTED + LIGHT[task.stage], disk=PAGE + (_pictures(task, shown) if shown else 0))
    if task.stage not in NEEDS:
        raise ValueError(f"{task.id}: the cost of stage {task.stage} is not known; add it to NEEDS in {__name__}")
    found = NEEDS[task.stage](task, rates)
    return found._replace(seconds=found.seconds + STARTED, memory=found.memory and found.memory + CONTEXT)


def check_gpus(tasks: Iterable[Task]) -> None:
    """ValueError if a stage that computes asks for no GPU where others do: their hours are known of GPUs alone."""
    for task in tasks:
        if task.stage in NEEDS and task.stage not in DECODING and not task.request["gpus"]:
            raise ValueError(
                f"{task.id} asks for no GPU, but other stages of its scale do; hours are counted for GPUs, or measured "
                f"where no stage asks for one: config/scales/<scale>.yaml: resources gives GPUs to a stage"
            )


# ---- data -------------------------------------------------------------------------------------------------------


def _data(task: Task) -> Task:
    """The images that a task looks at: the nearest data set, or domain in its place; LookupError if there is none."""
    found = next((one for one in (task, *task.upstream()) if one.stage in ("dataset", "domain")), None)
    return task.of("dataset") if found is None else found


def _side(task: Task) -> int:
    return _data(task).spec["image_size"]


def _pictures(task: Task, images: int) -> int:
    return images * _side(task) ** 2 * 3


def _split(task: Task, split: str) -> int:
    """Images of a split. A set without classes has `counts`: at most so many rows, and perhaps no `val`."""
    spec = _data(task).spec
    if f"{split}_images" in spec:
        return spec[f"{split}_images"]
    rows = {"val": 0} | {name.removesuffix(" rows"): count for name, count in spec["counts"].items()}
    return rows[split]


def _dataset(task: Task, rates: Rates) -> Need:
    images = _split(task, "train") + _split(task, "val")
    return Need(images / (DECODED * task.request["threads"]), disk=_pictures(task, images) + 8 * images)


def _masks(task: Task, rates: Rates) -> Need:
    """Images and masks, decoded one after another."""
    side, images = task.spec["image_size"], _masked(task)
    return Need(2 * images / DECODED, disk=4 * images * side**2)


def _masked(task: Task) -> int:
    """Images with masks; of an embedded corpus, which says no counts, so many that it takes no time."""
    return task.spec.get("counts", {}).get(task.spec["split"], EMBEDDED)


def _reference(task: Task, rates: Rates) -> Need:
    spec = task.spec
    some = spec["reference_samples"]
    images = (_split(task, "train") if some is None else some) + _split(task, "val")
    width = int(spec["layer"])
    kept = 2 * 8 * (width**2 + width) + 4 * width * min(spec["precision_recall_reference"], _split(task, "val"))
    return _features_of(task, rates, images)._replace(disk=kept)


def _features_of(task: Task, rates: Rates, images: int) -> Need:
    counted = count("features", extractor=task.spec["extractor"], batch=task.spec["batch"])
    return Need(images * rates.seconds(counted["flops"]), counted["weights"] + counted["peak"])


# ---- concepts ---------------------------------------------------------------------------------------------------


def _semantic(task: Task) -> dict[str, Any]:
    settings = {key: task.spec[key] for key in ("encoder", "feature", "side", "batch")}
    return count("semantic", **settings)


def _semantic_features(task: Task, rates: Rates) -> Need:
    counted, images = _semantic(task), task.sharded(_split(task, task.spec["split"]))
    disk = 2 * images * counted["patches"] * counted["width"]  # float16
    return Need(images * rates.seconds(counted["flops"]), counted["weights"] + counted["peak"], disk)


def _teacher_features(task: Task, rates: Rates) -> Need:
    """Each image and its mirror image; features are kept as float16."""
    counted = count("teacher", teacher=task.spec["teacher"], side=_side(task), batch=task.spec["batch"])
    images = task.sharded(_split(task, "train"))
    seconds = 2 * images * rates.seconds(counted["flops"])
    disk = 2 * 2 * images * (1 + counted["places"]) * counted["width"]
    return Need(seconds, counted["weights"] + counted["peak"], disk)


def _sae(task: Task, rates: Rates) -> Need:
    """Counted by patches, of which an image has as many as its encoder makes."""
    patches, spec = _semantic(task.of("semantic_features"))["patches"], task.spec
    batch = patches * spec["training"]["batch"]
    counted = count_training(spec | {"training": spec["training"] | {"batch": batch}})
    for part in ("flops", "adversarial"):
        counted = counted | {part: {name: patches * each for name, each in counted[part].items()}}
    return _trained(task, counted, rates)


def _sparse(task: Task, rates: Rates, images: int) -> Need:
    """Images through the encoder, and their patches through the autoencoder."""
    encoded, sae = _semantic(task), task.of("sae").spec
    found = count("concepts", sae["module"], model=sae["model"], patches=encoded["patches"], batch=task.spec["batch"])
    seconds = images * (rates.seconds(encoded["flops"]) + rates.seconds(found["flops"]))
    return Need(seconds, encoded["weights"] + found["weights"] + max(encoded["peak"], found["peak"]))


def _concepts(task: Task, rates: Rates) -> Need:
    train, val, most = _split(task, "train"), _split(task, "val"), task.spec["concepts"]
    rows = 2 * train + val  # the image and its mirror image
    kept = 4 * rows * most + 8 * (rows + 2)  # if every image has as many concepts as it may
    counted = 8 * task.of("sae").spec["model"]["dictionary"] * (1 + _data(task).spec["classes"])
    return _sparse(task, rates, rows)._replace(disk=kept + counted)


def _concept_f1(task: Task, rates: Rates) -> Need:
    """With prompts three times: their own, another image's, one that names no class."""
    prompted = any(producer.stage == "prompts" for producer in task.producers)
    return _encoded(task, rates, (3 if prompted else 1) * _split(task, "val"))._replace(disk=PAGE)


def _both(task: Task, rates: Rates, images: int) -> Need:
    """All validation images for their concepts, and so many through the tokenizer's encoder."""
    one, other = _sparse(task, rates, _split(task, "val")), _encoded(task, rates, images)
    return Need(one.seconds + other.seconds, one.memory + other.memory)


def _concept_examples(task: Task, rates: Rates) -> Need:
    shown = 2 * task.spec["shown"] * task.spec["images"]
    return _both(task, rates, _split(task, "val"))._replace(disk=_pictures(task, shown) + PAGE)


def _latent_clusters(task: Task, rates: Rates) -> Need:
    """t-SNE of so few points is left out."""
    chosen = min(task.spec["shown"] * task.spec["images"], _split(task, "val"))
    return _both(task, rates, chosen)._replace(disk=PAGE)


# ---- tokenizers and generators ----------------------------------------------------------------------------------


def _training(task: Task, rates: Rates) -> Need:
    return _official(task) if "official" in task.spec else _trained(task, count_training(task.spec), rates)


def _trained(task: Task, counted: dict[str, Any], rates: Rates) -> Need:
    """Averaged weights, optimizers and gradients are float32, as training/loop.py keeps them."""
    spec = task.spec
    images = spec["training"]["steps"] * spec["training"]["batch"] / task.request["processes"]
    parameters, frozen = 4 * counted["trainable"], 4 * counted["frozen"]
    exchanged = 2 * parameters if task.request["processes"] > 1 else parameters  # gradients, and their flat copy
    memory = 4 * parameters + frozen + max(counted["peak"], exchanged)  # weights, averaged ones, two moments
    seconds = images * rates.training(counted, adversarial_fraction(spec))
    return Need(seconds, memory, counted["weights"], KEPT * 4 * parameters)


def _official(task: Task) -> Need:
    """Published weights, read and written."""
    counted = count("size", task.spec["module"], model=task.spec["model"])
    return Need(0.0, counted["weights"], counted["weights"])


def _coded(task: Task) -> dict[str, Any]:
    spec = task.of("tokenizer").spec
    return count("coding", spec["module"], model=_used(spec["model"]), batch=task.spec["batch"])


def _used(model: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer's settings without what it needs in training alone."""
    at_use = {key: value for key, value in AT_INFERENCE.items() if key in model}
    return model | {key: model[key] | value if isinstance(value, dict) else value for key, value in at_use.items()}


def _encoded(task: Task, rates: Rates, images: int) -> Need:
    """Images through a tokenizer's encoder; a head for concepts is left out."""
    coded = _coded(task)
    return Need(images * rates.seconds(coded["encode"]), coded["weights"] + coded["peak"])


def _reconstruction(task: Task, rates: Rates) -> Need:
    coded, images = _coded(task), _split(task, "val")
    features = _features_of(task, rates, images)
    seconds = images * (rates.seconds(coded["encode"]) + rates.seconds(coded["decode"])) + features.seconds
    memory = coded["weights"] + max(coded["peak"], features.memory)
    return Need(seconds, memory, _pictures(task, 2 * task.spec["shown"]))


def _token_counts(task: Task, rates: Rates) -> Need:
    """Images through both halves, and again through the encoder for scores of patches; JPEG files are left out."""
    coded, images = _coded(task), _split(task, "val")
    seconds = images * (2 * rates.seconds(coded["encode"]) + rates.seconds(coded["decode"]))
    return Need(seconds, coded["weights"] + coded["peak"], 8 * images + PAGE)


def _rebuilt(task: Task, rates: Rates, encoded: int, decoded: int) -> Need:
    """All validation images so often through the encoder, and through decoder and extractor."""
    coded, images = _coded(task), _split(task, "val")
    features = _features_of(task, rates, decoded * images)
    seconds = images * (encoded * rates.seconds(coded["encode"]) + decoded * rates.seconds(coded["decode"]))
    return Need(seconds + features.seconds, coded["weights"] + max(coded["peak"], features.memory), PAGE)


def _truncation(task: Task, rates: Rates) -> Need:
    """Encoded once; decoded whole, and three times without each number of patches."""
    points, curve = task.spec["curve_points"], len(task.spec["curve"])
    return _rebuilt(task, rates, 1, 1 + 3 * (2 + (curve if points is None else min(points, curve))))


def _selection(task: Task, rates: Rates) -> Need:
    return _rebuilt(task, rates, ORDERS, ORDERS)


def _kept_tokens(task: Task, rates: Rates) -> Need:
    """Scores of all images; those that are shown, twice encoded and decoded, are left out."""
    maps = 8 * task.spec["shown"] * _side(task) ** 2
    return _encoded(task, rates, _split(task, "val"))._replace(disk=maps + _pictures(task, 3 * task.spec["shown"]))


def _looks(task: Task, rates: Rates) -> Need:
    """Once through the encoder for each crop, at most as dear as the whole image; drawn at last, and in one step.

    An adaptive policy draws in one step for each crop. Those that are shown, drawn after each crop, are left out.
    """
    coded, images, policy = _coded(task), _split(task, "val"), task.spec["policy"]
    features, passes = _features_of(task, rates, images), _passes(task)
    views = policy["crops"] if policy["order"] == "adaptive" else 1
    drawn = rates.seconds(coded["decode"]) * (1 + views / passes)
    seconds = images * (policy["crops"] * rates.seconds(coded["encode"]) + drawn) + features.seconds
    memory = coded["weights"] + max(coded["peak"], features.memory)
    return Need(seconds, memory, _pictures(task, (2 + policy["crops"]) * task.spec["shown"]) + PAGE)


def _passes(task: Task, steps: int | None = None, guidance: float | None = None) -> int:
    """How often a decoder that takes steps runs its network; by default as its recipe has it."""
    own = task.of("tokenizer").spec["model"]["sampling"]
    steps, guidance = steps or own["steps"], guidance or own["guidance"]
    return steps * (1 if guidance == 1 else 2)


def _drawing_sweep(task: Task, rates: Rates) -> Need:
    """Encoded once; a point costs what its passes do, beside those of the recipe."""
    spec, coded, images = task.spec, _coded(task), _split(task, "val")
    points = sweeps.points_of(spec)
    features = _features_of(task, rates, images * len(points))
    passes = sum(_passes(task, *point) for point in points) / _passes(task)
    seconds = images * (rates.seconds(coded["encode"]) + passes * rates.seconds(coded["decode"])) + features.seconds
    return Need(seconds, coded["weights"] + max(coded["peak"], features.memory), PAGE)


def _objectness(task: Task, rates: Rates) -> Need:
    """Each image through the network to be encoded, twice for each step of the drawing (with guidance), and once for
    each time at which attention is read; of pixels that are sorted, seconds are left out.
    """
    images, spec = _masked(task.of("masks")), task.spec
    found = _encoded(task, rates, images * (2 + len(spec["times"]) + 2 * spec["steps"]))
    return found._replace(disk=_pictures(task, 4 * task.spec["shown"]) + PAGE)


def _pairs(task: Task, rates: Rates) -> Need:
    """Features of all validation images, kept as float16; of their cosines seconds are left out."""
    counted, images = count("pooled", encoder=task.spec["encoder"], batch=task.spec["batch"]), _split(task, "val")
    disk = 2 * images * counted["width"] + 8 * 5 * 2 * task.spec["anchors"]
    return Need(images * rates.seconds(counted["flops"]), counted["weights"] + counted["peak"], disk)


def _own_tokenizer(task: Task) -> Task:
    """The tokenizer of whose name an artifact is, perhaps with a domain's: it may be made from others, too."""
    recipe, dot, seed = task.id.partition("/")[2].partition(".")
    names = {f"tokenizer/{name}{dot}{seed}" for name in (recipe, recipe.rpartition("-")[0])}
    return next(one for one in task.upstream() if one.id in names)


def _moved(task: Task) -> tuple[dict[str, Any], float]:
    """What a tokenizer costs at use, and which part of its decode one in few steps takes, if it takes steps."""
    spec = _own_tokenizer(task).spec
    coded = count("coding", spec["module"], model=_used(spec["model"]), batch=task.spec["batch"])
    drawn = spec["model"].get("sampling") or spec["model"].get("flow")
    if not drawn:
        return coded, 1.0
    return coded, task.spec["drawing_steps"] / (drawn["steps"] * (1 if drawn.get("guidance", 1) == 1 else 2))


def _calibration(task: Task, rates: Rates) -> Need:
    coded, _ = _moved(task)
    return Need(task.spec["images"] * rates.seconds(coded["encode"]), coded["weights"] + coded["peak"], PAGE)


def _information_gain(task: Task, rates: Rates) -> Need:
    """A descent of each kind for each image; a step is a decode, a second one where steps are evaluated again, and its
    gradient, which is two more. Of the graph of a step nothing is counted but what a decode holds, layer by layer.
    """
    (coded, part), spec = _moved(task), task.spec
    decodes = len(spec["kinds"]) * spec["images"] * spec["steps"] * (3 if part == 1 else 4)
    seconds = decodes * part * rates.seconds(coded["decode"]) + spec["images"] * rates.seconds(coded["encode"])
    kept = 4 * len(spec["kinds"]) * spec["images"] * (spec["steps"] + 1)
    return Need(seconds, coded["weights"] + GRAPH * coded["peak"], kept + PAGE)


def _mode_connectivity(task: Task, rates: Rates) -> Need:
    """Both ends of each pair encoded; at each point a decode, two critics, which cost as much as a step of CompTok's
    decoder and are left out, and the features.
    """
    (coded, part), spec = _moved(task), task.spec
    pairs = 2 * task.of("pairs").spec["anchors"]
    features = count("pooled", encoder=spec["encoder"], batch=spec["batch"])
    each = part * rates.seconds(coded["decode"]) + rates.seconds(features["flops"])
    seconds = pairs * (2 * rates.seconds(coded["encode"]) + spec["points"] * each)
    memory = 3 * coded["weights"] + features["weights"] + max(coded["peak"], features["peak"])
    return Need(seconds, memory, 4 * 3 * pairs * spec["points"] + PAGE)


def _swaps(task: Task, rates: Rates) -> Need:
    """Both images of each pair encoded; at each column of two orders a decode, the features, and the critic, which is
    left out; one decode for each token; of a tokenizer that reads tokens back, twice what a column takes.
    """
    (coded, part), spec = _moved(task), task.spec
    pairs = min(spec["pairs"], 2 * task.of("pairs").spec["anchors"])
    single, own = min(pairs, spec["sensitivity_pairs"]), _own_tokenizer(task).spec
    tokens = tokens_of(own["module"], own["model"]).length
    features = count("pooled", encoder=spec["encoder"], batch=spec["batch"])
    columns = pairs * spec["columns"] * 2
    decodes = columns + single * (tokens + 1) + (columns if spec["read_by"] else 0)
    seconds = decodes * part * rates.seconds(coded["decode"]) + columns * rates.seconds(features["flops"])
    seconds += 2 * (pairs + single) * rates.seconds(coded["encode"])
    memory = 2 * coded["weights"] + features["weights"] + max(coded["peak"], features["peak"])
    pictures = _pictures(task, 2 * spec["shown"] * (spec["columns"] + 1))
    return Need(seconds, memory, pictures + 4 * single * tokens + PAGE)


def _reconstruction_control(task: Task, rates: Rates) -> Need:
    """Patches are fitted and rebuilt in seconds, which are left out."""
    features = _features_of(task, rates, _split(task, "val"))
    return features._replace(disk=_pictures(task, 2 * task.spec["shown"]) + PAGE)


def _denoising(task: Task, rates: Rates) -> Need:
    coded, levels = _coded(task), len(task.spec["taus"]) + len(task.spec["ratios"])
    seconds = task.spec["batch"] * (rates.seconds(coded["encode"]) + levels * rates.seconds(coded["decode"]))
    pictures = 4 * task.spec["batch"] * 3 * _side(task) ** 2 * levels  # all levels of a batch are kept as float32
    return Need(
        seconds, coded["weights"] + coded["peak"] + pictures, _pictures(task, (levels + 1) * task.spec["shown"])
    )


def _made(task: Task) -> Tokens:
    spec = task.of("tokenizer").spec
    return tokens_of(spec["module"], spec["model"])


def _tokens(task: Task, rates: Rates) -> Need:
    """Mean and log-variance, in float32, of each image and its mirror image."""
    made, images = _made(task), task.sharded(_split(task, "train"))
    return _encoded(task, rates, 2 * images)._replace(disk=images * (2 * 4 * 2 * made.length * made.width + 8))


def _codes(task: Task, rates: Rates) -> Need:
    """Codes of each image and its mirror image, and how often each occurs."""
    made, images = _made(task), task.sharded(_split(task, "train"))
    width = 2 if made.vocabulary <= 2**16 else 4
    return _encoded(task, rates, 2 * images)._replace(disk=images * (2 * width * made.length + 8) + 8 * made.vocabulary)


def _ragged_codes(task: Task, rates: Rates) -> Need:
    """Codes and their places, as many as there may be, of each image and its mirror image, and where rows begin."""
    made, images = _made(task), task.sharded(_split(task, "train"))
    return _encoded(task, rates, 2 * images)._replace(disk=images * (2 * (2 * 4 * made.length + 2 * 8) + 8))


# ---- probes -----------------------------------------------------------------------------------------------------


def _looked_at(task: Task) -> Task:
    """The data set or the scenes whose images a probe is asked about."""
    near = task if task.stage == "probe_tokens" else task.of("targets")
    return next(one for one in near.producers if one.stage in ("dataset", "scenes"))


def _asked(task: Task, split: str) -> int:
    """Images of a split that a probe is asked about."""
    data = _looked_at(task)
    return probing.images(data.spec, split) if data.stage == "scenes" else _split(data, split)


def _scenes(task: Task, rates: Rates) -> Need:
    images, side = sum(probing.images(task.spec, split) for split in ("train", "val")), task.spec["image_size"]
    return Need(images / (DECODED * task.request["threads"]), disk=images * (3 * side**2 + 8))


def _probe_tokens(task: Task, rates: Rates) -> Need:
    """Both splits through the encoder; of each token its values in float16, and whether it is there."""
    made, images = _made(task), _asked(task, "train") + _asked(task, "val")
    return _encoded(task, rates, images)._replace(disk=images * made.length * (2 * made.width + 1) + PAGE)


def _read_by_probe(task: Task, tokens: int, width: int) -> probing.Read:
    targets = task.of("targets").spec
    if targets["task"] != "relations":
        return probing.Read(tokens, width)
    return probing.Read(tokens, width, PHRASES[task.spec["encoder"]], 1 + targets["negatives"])


def _probed(task: Task, rates: Rates, tokens: int, width: int) -> Need:
    """As if it ran all its epochs; its head is left out where the data set says how many answers there are."""
    read = _read_by_probe(task, tokens, width)
    flops, peak = probing.training(task.spec, read, 1, _asked(task, "train"), _asked(task, "val"))
    weights = 16 * 12 * task.spec["model"]["blocks"] * task.spec["model"]["width"] ** 2
    return Need(rates.seconds(flops), weights + peak, weights / 4 + PAGE)


def _probe(task: Task, rates: Rates) -> Need:
    made = _made(task)
    return _probed(task, rates, made.length, made.width)


def _probe_control(task: Task, rates: Rates) -> Need:
    """Fitting and coding patches takes seconds, which are left out."""
    control = task.spec["control"]
    if control["kind"] == "chance":
        return Need(0.0, disk=PAGE)
    values = 3 * (_looked_at(task).spec["image_size"] // control["grid"]) ** 2
    return _probed(task, rates, control["grid"] ** 2, control.get("components", values))


def _neighbours(task: Task, rates: Rates) -> Need:
    """All cosines of the validation images."""
    made, images = _made(task), _asked(task, "val")
    flops = {"bf16": 0.0, "fp32": 2.0 * images**2 * made.length * made.width}
    pictures = task.spec["shown"] * (1 + task.spec["neighbours"]) * 3 * _looked_at(task).spec["image_size"] ** 2
    kept = 4 * images * made.length * made.width
    return Need(rates.seconds(flops), 2 * kept, pictures + 8 * images * task.spec["neighbours"] + PAGE)


# ---- domains ----------------------------------------------------------------------------------------------------


def _domain(task: Task, rates: Rates) -> Need:
    """Images are decoded for themselves and once more for what is right of them."""
    images = task.spec["train_images"] + task.spec["val_images"]
    disk = images * (4 * task.spec["image_size"] ** 2 + 8)
    return Need(2 * images / (DECODED * task.request["threads"]), disk=disk + PAGE)


def _answering(network: Task) -> dict[str, Any]:
    """A task's network, which learns from its images how many classes there are: as if of SOME_CLASSES."""
    spec = network.spec
    reads = spec["module"].rpartition(".")[2] in READERS
    model = spec["model"] if reads else spec["model"] | {"classes": SOME_CLASSES}
    training = spec["training"] or {}
    return count(
        "answering",
        spec["module"],
        model=model,
        side=network.of("domain").spec["image_size"],
        batch=spec["batch"],
        training={key: training[key] for key in ("batch", "precision")} if training else None,
    )


def _task_network(task: Task, rates: Rates) -> Need:
    """Its updates, and the validation originals once."""
    counted, domain, training = _answering(task), task.of("domain").spec, task.spec["training"]
    seconds = domain["val_images"] * rates.seconds(counted["flops"])
    if training is not None:
        epochs, steps = training["epochs"], training["steps"]
        images = steps * training["batch"] if steps else epochs * domain["train_images"]
        seconds += images * (rates.overhead + rates.seconds(counted["trained"]))
    return Need(seconds, 4 * counted["weights"] + counted["peak"], counted["weights"] + PAGE)


def _task_score(task: Task, rates: Rates) -> Need:
    """The validation images through both halves of the tokenizer, the task's network and the extractor."""
    coded, network, images = _coded(task), _answering(task.of("task_network")), _domain_images(task)
    features = _features_of(task, rates, images)
    each = [coded["encode"], coded["decode"], network["flops"]]
    seconds = images * sum(rates.seconds(flops) for flops in each) + features.seconds
    memory = coded["weights"] + network["weights"] + max(coded["peak"], network["peak"], features.memory)
    shown = task.spec["shown"] * 8 * task.of("domain").spec["image_size"] ** 2
    return Need(seconds, memory, shown + PAGE)


def _patch_coder(task: Task, rates: Rates) -> Need:
    """Distances of patches from all centres, in every round of k-means and once for each centre that is begun with; of
    principal components seconds are left out.
    """
    control = task.spec["control"]
    values = 3 * (_side(task) // control["grid"]) ** 2
    if control["kind"] == "components":
        return Need(0.0, disk=4 * values * (1 + control["components"]) + PAGE)
    centres = control["centres"]
    points = min(min(FITTED, _split(task, "train")) * control["grid"] ** 2, max(LEAST, PER_CENTRE * centres))
    flops = {"bf16": 0.0, "fp32": 2.0 * points * centres * values * (ROUNDS + 1)}
    return Need(rates.seconds(flops), 4 * 2**26 + 4 * points * values, 4 * centres * values + PAGE)


def _task_control(task: Task, rates: Rates) -> Need:
    """Network and extractor; coding patches takes seconds, which are left out."""
    if task.spec["control"]["kind"] == "chance":
        return Need(0.0, disk=PAGE)
    network, images = _answering(task.of("task_network")), _domain_images(task)
    features = _features_of(task, rates, images)
    seconds = images * rates.seconds(network["flops"]) + features.seconds
    return Need(seconds, network["weights"] + max(network["peak"], features.memory), PAGE)


def _domain_images(task: Task) -> int:
    return task.of("domain").spec["val_images"]


# ---- samples and their numbers ----------------------------------------------------------------------------------


def _drawn(task: Task, rates: Rates, images: int, guided: int, unguided: int) -> Need:
    """`images` at so many points of a sweep with guidance, which runs every network twice, and without."""
    spec, coded = task.of("generator").spec, _coded(task)
    batch = task.spec["batch"]
    sampled = count("sampling", spec["module"], model=spec["model"], sampler=task.spec["sampler"], batch=batch)
    halves, points = 2 * guided + unguided, guided + unguided
    seconds = images * (halves * rates.seconds(sampled["flops"]) + points * rates.seconds(coded["decode"]))
    memory = sampled["weights"] + coded["weights"] + max(sampled["peak"], coded["peak"])
    return Need(seconds, memory, _pictures(task, images * points))


def _samples(task: Task, rates: Rates) -> Need:
    images, guided = task.sharded(task.spec["samples"]), task.spec["selected"] != "nocfg"  # "best" may be either
    found = _drawn(task, rates, images, int(guided), int(not guided))
    return found._replace(disk=found.disk + 8 * images)


def _throughput(task: Task, rates: Rates) -> Need:
    """Loops of each generator with guidance, then those of the own one in other batches and, perhaps, of one length."""
    spec, needs, made = task.spec, [], {producer.id: producer.spec for producer in task.producers}
    others = sum(other_batches(spec["samples"]).values())
    for role, system in spec["systems"].items():
        generator, tokenizer = made[system["generator"]], made[system["tokenizer"]]
        sampled = count(
            "sampling", generator["module"], model=generator["model"], sampler=system["sampler"], batch=spec["batch"]
        )
        coded = count("coding", tokenizer["module"], model=_used(tokenizer["model"]), batch=spec["batch"])
        each = 2 * rates.seconds(sampled["flops"]) + rates.seconds(coded["decode"])
        loops = 1 + bool(generator["model"].get("ragged"))
        images = loops * spec["samples"] + others if role == "own" else spec["samples"]
        memory = sampled["weights"] + coded["weights"] + max(sampled["peak"], coded["peak"])
        needs.append(Need((spec["loops"] + 1) * images * each, memory))
    return Need(sum(need.seconds for need in needs), sum(need.memory for need in needs), PAGE)


def _spread(task: Task, rates: Rates) -> Need:
    """Samplings of every training at its own guidance and at that of all, where both differ; here as if all did."""
    spec = task.spec
    images = 2 * len(spec["trainings"]) * spec["samplings"] * spec["samples"]
    drawn, features = _drawn(task, rates, images, 1, 0), _features_of(task, rates, images)
    return Need(drawn.seconds + features.seconds, max(drawn.memory, features.memory), PAGE)


def _points(task: Task) -> tuple[int, int]:
    """Points of a sweep with guidance and without."""
    unguided = len(task.spec["search"].get("temperature", [None])) if task.spec["unguided"] else 0
    return len(task.spec["search"]["guidance"]), unguided


def _search_samples(task: Task, rates: Rates) -> Need:
    return _drawn(task, rates, task.sharded(task.spec["search_samples"]), *_points(task))


def _search(task: Task, rates: Rates) -> Need:
    searched = task.of("search_samples")
    return _features_of(task, rates, searched.spec["search_samples"] * sum(_points(searched)))._replace(disk=PAGE)


def _features(task: Task, rates: Rates) -> Need:
    spec, samples = task.spec, task.of("samples")
    images = samples.sharded(samples.spec["samples"])
    kept = 4 * images * (int(spec["layer"]) + CLASSES[spec["extractor"]]) + _pictures(task, spec["shown"])
    return _features_of(task, rates, images)._replace(disk=kept)


def _image_control(task: Task, rates: Rates) -> Need:
    """Real images twice: those of precision and recall are others."""
    images = min(task.spec["images"], _split(task, "val"))
    return _features_of(task, rates, (2 if task.spec["control"]["kind"] == "real" else 1) * images)._replace(disk=PAGE)


def _generation_control(task: Task, rates: Rates) -> Need:
    """Tokens decoded and measured; drawing them is left out."""
    coded, images = _coded(task), task.spec["samples"]
    features = _features_of(task, rates, images)
    seconds = images * rates.seconds(coded["decode"]) + features.seconds
    memory = coded["weights"] + max(coded["peak"], features.memory)
    return Need(seconds, memory, _pictures(task, task.spec["shown"]) + PAGE)


NEEDS: dict[str, Callable[[Task, Rates], Need]] = {
    "dataset": _dataset,
    "masks": _masks,
    "reference": _reference,
    "semantic_features": _semantic_features,
    "teacher_features": _teacher_features,
    "sae": _sae,
    "concepts": _concepts,
    "tokenizer": _training,
    "reconstruction": _reconstruction,
    "token_counts": _token_counts,
    "truncation": _truncation,
    "selection": _selection,
    "kept_tokens": _kept_tokens,
    "looks": _looks,
    "drawing_sweep": _drawing_sweep,
    "objectness": _objectness,
    "pairs": _pairs,
    "calibration": _calibration,
    "information_gain": _information_gain,
    "mode_connectivity": _mode_connectivity,
    "swaps": _swaps,
    "reconstruction_control": _reconstruction_control,
    "image_control": _image_control,
    "generation_control": _generation_control,
    "denoising": _denoising,
    "concept_f1": _concept_f1,
    "concept_examples": _concept_examples,
    "latent_clusters": _latent_clusters,
    "tokens": _tokens,
    "codes": _codes,
    "ragged_codes": _ragged_codes,
    "scenes": _scenes,
    "probe_tokens": _probe_tokens,
    "probe": _probe,
    "probe_control": _probe_control,
    "neighbours": _neighbours,
    "domain": _domain,
    "task_network": _task_network,
    "task_score": _task_score,
    "patch_coder": _patch_coder,
    "task_control": _task_control,
    "generator": _training,
    "search_samples": _search_samples,
    "throughput": _throughput,
    "spread": _spread,
    "search": _search,
    "samples": _samples,
    "features": _features,
}
