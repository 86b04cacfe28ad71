"""The contracts of tokenizers and generators: what stages and the training loop ask of their networks.

A network meets them by having the members (duck typing): no model imports this file. `check_tokenizer` and
`check_generator` hold a class to them before it is trained. What a network has beyond them is its own affair.

Every module of a network also has `build(model)`, which makes it from a spec's `model` settings; a network lists in
`TRAINING_ONLY` the prefixes of weights that are not saved, `ADDED` of those that a training that continues another one
may begin with anew. `losses` may ask for more (training/loop.py).

Nothing here computes: a check refuses a network or leaves it as it is. That is why this file is no part of any
fingerprint (lineage/fingerprint.py, PLUMBING); helpers that act on a network are in stages/shared/tokenizers.py.

Shapes: B images of side S, in [-1, 1]; N tokens, C values of a token, V codes, M patches; T tokens of a prompt, W their
width; D width of latents, K concepts of an image at most.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn


class Trained(Protocol):
    """What the training loop asks of every network."""

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator, /) -> Iterator[tuple]:
        """(group, weighted terms), or (group, terms, watched numbers), for each update of a step in turn."""

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Names and trainable parameters of each optimizer."""

    def no_weight_decay(self, name: str, parameter: nn.Parameter, /) -> bool:
        """Whether weight decay spares a parameter."""


# ---- tokenizers -------------------------------------------------------------------------------------------------


