"""The kinds of figures there are, and what each is drawn from.

`draw` in a paper's file names a kind. What draws it is a module of its own, reporting/figures/<kind>.py, which a job's
spec names: an edit of it makes the figures of its kind again, and no others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

DRAWING = "tesserae.reporting.figures"  # the folder of their modules


class Source(NamedTuple):
    """Where the input of one role comes from."""

    stage: str
    files: tuple[str, ...]  # of its artifact: all that is read of it
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """What figures of one kind are drawn from, and which keys of a paper's file they take beside rows and inputs."""

    roles: Mapping[str, Source]
    group: str | None = None  # the one group that inputs stand in; None: as many as there are panels, of any name
    takes: frozenset[str] = frozenset()  # of `x`, `series`, `published`, `published_rows`, `pair`


SEARCH = Source("search", ("search.json",))
BARS = Source("metrics", ("metrics.json",), optional=True)
SPEED = Source("throughput", ("metrics.json",))
DAMAGED = {"images": Source("denoising", ("denoising.npz",))}
EXAMPLES = "concept_examples"
KEPT = {"kept": Source("kept_tokens", ("kept.npz", "metrics.json"))}
SWAPS = Source("swaps", ("swaps.npz", "metrics.json"))
OBJECTS = {"objects": Source("objectness", ("objectness.npz", "metrics.json"))}

KINDS: dict[str, Kind] = {
    "guidance_curves": Kind({"search": SEARCH, "metrics": BARS}, takes=frozenset({"published"})),
    "sweep": Kind({"search": SEARCH}, takes=frozenset({"x", "series"})),
    "quality_and_speed": Kind(
        {"metrics": BARS._replace(optional=False), "speed": SPEED},
        "generators",
        takes=frozenset({"published"}),
    ),
    "denoising": Kind(DAMAGED, "tokenizers"),
    "unmasking": Kind(DAMAGED, "tokenizers"),
    "qualitative": Kind({"images": Source("reconstruction", ("images.npz",))}, "tokenizers"),
    "samples_sheet": Kind({"samples": Source("metrics", ("preview.npy",))}, "generators"),
    "concepts": Kind({"examples": Source(EXAMPLES, ("examples.npz", "metrics.json"))}, "tokenizers"),
    "concept_images": Kind({"examples": Source(EXAMPLES, ("examples.npz",))}, "tokenizers"),
    "token_sweep": Kind(
        {"numbers": Source("reconstruction", ("metrics.json",))},
        "tokenizers",
        takes=frozenset({"x", "series", "published"}),
    ),
    "truncation": Kind(
        {"numbers": Source("truncation", ("metrics.json",))}, "tokenizers", takes=frozenset({"published"})
    ),
    "error_maps": Kind(
        {"images": Source("reconstruction", ("images.npz",)), "speed": SPEED._replace(optional=True)},
        "tokenizers",
        takes=frozenset({"published", "published_rows"}),
    ),
    "score_maps": Kind(KEPT, "tokenizers"),
    "kept_tokens": Kind(KEPT, "tokenizers"),
    "kept_of_nothing": Kind(KEPT, "tokenizers"),
    "looks": Kind({"looks": Source("looks", ("looks.npz", "metrics.json"))}, "policies"),
    "drawing_sweep": Kind({"numbers": Source("drawing_sweep", ("metrics.json",))}, "tokenizers"),
    "objectness": Kind(OBJECTS, "tokenizers", takes=frozenset({"published"})),
    "attention_maps": Kind(OBJECTS, "tokenizers"),
    "attention_shares": Kind(OBJECTS, "tokenizers", takes=frozenset({"published"})),
    "bottleneck": Kind(
        {"numbers": Source("reconstruction", ("metrics.json",)), "probe": Source("probe", ("metrics.json",))},
        "tokenizers",
    ),
    "neighbours": Kind({"neighbours": Source("neighbours", ("neighbours.npz", "metrics.json"))}, "tokenizers"),
    "swaps": Kind({"swaps": SWAPS}, "tokenizers", takes=frozenset({"published", "published_rows", "pair"})),
    "swap_curves": Kind({"swaps": SWAPS}, "tokenizers"),
    "descents_and_paths": Kind(
        {
            "gain": Source("information_gain", ("metrics.json",)),
            "paths": Source("mode_connectivity", ("paths.npz", "metrics.json")),
        },
        "tokenizers",
    ),
    "task_pictures": Kind({"shown": Source("task_score", ("shown.npz", "metrics.json"))}, "tokenizers"),
    "clusters": Kind({"clusters": Source("latent_clusters", ("clusters.npz", "metrics.json"))}, "tokenizers"),
}


def module_of(kind: str) -> str:
    """The module that draws a kind of figure."""
    return f"{DRAWING}.{kind}"
