"""Sampling of LlamaGen: one code after the other, with classifier-free guidance.

Sources: LlamaGen (arXiv 2406.06525), Sec. 3.2 and official code; where guidance begins: ConceptTok, App. B.3, and the
"step" schedule of GigaTok's code (arXiv 2504.08736). Shapes: B samples, N codes, V vocabulary, D width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.generators.llamagen import LlamaGen
from tesserae.nn.attention import KeyValueCache


def guided_at(index: int, tokens: int, unguided_fraction: float, first_token_guided: bool) -> bool:
    """Whether code `index` of `tokens` is drawn with guidance."""
    # DECISION: ConceptTok draws "the first 18 % of tokens" without guidance; in the code that it cites, the fraction
    # counts from the second code on, and the very first is guided. That is `first_token_guided`.
    return index / (tokens - 1) >= unguided_fraction if index else first_token_guided


def probabilities(logits: Tensor, *, temperature: float, top_k: int, top_p: float) -> Tensor:
    """Logits (B, V) -> float64 (B, V), in the order of the official code: temperature, top-k, then top-p.

    Kept are the `top_k` likeliest codes (0: all), and of those the likeliest ones whose predecessors together do not
    exceed `top_p` (1: all). A temperature below 1e-5 is taken for 1e-5: the likeliest code.
    """
    logits = logits.double() / max(temperature, 1e-5)
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, codes = logits.sort(descending=True, stable=True)
        removed = F.pad(ordered.softmax(-1).cumsum(-1)[:, :-1], (1, 0)) > top_p
        logits = logits.masked_fill(removed.scatter(1, codes, removed), -torch.inf)
    return logits.softmax(-1)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """The codes (B,) at which the cumulative sums of `probabilities` (B, V) first exceed `uniforms` (B,) in [0, 1)."""
    sums = probabilities.cumsum(-1)
    return torch.searchsorted(sums, uniforms[:, None] * sums[:, -1:], right=True)[:, 0]


def next_logits(model: LlamaGen, inputs: Tensor, caches: list[KeyValueCache], start: int) -> Tensor:
    """Logits (B, V) after embedded inputs (B, n, D), which follow the first `start` ones in the caches."""
    for cache in caches:
        cache.length = start
    return model.output(model(inputs, caches)[:, -1])


def generate(
    model: LlamaGen,
    labels: Tensor,
    uniforms: Tensor,
    *,
    guidance: float,
    temperature: float,
    unguided_fraction: float,
    first_token_guided: bool,
    top_k: int,
    top_p: float,
) -> Tensor:
    """Codes int64 (B, N) for labels (B,) from given randomness, float64 (B, N) in [0, 1).

    Guided codes take one pass with and without class together; unguided ones take the class alone, and the other half
    catches up in one pass where guidance begins.
    """
    (B, N), halves = uniforms.shape, 1 if guidance == 1 else 2
    classes = torch.cat([labels, torch.full_like(labels, model.cls_embedding.null)])[: halves * B]
    inputs = model.output.weight.new_empty(halves * B, N, model.output.in_features)  # with class, then without
    inputs[:, 0] = model.cls_embedding(classes)
    both = model.empty_caches(halves * B)
    with_class = [KeyValueCache(cache.keys[:B], cache.values[:B]) for cache in both]
    without = [KeyValueCache(cache.keys[B:], cache.values[B:]) for cache in both]
    tokens, seen = labels.new_empty(B, N), 0  # `seen`: inputs that the half without class has had
    for i in range(N):
        if i:
            inputs[:, i] = model.tok_embeddings(tokens[:, i - 1]).repeat(halves, 1)
        guided = halves == 2 and guided_at(i, N, unguided_fraction, first_token_guided)
        if guided and seen == i:
            conditional, unconditional = next_logits(model, inputs[:, i : i + 1], both, i).chunk(2)
        else:
            conditional = next_logits(model, inputs[:B, i : i + 1], with_class, i)
            if guided:
                unconditional = next_logits(model, inputs[B:, seen : i + 1], without, seen)
        if guided:
            seen = i + 1
        # DECISION: before guidance begins, the scale is 1 (ConceptTok); in GigaTok's code it is 1.0001.
        logits = unconditional + guidance * (conditional - unconditional) if guided else conditional
        tokens[:, i] = draw(probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p), uniforms[:, i])
    return tokens


@torch.inference_mode()
def sample(
    model: LlamaGen,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    temperature: float = 1.0,
    unguided_fraction: float,
    first_token_guided: bool,
    top_k: int,
    top_p: float,
) -> Tensor:
    """Codes int64 (B, N) for labels (B,), one seed per sample.

    Sample i is a function of labels[i], seeds[i] and the settings: it does not depend on the size of the batch, on the
    other samples in it or on their order, but for rounding: a number within it of two codes' border may take the other.
    Memory: keys and values of all inputs (twice with guidance).
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    uniforms = [torch.rand(model.token_length, generator=rng, dtype=torch.float64) for rng in streams]
    return generate(
        model,
        labels,
        torch.stack(uniforms).to(labels.device),
        guidance=guidance,
        temperature=temperature,
        unguided_fraction=unguided_fraction,
        first_token_guided=first_token_guided,
        top_k=top_k,
        top_p=top_p,
    )