class Tokenizer(Trained, Protocol):
    """What every tokenizer has: one that has a `vocabulary` is also `Discrete`, any other one is `Continuous`.

    Its `losses` get "images" (B, 3, S, S), "labels" (B,), and what it reads: "text" (B, T, W), "concepts" (B, K), the
    "codes" of another tokenizer.
    """

    tokens: int  # N, of every image; of an image at most, where `lengths` says how many

    def encode(self, images: Tensor, /, *, rng: torch.Generator | None = None) -> Tensor:
        """Images float (B, 3, S, S) -> tokens float (B, N, C) or codes int64 (B, N): the same ones every time, unless
        there is something to draw and `rng` is given.
        """

    def decode(self, tokens: Tensor, /) -> Tensor:
        """What `encode` makes -> images float (B, 3, S, S), not clamped."""

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train, so that tokens stay what they are; ValueError if that makes no sense."""


class Posterior(Protocol):
    """Independent normal distributions of all values of the tokens."""

    mean: Tensor  # (B, N, C)
    logvar: Tensor  # (B, N, C)


class Continuous(Tokenizer, Protocol):
    """A tokenizer whose tokens are vectors. It reads no prompt in its encoder and makes N tokens of every image."""

    latent_channels: int  # C

    def posterior(self, images: Tensor, /) -> Posterior:
        """Images (B, 3, S, S) -> what generators learn samples of; its mean is what `encode` makes."""


class Discrete(Tokenizer, Protocol):
    """A tokenizer whose tokens are codes: int64, 0 ... V - 1.

    If they are of several codebooks, each of V entries, its `codebooks` names which part of a row is of which:
    {"global": slice(0, 16), "patch": slice(16, None)}.
    """

    vocabulary: int  # V


class OfVariableLength(Discrete, Protocol):
    """A discrete tokenizer that may make more tokens of one image than of another.

    Its rows hold -1 in the places where an image has no code: at the end, or anywhere if places mean something.
    """

    def lengths(self, codes: Tensor, /) -> Tensor:
        """Codes int64 (B, N) -> how many each image has, int64 (B,), from 0 to N."""


class OfCodeVectors(Discrete, Protocol):
    """A discrete tokenizer that says what its codes stand for, for whoever reads them: probes, nearest neighbours.

    One whose only codebook is its `quantize` need not; `code_vectors(model, codes)` of the module `<module>_codes`,
    which its `config/systems/` module names in CODES, does as well.
    """

    def code_vectors(self, codes: Tensor, /) -> Tensor:
        """Codes int64 (B, N), at least 0 -> entries of their codebooks, float (B, N, d)."""


class HasPolicies(Tokenizer, Protocol):
    """A tokenizer that can read an image in several ways; a policy is a mapping of settings that it knows."""

    def encode_under(self, images: Tensor, policy: Mapping[str, Any], /) -> Tensor:
        """As `encode`, under a policy; ValueError for one that it does not know."""


class FiltersPatches(OfVariableLength, Protocol):
    """A tokenizer that scores the patches of an image and leaves out those of least worth, if its `places` is not 0.

    Its rows end in a place for each of M patches, a square grid in raster order.
    """

    places: int  # M

    def all_codes(self, images: Tensor, /) -> Tensor:
        """As `encode`, without leaving out a patch."""

    def encode_by(self, images: Tensor, order: str, /) -> Tensor:
        """As `encode`, with as many patches of every image, but others: "random", "uniform" (evenly spread), "first" or
        "last" (in raster order), or by "score".
        """

    def scores(self, images: Tensor, /) -> Tensor:
        """Images (B, 3, S, S) -> what each patch is worth, float (B, M), at least 0."""

    def keeps(self, scores: Tensor, epsilon: float, /) -> Tensor:
        """Scores (B, M) -> the patches that are left where a share epsilon of them may be lost: bool (B, M)."""


class AttendsToImages(Discrete, Protocol):
    """A tokenizer that draws an image from its tokens by looking from these to positions of the image, and back."""

    attention_blocks: int  # in which it does
    attention_mask: Literal["causal", "additive_one"]  # of its buffer, as it was trained

    def message_attention(
        self, codes: Tensor, wanted: Mapping[float, Sequence[int]], /, *, mask: str, steps: int
    ) -> Iterator[tuple[float, int, Tensor, Tensor]]:
        """What is looked at while images are drawn from codes (B, N), in so many steps: after the softmax, the mean
        over heads.

        wanted: times, from noise, 0, to data, 1 -> blocks, from 0. For each time, rising, and block: both, what tokens
        see of positions, (B, N, G, G), and what positions see of tokens, (B, N, G, G). The drawing itself is the same
        for all blocks: it is done once. ValueError for a time or a block that there is not.
        """


class Prompted(Tokenizer, Protocol):
    """A tokenizer that may read prompts: where `text` is "encoder" or "decoder", that half needs them."""

    text: Literal["none", "encoder", "decoder"]


class PromptedEncoder(Prompted, Protocol):
    """A tokenizer whose encoder reads the features of prompts."""

    def encode(self, images: Tensor, /, *, text: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """As without; `text` is (B, T, W)."""


class PromptedDecoder(Prompted, Protocol):
    """A tokenizer whose decoder reads the features of prompts."""

    def decode(self, tokens: Tensor, /, *, text: Tensor) -> Tensor:
        """As without; `text` is (B, T, W)."""


class NamesConcepts(Tokenizer, Protocol):
    """A tokenizer that names the concepts of an image, if its `concept_head` is not None."""

    concept_head: nn.Module | None

    def latents(self, images: Tensor, text: Tensor | None, /) -> Tensor:
        """Images (B, 3, S, S), and prompts where the encoder reads them -> (B, N, D), before they become tokens."""

    def concept_logits(self, images: Tensor, text: Tensor | None, /) -> Tensor:
        """The same -> logits (B, number of all concepts)."""


class LearnsCodes(Tokenizer, Protocol):
    """A tokenizer that may learn the codes of another one, its proxy: where `learns` is "codes", its `losses` get them
    as "codes" int64 (B, number of the proxy's).
    """

    learns: Literal["codes", "pixels"]

    def take_proxy(self, weights: Mapping[str, Tensor], /) -> None:
        """Copy what the network shares with its proxy, before it is trained; ValueError if the two do not fit."""


class MasksPatches(Protocol):
    """The module of a tokenizer that can encode an image of which only some patches are visible."""

    @staticmethod
    def mask_sweep(model: Any, images: Tensor, ratios: list[float], seed: int, /) -> Tensor:
        """Images (B, 3, S, S) of which a share is hidden, at R ratios, rebuilt -> (R, B, 3, S, S)."""


class DrawsInLatents(Tokenizer, Protocol):
    """A tokenizer whose decoder draws latents of a frozen first stage, which is a part of it."""

    def take_first_stage(self, weights: Mapping[str, Tensor], images: Tensor, /) -> None:
        """Copy the weights of the first stage, a tokenizer of its own, before anything is trained or read; from some
        training images (M, 3, S, S) it may learn how large latents are. ValueError if the weights do not fit.
        """


class TokenSpace(Protocol):
    """The module that says how a tokenizer's tokens can be moved without steps (CompTok's AvgIG and MC): as vectors,
    that are decoded with a gradient, and neither quantised nor normalised again. config/spaces.py says whose it is.
    """

    @staticmethod
    def vectors(model: Any, tokens: Tensor, /) -> Tensor:
        """What `encode` makes -> float (B, M, C)."""

    @staticmethod
    def normalised(model: Any, vectors: Tensor, /) -> Tensor:
        """Any vectors (B, M, C) -> such as the tokenizer can make, of the norm that it gives to tokens; if it gives
        none, the very tensor.
        """

    @staticmethod
    def images(model: Any, vectors: Tensor, /, *, seeds: list[int]) -> Tensor:
        """Vectors (B, M, C) -> images (B, 3, S, S), about [-1, 1], not clamped, with a gradient to the vectors.

        A decoder that draws does so from the seed of each image; of another shape of noise nobody draws. An image
        depends on its own vectors and seed alone. A module of such decoders has STEPS, a number of steps, and a keyword
        `steps` in its place.
        """


class Aligned(Tokenizer, Protocol):
    """A tokenizer that may learn from a frozen network (encoders/teachers.py): if `teacher_side` is not 0, its `losses`
    get the network's features of the very image that they get: of the whole as "teacher_pooled" (B, F), of places as
    "teacher_grid" (B, G * G, F), row by row.
    """

    teacher_side: int  # G: features of another grid are resized to it


# ---- generators -------------------------------------------------------------------------------------------------


class Generator(Trained, Protocol):
    """What every generator has. Its `losses` get "labels" int64 (B,) and "tokens": standardised, float (B, N, C), or
    codes int64 (B, N). How it is sampled is known to its sampler alone.
    """


class OfManyLengths(Generator, Protocol):
    """A generator of sequences that differ in length, if it is `ragged`: it draws lengths as often as they were seen.

    Its rows of codes hold -1 where an image has none.
    """

    ragged: bool
    length_counts: Tensor  # int64 (classes, longest + 1): how many images of each class had each number of codes

    def count_lengths(self, tokens: Tensor, labels: Tensor, /) -> None:
        """Rows int64 (M, N) and labels (M,) of the training set, before training: refuses what does not fit."""


class Sampler(Protocol):
    """The module `<module of the generator>_sampler`."""

    @staticmethod
    def sample(model: Any, labels: Tensor, /, *, seeds: list[int], guidance: float, **settings: Any) -> Tensor:
        """Labels int64 (B,), a seed per sample -> tokens as the generator learned them, one stream for each sample.

        `guidance` 1 means none. `settings` are those of the recipe's `sampling`, and `temperature` where one is
        searched: keywords that a sampler names, and may insist on.
        """


class SamplerOfManyLengths(Sampler, Protocol):
    """The sampler of a generator of sequences that differ in length."""

    @staticmethod
    def lengths(model: Any, labels: Tensor, /, *, seeds: list[int]) -> Tensor:
        """How many codes `sample` gives each image, int64 (B,), for labels (B,) and a seed per sample."""


# ---- checks -----------------------------------------------------------------------------------------------------


def check_tokenizer(model: Any) -> None:
    """TypeError that names all a tokenizer lacks, if it does not meet its contract."""
    text = getattr(model, "text", "none")
    wanted: list[type] = [Discrete if hasattr(model, "vocabulary") else Continuous]
    if hasattr(model, "lengths"):
        wanted.append(FiltersPatches if getattr(model, "places", 0) else OfVariableLength)
    if hasattr(model, "message_attention"):
        wanted.append(AttendsToImages)
    if getattr(model, "learns", None) == "codes":
        wanted.append(LearnsCodes)
    if hasattr(model, "take_first_stage"):
        wanted.append(DrawsInLatents)
    if hasattr(model, "teacher_side"):
        wanted.append(Aligned)
    if text != "none":
        wanted.append({"encoder": PromptedEncoder, "decoder": PromptedDecoder}.get(text, Prompted))
    if getattr(model, "concept_head", None) is not None:
        wanted.append(NamesConcepts)
    faults = unmet(model, *wanted)
    if text not in ("none", "encoder", "decoder"):
        faults.append(f"its `text` is {text!r}, not 'none', 'encoder' or 'decoder' (Prompted)")
    if text == "encoder" and Continuous in wanted:
        faults.append("its encoder reads prompts, which only discrete tokenizers do: it has no `vocabulary` (Discrete)")
    _refuse(model, "tokenizer", faults)


def check_generator(model: Any) -> None:
    """TypeError that names all a generator lacks, if it does not meet its contract."""
    _refuse(model, "generator", unmet(model, OfManyLengths if getattr(model, "ragged", False) else Generator))


def _refuse(model: Any, kind: str, faults: list[str]) -> None:
    if faults:
        kind_of = type(model)
        raise TypeError(
            f"{kind_of.__module__}.{kind_of.__qualname__} does not meet the contract of {kind}s: {'; '.join(faults)}. "
            f"The contract is written in {__name__} (src/{__name__.replace('.', '/')}.py)"
        )


def unmet(found: Any, *protocols: type) -> list[str]:
    """What a network or module lacks of protocols, in words: members, numbers that are none, ways to call a method."""
    wanted: dict[str, tuple[Any, type]] = {}
    for protocol in protocols:
        for name, member in members(protocol).items():
            if name not in wanted or wanted[name][1] in member[1].__mro__:  # of two, the one that asks for more
                wanted[name] = member
    faults = {name: _fault(found, name, declared) for name, (declared, _) in wanted.items()}
    return [f"{fault} ({wanted[name][1].__name__})" for name, fault in faults.items() if fault]


def members(protocol: type) -> dict[str, tuple[Any, type]]:
    """What a protocol and those it extends declare: name -> a function or the type of an attribute, and who asks it."""
    declared = {}
    for base in reversed(protocol.__mro__):
        if base not in (object, Protocol) and getattr(base, "_is_protocol", False):
            functions = {name: value for name, value in vars(base).items() if not name.startswith("_")}
            functions = {name: getattr(value, "__func__", value) for name, value in functions.items()}
            found = inspect.get_annotations(base) | functions
            declared |= {name: (value, base) for name, value in found.items()}
    return declared


def _fault(found: Any, name: str, declared: Any) -> str | None:
    is_function = isinstance(declared, FunctionType)
    if not hasattr(found, name):
        return f"it has no `{_call(name, declared) if is_function else name}`"
    value = getattr(found, name)
    if is_function and not (callable(value) and _takes(value, declared)):
        return f"its `{name}` cannot be called as `{_call(name, declared)}`"
    if declared is int and not isinstance(value, int):
        return f"its `{name}` is {value!r}, not an int"
    return None


def _asked(declared: Callable) -> tuple[list[str], list[str], list[str]]:
    """Names of the positional and keyword arguments with which a declared function is called; `**` for more of them."""
    parameters = [p for p in inspect.signature(declared).parameters.values() if p.name != "self"]
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    keywords, more = ([p.name for p in parameters if p.kind is kind] for kind in kinds)
    return [p.name for p in parameters if p.kind not in kinds], keywords, more


def _call(name: str, declared: Callable) -> str:
    positional, keywords, more = _asked(declared)
    said = [*positional, *(f"{keyword}=" for keyword in keywords), *(f"**{settings}" for settings in more)]
    return f"{name}({', '.join(said)})"


def _takes(method: Callable, declared: Callable) -> bool:
    positional, keywords, more = _asked(declared)
    signature = inspect.signature(method)
    bind = signature.bind_partial if more else signature.bind
    try:
        bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True
