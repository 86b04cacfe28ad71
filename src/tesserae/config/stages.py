"""The table of stages: what each step of the workflow is for, writes, reads, and how it is treated.

A stage is an entry here, its module in `stages/`, its word in a list of `workflow/rules/*.smk` and its cost (`NEEDS` in
costs/stages.py, or LIGHT in costs/assumed.py where it takes a moment); docs/extending.md adds one. Everything that
asks something of stages asks this table. Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tesserae.config import measures
from tesserae.config.files import Strict
from tesserae.correlating import TOLD
from tesserae.edges import EDGES

ALL: tuple[str, ...] = ()  # of what a stage reads: all files of the artifact but its manifest
CURVES = "curves.jsonl"
WEIGHTS = ("weights.safetensors",)
METRICS = "metrics.json"
SEARCHED = ("fid", "is")  # of every point of a search
# Of a set of scenes, what is read of it as of a data set.
IMAGES = ("train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy", "index.json")
PROBED = ("accuracy", "held_out", "shuffled", "chance", "negatives", "epochs", "best_epoch", "parameters")
# Of a domain's images, what is read of them as of a data set, and what is right of them.
ANSWERED = (*IMAGES, "train_masks.npy", "val_masks.npy", "task.json")
SCORED = (
    "pixel_accuracy",
    "miou",
    "dice",
    "exact_match",
    "letters",
)  # by the task: the first two, the third, or the others
REBUILT = (
    "extractor",
    "layer",
    "splits",
    "rounding",
    "batch",
    "measured_at",
)  # of `evaluation`: how reconstructions are measured
DESCENDED = ("avgig", "worse", "error_start", "error_end")  # of one kind of start (stages/information_gain.py)
CHECKS = ("_enc", "_raw")  # what follows these names: starts at an image's own tokens, steps in the tokens' own units
WALKED = ("mc", "mc_same", "mc_cross", "end", "worst")  # by one judge (stages/mode_connectivity.py)
SWAPPED = ("ratio", "worst", "half_first", "half_second", "turn")  # of one order of tokens (stages/swaps.py)
MISSED = ("missed_own", "missed_mixed", "missed_own_8bit", "missed_mixed_8bit")  # by a tokenizer that reads tokens
OF_CHANCE = ("chance", "another", "middle", "ceiling")  # lines beside an mIoU (metrics/objectness.py)


@dataclass(frozen=True)
class Diagnostic:
    """Of a stage that looks at one tokenizer: which tokenizers, and what a job is told.

    The graph makes the jobs from this and from what the stage reads (workflow/graph/diagnostics.py). Beside what is
    said here a job is told the tokenizer's module, and how to find concepts if it reads them or their autoencoder.
    """

    # Settings of the scale's `evaluation`; and "measured_at", the side to which the paper resizes images before.
    evaluation: tuple[str, ...]
    settings: type[Strict] | None = None  # of `measures.<stage>` in the paper's file; without them there are no jobs
    naming: bool = False  # only of tokenizers that learned to name concepts
    by_prompt: bool = False  # of tokenizers that read prompts: a job for the images' own, shuffled and constant ones
    # A job, `<recipe>-<policy>`, for each of the paper's `measures.policies`, of tokenizers whose system has POLICIES.
    by_policy: bool = False


@dataclass(frozen=True)
class Stage:
    """One step of the workflow. What is not said has the meaning of most stages."""

    purpose: str  # in one line
    outputs: Mapping[str, str]  # name in the rule -> file of the artifact, beside the manifest
    # Stage -> the files of its artifact that are read. What shows results reads what the paper's file names, see
    # `numbers`, and config/figures.py; the pages of a whole paper or scale read what workflow/graph/report.py says.
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    of_others: tuple[str, ...] = ()  # of those stages, the ones that stand after it: it reads what another recipe left
    trains: bool = False  # it learns weights: several processes can share the work
    resumes: bool = False  # an interrupted job goes on where it was
    seeded: bool = True  # a scale with several seeds makes it once for each
    numbers: str | None = None  # the file whose numbers tables and claims can show
    control: str | None = None  # the stage whose numbers of the same names say what those of this one are worth
    values: tuple[str, ...] = ()  # the names of those numbers; none: they are known when it has run
    listed: tuple[str, ...] | None = None  # files that the report reads beside the manifest; None: it lists no such job
    alone: bool = False  # it measures time: nothing else runs on its machine meanwhile
    shows: Literal["paper", "scale"] | None = None  # results for a reader: of one paper, or of the whole scale
    named: bool = False  # a recipe of it is a name of its own, `detok_table_1`, and no trained thing's
    diagnostic: Diagnostic | None = None  # it looks at one tokenizer: each recipe that something shows gets its job
    torch: bool = True  # it needs torch, and so waits for the warm parent that imports it
    colour: str | None = None  # in the forecast's chart; what trains is dark, what measures is light

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the output files, without the manifest."""
        return tuple(self.outputs.values())


# In the order of the road. Colours after Okabe and Ito and ColorBrewer.
STAGES: dict[str, Stage] = {
    "dataset": Stage(
        "images -> uint8 memory-mapped cache",
        {
            "train_images": "train_images.npy",
            "train_labels": "train_labels.npy",
            "val_images": "val_images.npy",
            "val_labels": "val_labels.npy",
            "index": "index.json",
            "captions": "captions.json",
        },
        resumes=True,
        seeded=False,
        torch=False,
    ),
    "masks": Stage(
        "images with the class of each pixel, at the size at which a tokenizer sees them",
        {"images": "images.npy", "masks": "masks.npy", "index": "index.json"},
        seeded=False,
        torch=False,
    ),
    "domain": Stage(
        "images that no tokenizer was trained on -> cache, and what a task asks of each",
        {
            "train_images": "train_images.npy",
            "train_labels": "train_labels.npy",
            "val_images": "val_images.npy",
            "val_labels": "val_labels.npy",
            "index": "index.json",
            "train_masks": "train_masks.npy",
            "val_masks": "val_masks.npy",
            "task": "task.json",
        },
        seeded=False,
        torch=False,
    ),
    "reference": Stage(
        "statistics of real images, computed once",
        {"train": "train.npz", "val": "val.npz", "val_features": "val_features.npy"},
        {"dataset": ALL, "domain": IMAGES},
        seeded=False,
        colour="#7f7f7f",
    ),
    "pairs": Stage(
        "similar images of a data set, between whose tokens MC walks",
        {"pairs": "pairs.npz", "features": "features.npy"},
        {"dataset": ALL, "domain": IMAGES},
        seeded=False,
        colour="#b3b3b3",
    ),
    "semantic_features": Stage(
        "images -> features of a frozen encoder, a part in each job",
        {"features": "features.npy"},
        {"dataset": ALL},
        seeded=False,
        colour="#b2df8a",
    ),
    "teacher_features": Stage(
        "images -> features that tokenizers align with, a part in each job",
        {"features": "features.npy"},
        {"dataset": ALL},
        seeded=False,
        colour="#33a02c",
    ),
    "sae": Stage(
        "features -> sparse autoencoder",
        {"weights": "weights.safetensors", "curves": CURVES, "metrics": METRICS},
        {"semantic_features": ALL},
        trains=True,
        resumes=True,
        seeded=False,  # one for all seeds
        numbers=METRICS,
        values=("nmse", "explained_variance", "explained_variance_centred", "l0", "dead"),
        listed=(),
        colour="#1b6b3a",
    ),
    "prompts": Stage(
        "class names -> features of a text encoder",
        {"features": "features.npy", "prompts": "prompts.json"},
        {"dataset": ("index.json",)},
        seeded=False,
    ),
    "concepts": Stage(
        "images -> the concepts in each",
        {
            "train_indices": "train_indices.npy",
            "train_offsets": "train_offsets.npy",
            "val_indices": "val_indices.npy",
            "val_offsets": "val_offsets.npy",
            "counts": "counts.npy",
            "class_counts": "class_counts.npy",
        },
        {"dataset": ALL, "sae": WEIGHTS},
        seeded=False,
        colour="#66a61e",
    ),
    "tokenizer": Stage(
        "images -> trained tokenizer",
        {"weights": "weights.safetensors", "curves": CURVES},
        # of tokenizers: the one that it starts from, or whose codes it learns
        {
            **{"dataset": ALL, "prompts": ALL, "concepts": ALL, "teacher_features": ALL},
            **{"codes": ALL, "tokenizer": WEIGHTS},
        },
        of_others=("codes",),
        trains=True,
        resumes=True,
        listed=(CURVES,),  # how much of a codebook was in use
        colour="#0072b2",
    ),
    "reconstruction": Stage(
        "rFID, rIS, PSNR on the validation set",
        {"metrics": METRICS, "images": "images.npz"},
        {"dataset": ALL, "reference": ALL, "tokenizer": ALL, "prompts": ALL},
        numbers=METRICS,
        values=("rfid", "ris", "psnr"),
        listed=(),
        diagnostic=Diagnostic((*REBUILT, "shown"), measures.Reconstruction, by_prompt=True),
        control="reconstruction_control",
        colour="#cc79a7",
    ),
    "reconstruction_control": Stage(
        "what reconstructions have to beat: a closed-form tokenizer of the same size, mean colours, real images",
        {"metrics": METRICS, "images": "images.npz"},
        {"dataset": ALL, "reference": ALL},
        seeded=False,  # nothing of it is trained
        numbers=METRICS,
        values=("rfid", "ris", "psnr"),  # of real images no psnr: it is infinite
        listed=(),
        colour="#e7b8cf",
    ),
    "image_control": Stage(
        "what samples can reach at best and must not be: real images, mean colours",
        {"metrics": METRICS},
        {"dataset": ALL, "reference": ALL},
        seeded=False,
        numbers=METRICS,
        values=("fid", "is", "precision", "recall"),
        listed=(),
        colour="#c7c7c7",
    ),
    "denoising": Stage(
        "l-DeTok's Figures A.1 and A.2: decoding corrupted latents",
        {"images": "denoising.npz"},
        {"dataset": ALL, "tokenizer": ALL},
        diagnostic=Diagnostic(("shown", "seed", "batch"), measures.Denoising),
        colour="#5e3c99",
    ),
    "token_counts": Stage(
        "how many tokens images take, what those cost, and whether images with more to say take more",
        {"metrics": METRICS, "lengths": "lengths.npy"},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL},
        numbers=METRICS,
        values=(
            *("tokens", "tokens_sd", "fewest", "most", "ratio", "content_correlation", "error_correlation"),
            *("bits", "code_bits", "length_bits", "place_bits", "most_bits", "gaussian_bits"),  # of codes
            *("usage", "perplexity"),
            # Of two codebooks, and of a tokenizer that filters patches.
            *(f"{codebook}_{number}" for codebook in ("global", "patch") for number in ("usage", "perplexity")),
            *("score_correlation", *EDGES),
        ),
        diagnostic=Diagnostic(("batch", "measured_at"), measures.TokenCounts),
        colour="#decbe4",
    ),
    "truncation": Stage(
        "what reconstructions lose when patches are taken out of their codes",
        {"metrics": METRICS},
        {"dataset": ALL, "reference": ALL, "tokenizer": WEIGHTS},
        numbers=METRICS,
        values=(
            *("rfid", "psnr"),
            *(
                f"{number}_{where}{left}"
                for number in ("rfid", "psnr")
                for where in ("start", "end", "random")
                for left in ("", "_one")
            ),
        ),
        diagnostic=Diagnostic((*REBUILT, "seed", "curve_points"), measures.Truncation),
        colour="#ccebc5",
    ),
    "selection": Stage(
        "what reconstructions lose when a tokenizer keeps other patches than it learned to",
        {"metrics": METRICS},
        {"dataset": ALL, "reference": ALL, "tokenizer": WEIGHTS},
        numbers=METRICS,
        values=tuple(
            f"{number}_{order}"
            for number in ("rfid", "psnr")
            for order in ("random", "uniform", "first", "last", "score")
        ),
        diagnostic=Diagnostic(REBUILT),
        colour="#fed9a6",
    ),
    "kept_tokens": Stage(
        "which patches a tokenizer keeps, of images and of pictures of nothing",
        {"arrays": "kept.npz", "metrics": METRICS},
        {"dataset": ALL, "tokenizer": WEIGHTS},
        numbers=METRICS,
        values=(
            *(f"{number}_{end}" for end in ("lowest", "highest") for number in ("patches", *EDGES)),
            *("nested", "chance"),
            *(f"{number}_{blank}" for blank in ("white", "black", "noise") for number in ("patches", *EDGES)),
        ),
        diagnostic=Diagnostic(("batch", "shown", "seed"), measures.KeptTokens),
        colour="#fddaec",
    ),
    "looks": Stage(
        "what is drawn from codes of crops that a policy chose, after each of them and at last",
        {"metrics": METRICS, "arrays": "looks.npz"},
        {"dataset": ALL, "reference": ALL, "tokenizer": WEIGHTS},
        numbers=METRICS,
        values=("rfid", "ris", "psnr", "view_psnr"),
        listed=(),
        diagnostic=Diagnostic((*REBUILT, "shown"), by_policy=True),
        control="reconstruction_control",
        colour="#e6ab02",
    ),
    "drawing_sweep": Stage(
        "reconstructions at numbers of steps and at strengths of guidance",
        {"metrics": METRICS},
        {"dataset": ALL, "reference": ALL, "tokenizer": WEIGHTS},
        numbers=METRICS,
        values=("best_steps", "best_guidance", "rfid", "psnr", "rfid_best_steps", "rfid_best_guidance"),
        listed=(),
        diagnostic=Diagnostic((*REBUILT, "curve_points"), measures.DrawingSweep),
        colour="#a6761d",
    ),
    "objectness": Stage(
        "whether what a token attends to is an object",
        {"arrays": "objectness.npz", "metrics": METRICS},
        {"dataset": ALL, "tokenizer": WEIGHTS, "masks": ALL},
        numbers=METRICS,
        values=(
            *("miou", *OF_CHANCE, "object_percent"),
            *(f"{number}_{share}" for number in ("miou", *OF_CHANCE) for share in measures.SHARES),
            *(f"{number}_t{100 * time:.0f}" for number in ("miou", "chance") for time in measures.TIMES),
            *(f"{number}_{view}" for number in ("miou", "chance") for view in ("image_to_message", "unmasked")),
        ),
        diagnostic=Diagnostic(("batch", "shown", "seed"), measures.Objectness),
        colour="#b3cde3",
    ),
    "calibration": Stage(
        "how large the tokens of a tokenizer are, channel by channel",
        {"calibration": "calibration.npz"},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL},
        colour="#bf812d",
    ),
    "information_gain": Stage(
        "AvgIG: what gradient descent on the tokens of an image gains",
        {"metrics": METRICS, "descents": "descents.npz"},
        {"dataset": ALL, "domain": IMAGES, "tokenizer": WEIGHTS, "prompts": ALL, "calibration": ALL},
        resumes=True,
        numbers=METRICS,
        values=(*(f"{name}{kind}" for kind in ("", *CHECKS) for name in DESCENDED), "avgig_literal"),
        listed=(),
        colour="#35978f",
    ),
    "mode_connectivity": Stage(
        "MC: how real images stay between the tokens of two",
        {"metrics": METRICS, "paths": "paths.npz"},
        {"dataset": ALL, "domain": IMAGES, "tokenizer": WEIGHTS, "prompts": ALL, "pairs": ALL},
        resumes=True,
        numbers=METRICS,
        values=tuple(f"{name}{judge}" for judge in ("", "_other", "_features") for name in WALKED),
        listed=(),
        colour="#01665e",
    ),
    "swaps": Stage(
        "pictures of tokens mixed from two images, and what that does to them",
        {"metrics": METRICS, "arrays": "swaps.npz"},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL, "pairs": ALL},
        resumes=True,
        numbers=METRICS,
        values=(
            *(f"{name}{order}" for order in ("", "_prefix") for name in SWAPPED),
            *("end", "sensitivity", "neglected", *MISSED),
        ),
        listed=(),
        colour="#80cdc1",
    ),
    "tokens": Stage(
        "images -> token cache, a part of it in each job",
        {"moments": "moments.npy", "labels": "labels.npy", "sums": "sums.npz"},
        {"dataset": ALL, "tokenizer": ALL},
        colour="#56b4e9",
    ),
    "codes": Stage(
        "images -> codes of a discrete tokenizer, a part of them in each job",
        {"codes": "codes.npy", "labels": "labels.npy", "counts": "counts.npy"},
        {"dataset": ALL, "tokenizer": ALL, "prompts": ALL},
        listed=(),
        colour="#a6cee3",
    ),
    "ragged_codes": Stage(
        "as codes, of a tokenizer that makes more of one image than of another",
        {
            "codes": "codes_indices.npy",
            "code_offsets": "codes_offsets.npy",
            "places": "places_indices.npy",
            "place_offsets": "places_offsets.npy",
            "labels": "labels.npy",
        },
        {"dataset": ALL, "tokenizer": ALL, "prompts": ALL},
        listed=(),
        colour="#80b1d3",
    ),
    "latent_clusters": Stage(
        "how latents lie by concept",
        {"clusters": "clusters.npz", "metrics": METRICS},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL, "sae": WEIGHTS, "concepts": ALL},
        numbers=METRICS,
        values=("silhouette", "knn_purity", "chance", "same_class", "points", "neighbours"),
        diagnostic=Diagnostic(("batch", "seed"), measures.LatentClusters),  # without concepts, by those of the paper's
        colour="#fdbf6f",
    ),
    "concept_f1": Stage(
        "which concepts a tokenizer names",
        {"metrics": METRICS},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL, "concepts": ALL},
        numbers=METRICS,
        # Without prompts no f1_shuffled, same_class and f1_constant; without concepts of its own no f1.
        values=("f1", "f1_shuffled", "same_class", "f1_constant", "prior", "class_prior"),
        diagnostic=Diagnostic(("batch", "seed"), naming=True),
        colour="#fb9a99",
    ),
    "concept_examples": Stage(
        "patches and images of a concept",
        {"examples": "examples.npz", "metrics": METRICS},
        {"dataset": ALL, "tokenizer": WEIGHTS, "prompts": ALL, "sae": WEIGHTS, "concepts": ALL},
        numbers=METRICS,
        values=("map", "precision", "chance", "ranked"),
        diagnostic=Diagnostic(("batch", "seed"), measures.ConceptExamples, naming=True),
        colour="#cab2d6",
    ),
    "scenes": Stage(
        "images of two categories or of relations -> cache, and how they are divided",
        {
            "train_images": "train_images.npy",
            "train_labels": "train_labels.npy",
            "val_images": "val_images.npy",
            "val_labels": "val_labels.npy",
            "index": "index.json",
            "annotations": "annotations.json",
            "division": "division.json",
        },
        seeded=False,
        torch=False,
    ),
    "targets": Stage(
        "what a probe is asked of each image",
        {"targets": "targets.npz", "about": "targets.json"},
        {"dataset": ALL, "scenes": ("annotations.json",)},
        seeded=False,
        torch=False,
    ),
    "phrases": Stage(
        "names and predicates of relations -> features of a text encoder",
        {"phrases": "phrases.npy"},
        {"targets": ALL},
        seeded=False,
    ),
    "probe_tokens": Stage(
        "images of a probe's data set -> tokens as vectors",
        {
            "train_tokens": "train_tokens.npy",
            "train_there": "train_there.npy",
            "val_tokens": "val_tokens.npy",
            "val_there": "val_there.npy",
            "index": "index.json",
        },
        {"dataset": ALL, "scenes": IMAGES, "tokenizer": WEIGHTS, "prompts": ALL},
        colour="#bcbddc",
    ),
    "probe": Stage(
        "what a small network reads from the tokens of a tokenizer",
        {"weights": "weights.safetensors", "curves": CURVES, "hits": "hits.npy", "metrics": METRICS},
        {"probe_tokens": ALL, "targets": ALL, "phrases": ALL},
        numbers=METRICS,
        values=PROBED,
        listed=(),
        control="probe_control",
        colour="#6a51a3",
    ),
    "probe_control": Stage(
        "what a probe has to beat: the same one on patches of as many bits, chance",
        {"metrics": METRICS},
        {"dataset": ALL, "scenes": IMAGES, "targets": ALL, "phrases": ALL},
        seeded=False,
        numbers=METRICS,
        values=("accuracy", "held_out"),  # what has to be beaten; all else is a fact
        listed=(),
        colour="#dadaeb",
    ),
    "neighbours": Stage(
        "nearest images by their tokens, and whether they show the same class",
        {"metrics": METRICS, "neighbours": "neighbours.npz"},
        {"dataset": ALL, "probe_tokens": ALL, "targets": ALL},
        numbers=METRICS,
        values=("agreement", "chance"),
        colour="#9e9ac8",
    ),
    "task_network": Stage(
        "original images of a domain -> the fixed network of its task",
        {"weights": "weights.safetensors", "curves": CURVES, "metrics": METRICS},
        {"domain": ANSWERED},
        seeded=False,  # one judge for all
        numbers=METRICS,
        values=(*SCORED, *(f"{name}_chance" for name in SCORED)),
        listed=(),
        colour="#1f78b4",
    ),
    "task_score": Stage(
        "what a domain's network still sees in images that a tokenizer encoded and decoded",
        {"metrics": METRICS, "shown": "shown.npz"},
        {"domain": ANSWERED, "reference": ("train.npz", "val.npz"), "tokenizer": WEIGHTS, "prompts": ALL}
        | {"task_network": WEIGHTS},
        numbers=METRICS,
        values=(*SCORED, "psnr", "rfid", "rfid_disjoint", "rfid_floor"),
        listed=(),
        control="task_control",
        colour="#ffff99",
    ),
    "patch_coder": Stage(
        "images -> a closed-form tokenizer, with which domains are encoded too",
        {"coder": "coder.npz"},
        {"dataset": ("train_images.npy", "train_labels.npy", "index.json")},
        seeded=False,
        colour="#ffed6f",
    ),
    "task_control": Stage(
        "what decoded images have to beat at a domain's task: a closed-form tokenizer, mean colours, chance",
        {"metrics": METRICS},
        {"domain": ANSWERED, "patch_coder": ALL} | {"reference": ("train.npz", "val.npz"), "task_network": WEIGHTS},
        seeded=False,
        numbers=METRICS,
        values=(*SCORED, "psnr", "rfid", "rfid_disjoint", "rfid_floor"),
        listed=(),
        colour="#ffffcc",
    ),
    "generation_control": Stage(
        "what samples have to beat: a closed-form generator of the same tokens",
        {"metrics": METRICS, "preview": "preview.npy"},
        {"tokens": ALL, "codes": ALL, "ragged_codes": ALL, "tokenizer": WEIGHTS, "reference": ALL},
        numbers=METRICS,
        values=("fid", "is", "precision", "recall"),
        listed=(),
        colour="#8dd3c7",
    ),
    "generator": Stage(
        "tokens -> trained generator",
        {"weights": "weights.safetensors", "curves": CURVES},
        {"tokens": ALL, "codes": ALL, "ragged_codes": ALL},
        trains=True,
        resumes=True,
        listed=(),
        colour="#d55e00",
    ),
    "search_samples": Stage(
        "a part of the images at every candidate of guidance and temperature",
        {"samples": "samples.npy", "index": "index.json"},
        {"generator": WEIGHTS, "tokenizer": WEIGHTS, "tokens": ("sums.npz",)},  # of tokens, mean and std alone
        colour="#e69f00",
    ),
    "search": Stage(
        "the whole sweep, and what it selects",
        {"search": "search.json"},
        {"search_samples": ALL, "reference": ALL},
        numbers="search.json",
        values=SEARCHED,
        listed=(),
        colour="#8c510a",
    ),
    "samples": Stage(
        "a part of the images at what the search selected",
        {"samples": "samples.npy", "labels": "labels.npy", "index": "index.json"},
        {"generator": WEIGHTS, "tokenizer": WEIGHTS, "tokens": ("sums.npz",), "search": ALL},
        colour="#f0e442",
    ),
    "features": Stage(
        "a part of the samples through the extractor",
        {"features": "features.npy", "logits": "logits.npy", "preview": "preview.npy"},
        {"samples": ("samples.npy",)},
        colour="#009e73",
    ),
    "metrics": Stage(
        "FID, IS, precision and recall of all parts",
        {"metrics": METRICS, "preview": "preview.npy"},
        {"samples": ("index.json",), "features": ALL, "reference": ALL},
        numbers=METRICS,
        values=("fid", "is", "precision", "recall"),
        listed=(),
        control="generation_control",
    ),
    "throughput": Stage(
        "images a second of a generator and of its decoder, timed in turn with another generator",
        {"metrics": METRICS},
        {"generator": WEIGHTS, "tokenizer": WEIGHTS, "tokens": ("sums.npz",)},
        seeded=False,  # what a network has learned takes no time
        numbers=METRICS,
        values=(
            "samples_per_second",
            "generator_per_second",
            "decoder_per_second",
            "factor",
            "constant_length_per_second",
        ),
        alone=True,
        colour="#b3b3b3",
    ),
    "spread": Stage(
        "where the numbers of a generator scatter from: trainings, searches, samplings, how many samples",
        {"spread": "spread.json", "table": "spread.md"},
        {
            "generator": WEIGHTS,
            "tokenizer": WEIGHTS,
            "tokens": ("sums.npz",),
            "search": ALL,
            "reference": ALL,
        },
        seeded=False,  # it is of all seeds
    ),
    "correlations": Stage(
        "what numbers of tokenizers say beforehand of another number",
        {"metrics": METRICS},
        dict.fromkeys(("reconstruction", "information_gain", "mode_connectivity", "task_score", "metrics"), (METRICS,)),
        seeded=False,  # it is of all seeds
        numbers=METRICS,
        values=TOLD,
        torch=False,
    ),
    "sizes": Stage(
        "parameters of a network at the paper's size: counted, not run",
        {"metrics": METRICS},
        seeded=False,
        numbers=METRICS,
        values=(
            "parameters",
            "with_frozen",
            "encoder_parameters",
            "decoder_parameters",
            "hidden_size",
            "blocks",
            "heads",
            "mlp_ratio",
            "projector_layers",
            "projector_width",
        ),
    ),
    "settings": Stage(
        "hyper-parameters of a recipe, as the paper's scale says them",
        {"metrics": METRICS},
        seeded=False,
        numbers=METRICS,
    ),
    "table": Stage(
        "published beside measured",
        {
            "csv": "table.csv",
            "markdown": "table.md",
            "latex": "table.tex",
            "html": "table.html",
            "metrics": METRICS,
        },
        seeded=False,
        shows="paper",
        named=True,
        torch=False,
    ),
    "figure": Stage(
        "one figure of a paper",
        {"png": "figure.png", "svg": "figure.svg", "pdf": "figure.pdf"},
        seeded=False,
        shows="paper",
        named=True,
        torch=False,
    ),
    "claims": Stage(
        "a verdict for every statement of a paper",
        {"json": "claims.json", "html": "claims.html", "markdown": "claims.md", "metrics": METRICS},
        seeded=False,
        shows="paper",
        torch=False,
    ),
    "notebook": Stage(
        "the story of a paper's results, executed",
        {"notebook": "notebook.ipynb", "html": "notebook.html"},
        seeded=False,
        shows="paper",
        torch=False,
    ),
    "lineage": Stage(
        "from any number of a paper to what it was made from, as a page",
        {"html": "lineage.html"},
        seeded=False,
        shows="paper",
        torch=False,
    ),
    "page": Stage(
        "a paper's tables, figures and claims, on one page",
        {"html": "index.html"},
        seeded=False,
        shows="paper",
        torch=False,
    ),
    "forecast": Stage(
        "what a scale would cost on a cluster: counted, not run",
        {"json": "forecast.json", "png": "gantt.png", "svg": "gantt.svg"},
        seeded=False,
        shows="scale",
    ),
    "report": Stage(
        "the first page: what was reproduced, and where to look",
        {"html": "index.html"},
        {"page": ALL, "forecast": ALL},
        seeded=False,
        shows="scale",
        torch=False,
    ),
}
TRAININGS = tuple(name for name, stage in STAGES.items() if stage.trains)
# Stage -> the type of `measures.<stage>` in a paper's file.
SETTINGS = {
    name: stage.diagnostic.settings
    for name, stage in STAGES.items()
    if stage.diagnostic is not None and stage.diagnostic.settings is not None
}


def stage_of(artifact: str) -> str:
    """The stage of an artifact's id, `<stage>/<recipe>`."""
    return artifact.partition("/")[0]
