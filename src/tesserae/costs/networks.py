"""What one image costs in each network of a recipe: FLOP and bytes, counted on tensors without data.

Networks are built on the meta device and then carried by PyTorch's fake tensors, which know a device besides a shape:
so autocast acts as in a real run. Every function returns plain numbers; counts.py keeps them.
"""

import contextlib
import functools
import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tesserae.costs.assumed import DEAD, DOPRI5_EVALUATIONS
from tesserae.costs.operations import Operations
from tesserae.costs.phases import second_phase
from tesserae.encoders.first_stage import FirstStage, sd_vae
from tesserae.encoders.teachers import CHANNELS

# Where a random number decides the work of a step (masking ratios), the mean is taken over these quantiles with
# Simpson's weights: exact up to the third power of the ratio, and work grows with the second. 0 masks least.
QUANTILES = {0.0: 1 / 6, 0.5: 4 / 6, 1.0: 1 / 6}
FLOAT = 4  # bytes of a weight
DRAWN = ("sampling", "flow")  # attributes of tokenizers that say in how many `steps` they draw
FEW = 3  # steps: the first, the last, and one between them
FOUNDED = ("va_vae", "maetok")  # tokenizers whose training asks a vision foundation model


def _attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False
) -> Tensor:
    """Attention as a GPU runs it; a CPU would keep all weights. What a mask hides is counted."""
    return torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, dropout_p, is_causal)[0]


class _Decided(TorchFunctionMode):
    """What values would decide: numbers drawn one at a time are given quantiles, and of what is looked for a fraction
    is found: what the network says, or DEAD.

    Of several quantiles each is a draw's in turn, and the last that of all further ones.
    """

    def __init__(self, quantiles: tuple[float, ...], sought: float):
        super().__init__()
        self._quantiles, self._sought, self._drawn = quantiles, sought, 0

    @property
    def sampled(self) -> bool:
        return self._drawn > 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.rand and args == ((),):
            quantile = self._quantiles[min(self._drawn, len(self._quantiles) - 1)]
            self._drawn += 1
            return torch.tensor(quantile, dtype=kwargs.get("dtype", torch.float32))
        if func is Tensor.nonzero:  # a sparse autoencoder's latents that have not fired for long; masked tokens
            return _integers(round(self._sought * args[0].numel()), args[0].ndim)
        return func(*args, **kwargs)


class Measured:
    """What a network does inside `with`: FLOP by precision, and the most bytes that live at once.

    Wherever a single number is drawn, it is the given quantile, or one after the other; `sampled` says whether one was.
    """

    def __init__(self, network: nn.Module, quantile: float | tuple[float, ...] = 0.5) -> None:
        self._counted = Operations([*network.parameters(), *network.buffers()])
        quantiles = quantile if isinstance(quantile, tuple) else (quantile,)
        self._decided = _Decided(quantiles, getattr(network, "sought", DEAD))

    def __enter__(self) -> "Measured":
        self._modes = contextlib.ExitStack()
        # By its name, so that PyTorch's own layers find it as well.
        attention = mock.patch.object(F, "scaled_dot_product_attention", _attention)
        for mode in (self._counted, self._decided, attention):
            self._modes.enter_context(mode)
        return self

    def __exit__(self, *error: Any) -> None:
        self._modes.close()

    def per(self, images: int) -> dict[str, float]:
        """FLOP per image."""
        return {name: found / images for name, found in self._counted.flops.items()}

    @property
    def peak(self) -> int:
        return self._counted.live.peak

    @property
    def sampled(self) -> bool:
        return self._decided.sampled


def build(module: str, model: dict[str, Any]) -> nn.Module:
    """The network of a spec, and what it asks of a frozen one, without data. Call it under FakeTensorMode."""
    network = _imagined(lambda: importlib.import_module(module).build(_at_full_length(model)))
    if hasattr(network, "image_tokens"):
        network.image_tokens = ImageTokens(model["foundation"], model["image_size"])
    if isinstance(stage := getattr(network, "first_stage", None), FirstStage) and stage.kind.file:
        autoencoder = _imagined(lambda: sd_vae(stage.kind.channels)).eval()
        stage.network = lambda device: autoencoder.requires_grad_(False)
    return network


class ImageTokens:
    """As encoders/image_tokens.py has them, without weights; resizing the images is left out.

    It is no module, and so no part of the network that asks it.
    """

    def __init__(self, name: str, side: int) -> None:
        from tesserae.encoders.image_tokens import side_of

        make, self._run = IMAGE_TOKENS[name]
        self._side, self.network = side_of(name, side), _imagined(make).eval()

    def __call__(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self._run(self.network, _images(len(images), self._side))


def _frozen(network: nn.Module) -> int:
    """Parameters that a network asks beside its own."""
    asked, first = getattr(network, "image_tokens", None), getattr(network, "first_stage", None)
    found = [asked.network] if asked else []
    if isinstance(first, FirstStage) and first.kind.file:
        found.append(first.network(torch.device("cpu")))
    return sum(p.numel() for part in found for p in part.parameters())


def _at_full_length(model: dict[str, Any]) -> dict[str, Any]:
    """A generator of sequences of many lengths as if all were the longest: how long they are, its tokens will tell.

    The two layers for the places of codes, less than a hundredth of its weights, are left out.
    """
    return model | {"ragged": False, "places": 0} if model.get("ragged") else model


def _imagined(make: Callable[[], nn.Module]) -> nn.Module:
    with unset_fake_temporarily(), torch.device("meta"):
        network = make()
    with Operations():
        return network._apply(lambda t: torch.empty_strided(t.size(), t.stride(), dtype=t.dtype, device="cpu"))


@contextlib.contextmanager
def _counting(what: str) -> Iterator[None]:
    """Tensors without data; ValueError for what cannot run on them, such as a choice that depends on values."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what}: its cost cannot be counted on tensors without data ({reason})") from error


# ---- training ---------------------------------------------------------------------------------------------------


def training(module: str, model: dict[str, Any], batch: int, precision: str) -> dict[str, Any]:
    """One training step on `batch` images, as training/loop.py makes it without optimizers and what models do there.

    flops: per image, by precision, without the discriminator's part; adversarial: that part, once it is on; peak: bytes
    of activations and gradients at most, at the worst masking ratio; trainable, frozen: parameters; weights: bytes of
    the saved network. Of a sparse autoencoder, an image has one patch.
    """
    if module.rsplit(".", 1)[-1] in FOUNDED:
        raise ValueError(f"{module}: the frozen network of its loss is not counted; take published weights")
    with _counting(module):
        network = build(module, model).train()
        trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
        saved, frozen = weights(network), _frozen(network)
        perceptual = getattr(network, "perceptual_loss", None) is not None
        if perceptual:
            network.perceptual_loss = None  # its networks are large and do the same work at every step: counted once
        cases = _looks(network)
        if cases and perceptual:  # few cases: counted in each
            compares = _perceptual(model["perceptual"])
            frozen += sum(p.numel() for p in compares.parameters())
            network.perceptual_loss = lambda real, fake: compares(real, fake).mean()
        first = _step(network, model, batch, precision, -1, 0.0)
        runs = {0.0: first}
        if cases:
            looked = [(share, _step(network, model, batch, precision, -1, drawn)) for share, drawn in cases]
            flops = {n: sum(share * run.per(batch)[n] for share, run in looked) for n in first.per(1)}
            peak = max(run.peak for _, run in looked)
            return {
                **{"flops": flops, "adversarial": dict.fromkeys(flops, 0.0), "peak": peak},
                **{"trainable": trainable, "frozen": frozen, "weights": saved},
            }
        if first.sampled:
            runs[1.0] = _step(network, model, batch, precision, -1, 1.0)
            if runs[1.0].per(batch) != first.per(batch):  # else what is drawn decides no work
                runs[0.5] = _step(network, model, batch, precision, -1, 0.5)
        total = sum(QUANTILES[q] for q in runs)
        flops = {n: sum(QUANTILES[q] * run.per(batch)[n] for q, run in runs.items()) / total for n in first.per(1)}
        step, last, autocast = second_phase(model), first, []
        if perceptual:
            distance = _perceptual(model["perceptual"])
            frozen += sum(p.numel() for p in distance.parameters())

            def compared(real: Tensor, fake: Tensor) -> Tensor:
                autocast.append(torch.is_autocast_enabled("cpu"))
                return distance(real, fake).mean()

            network.perceptual_loss = compared
        if perceptual or step is not None:
            last = _step(network, model, batch, precision, -1 if step is None else step, 0.0)
        adversarial = _difference(last.per(batch), first.per(batch))
        if perceptual:
            (enabled,) = autocast
            compared_with = perceptual_loss(model["perceptual"], model["image_size"], batch, enabled)
            adversarial = _difference(adversarial, compared_with)
            flops = {name: found + compared_with[name] for name, found in flops.items()}
        peaks = [run.peak for run in (*runs.values(), last)]
        return {
            "flops": flops,
            "adversarial": adversarial,
            "peak": max(peaks),
            "trainable": trainable,
            "frozen": frozen,
            "weights": saved,
        }


def _looks(network: nn.Module) -> list[tuple[float, tuple[float, float]]]:
    """Steps of a tokenizer that looks at images a random number of times: shares, and the numbers that make them so.

    From two looks on, each further one adds the same work: the difference of a step of three and one of two.
    """
    if not hasattr(network, "law"):
        return []
    law, whole = network.law, network.looks["whole_probability"]
    ends, firsts = (
        np.cumsum(law),
        {0: (1 - whole, (1 + whole) / 2), 1: (whole, whole / 2)},
    )  # crop or image: share, draw
    drawn = {k: float(ends[k - 1] - law[k - 1] / 2) for k in range(1, min(len(law), 3) + 1)}  # what makes k looks
    shares = {(1, first): law[0] * p for first, (p, _) in firsts.items()}
    shares |= {(2, first): (1 - law[0]) * p for first, (p, _) in firsts.items()}
    further, usual = sum(p * (k - 2) for k, p in enumerate(law, 1) if k > 2), int(whole == 1)
    if further:
        shares[3, usual] = further
        shares[2, usual] -= further
    return [(float(share), (drawn[k], firsts[first][1])) for (k, first), share in shares.items() if share]


@functools.cache
def perceptual_loss(kind: str, image_size: int, batch: int, autocast: bool) -> dict[str, float]:
    """The perceptual loss of `batch` reconstructions, forward and backward: FLOP per image, by precision."""
    with _counting(kind):
        distance, real, fake = _perceptual(kind), _images(batch, image_size), _images(batch, image_size)
        with Measured(distance) as found:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = distance(real, fake.requires_grad_()).mean()
            loss.backward()
        return found.per(batch)


def _perceptual(kind: str) -> nn.Module:
    from tesserae.losses.perceptual import LPIPS, ConvNeXtDistance, EarlyStages, PerceptualLoss

    networks = {"lpips": LPIPS, "lpips+convnext": PerceptualLoss, "convnext": ConvNeXtDistance, "lite2": EarlyStages}
    return _imagined(networks[kind]).eval()


def _difference(more: dict[str, float], less: dict[str, float]) -> dict[str, float]:
    return {name: found - less[name] for name, found in more.items()}


def _step(
    network: nn.Module, model: dict, batch: int, precision: str, step: int, quantile: float | tuple[float, ...]
) -> Measured:
    """Forward and backward of every loss term at a step; step -1 comes before any discriminator starts."""
    data = _batch(network, model, batch)
    with Measured(network, quantile) as found:
        losses = network.losses(data, step, torch.Generator())
        while True:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                _, terms, *_ = next(losses, (None, None))
            if terms is None:
                break
            sum(terms.values()).backward()
            del terms
    network.zero_grad(set_to_none=True)
    return found


def _batch(network: nn.Module, model: dict[str, Any], size: int) -> dict[str, Tensor]:
    """What the stages give a model of these settings to learn from."""
    if "dictionary" in model:
        return {"features": torch.empty(size, 1, model["width"])}
    batch = {"labels": _integers(size)}
    if "vocabulary" in model:
        return batch | {"tokens": _integers(size, model["token_length"])}
    if "token_length" in model:
        return batch | {"tokens": torch.empty(size, model["token_length"], model["token_width"])}
    if model.get("learns") == "codes":  # those of another tokenizer, of which every patch has one
        batch["codes"] = _integers(size, (model["image_size"] // model["patch_size"]) ** 2)
    if model.get("concepts"):
        batch["concepts"] = _integers(size, 1)  # how many there are of an image costs nothing
    return batch | {"images": _images(size, model["image_size"])} | _text(model, size) | _aligned(network, model, size)


def _aligned(network: nn.Module, model: dict[str, Any], size: int) -> dict[str, Tensor]:
    """Features of a frozen network by keyword, for a tokenizer that aligns with one; they are made by another job."""
    side = getattr(network, "teacher_side", 0)
    if not side:
        return {}
    width = CHANNELS[model["teacher"]]
    return {"teacher_pooled": torch.empty(size, width), "teacher_grid": torch.empty(size, side * side, width)}


def _integers(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


def _text(model: dict[str, Any], size: int) -> dict[str, Tensor]:
    """Features of prompts by keyword, for a tokenizer that reads them."""
    if model.get("text", "none") == "none":
        return {}
    return {"text": torch.empty(size, model["text_tokens"], model["text_width"])}


def _images(size: int, side: int) -> Tensor:
    return torch.empty(size, 3, side, side)


def weights(network: nn.Module) -> int:
    """Bytes of a trained network on disk: what only training needs is not saved."""
    state = network.state_dict().items()
    left_out = getattr(network, "TRAINING_ONLY", ())
    return sum(t.numel() * t.element_size() for name, t in state if not name.startswith(left_out))


def size(module: str, model: dict[str, Any]) -> dict[str, int]:
    """Bytes of a network on disk."""
    with _counting(module):
        return {"weights": weights(build(module, model))}


# ---- use --------------------------------------------------------------------------------------------------------


def coding(module: str, model: dict[str, Any], batch: int) -> dict[str, Any]:
    """A tokenizer at use, in float32 as the stages run it: FLOP per image to encode and to decode, peak bytes, and
    bytes of the weights, with those of a frozen network that its encoder asks.
    """
    with _counting(module), torch.no_grad():
        network, text = build(module, model).eval(), _text(model, batch)
        with Measured(network) as encoding:
            tokens = network.encode(_images(batch, model["image_size"]), **text)
        decode, peak = _decoding(network, tokens, text if model.get("text") == "decoder" else {}, batch)
        return {
            "encode": encoding.per(batch),
            "decode": decode,
            "peak": max(encoding.peak, peak),
            "weights": weights(network) + FLOAT * _frozen(network),
        }


def _decoding(network: nn.Module, tokens: Tensor, text: dict[str, Tensor], batch: int) -> tuple[dict[str, float], int]:
    """FLOP per image, and peak bytes. A decoder that draws does the same at every step: two counts tell all."""

    def measured() -> Measured:
        with Measured(network) as found:
            network.decode(tokens, **text)
        return found

    drawing = next((told for name in DRAWN if isinstance(told := getattr(network, name, None), dict)), {})
    steps = drawing.get("steps", 0)
    if steps <= FEW:
        found = measured()
        return found.per(batch), found.peak
    with mock.patch.dict(drawing, steps=FEW - 1):
        fewer = measured().per(batch)
    with mock.patch.dict(drawing, steps=FEW):
        found = measured()
    few = found.per(batch)
    return {name: few[name] + (steps - FEW) * (few[name] - fewer[name]) for name in few}, found.peak


def sampling(module: str, model: dict[str, Any], sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """A generator at use, in float32 as the stages run it: FLOP per image without guidance; peak bytes with it.

    Guidance runs every network on twice the batch, and doubles the FLOP. ValueError for an unknown sampler.
    """
    kind = sampler["module"].rsplit(".", 1)[-1]
    if kind not in SAMPLERS:
        raise ValueError(f"{sampler['module']}: its cost cannot be counted; add it to SAMPLERS in {__name__}")
    with _counting(module), torch.no_grad():
        network = build(module, model).eval()
        return SAMPLERS[kind](network, sampler, batch) | {"weights": weights(network)}


def _mar(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """Every iteration's transformer as it grows, and for each token once the diffusion of its own."""
    from tesserae.generators.mar_sampler import masked_after

    tokens, channels, steps = network.token_length, network.token_width, sampler["diffusion_steps"]
    masked = [tokens, *masked_after(tokens, min(sampler["iterations"], tokens))[:-1]]  # before each iteration

    sampled = [before - after for before, after in zip(masked, [*masked[1:], 0], strict=True)]

    def iterate(images: int, left: int, some: int) -> Measured:
        places = torch.zeros(images, tokens, dtype=torch.int64)
        with Measured(network) as found:
            classes = network.class_emb(places[:, 0])
            x = network.encode(torch.empty(images, tokens - left, channels), places[:, left:], classes)
            z = network.decode(x, places[:, left:], places[:, :left])
            network.diffloss.net.cond_embed(z[:, :some].flatten(0, 1))
        return found

    # Work is a polynomial of the second degree in the masked tokens, so three iterations give all of them exactly.
    points = [tokens, tokens // 2, 1]
    known = [iterate(1, left, 1).per(1) for left in points]
    transformer = {
        name: float(sum(np.polyval(np.polyfit(points, [one[name] for one in known], 2), masked))) for name in known[0]
    }
    net = network.diffloss.net
    rows = 2 * batch * max(sampled)
    with Measured(network) as denoising:
        net.denoise(torch.empty(rows, channels), torch.empty(rows, net.cond_embed.out_features))
    per_token = denoising.per(rows)
    noise = 4 * tokens * steps * channels * batch
    return {
        "flops": {name: transformer[name] + tokens * steps * each for name, each in per_token.items()},
        "peak": noise
        + max(iterate(2 * batch, left, max(sampled)).peak for left in (masked[0], masked[-1]))
        + denoising.peak,
    }


def _emaskgit(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """The whole transformer in every step, and for each token once the diffusion of its own."""
    from tesserae.generators.emaskgit_sampler import masked_after

    tokens, channels, steps = network.token_length, network.token_width, sampler["diffusion_steps"]
    counts = [tokens, *masked_after(tokens, min(sampler["steps"], tokens))[:-1], 0]
    halves, most = 2 * batch, max(before - after for before, after in itertools.pairwise(counts))
    net = network.diffloss.net
    with Measured(network) as found:
        masked = torch.ones(halves, tokens, dtype=torch.bool)
        network.conditions(torch.empty(halves, tokens, channels), masked, _integers(halves))
    with Measured(network) as denoising:
        embedded = net.cond_embed(torch.empty(halves * most, net.cond_embed.in_features))
        net.denoise(torch.empty(halves * most, channels), embedded)
    transformer, each = found.per(halves), denoising.per(halves * most)
    iterations = len(counts) - 1
    return {
        "flops": {name: iterations * transformer[name] + tokens * steps * each[name] for name in each},
        "peak": 4 * tokens * steps * channels * batch + found.peak + denoising.peak,
    }


def _epsilon_llamagen(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One pass over the first tokens with all keys kept, and for each of them once the flow of its own."""
    halves, tokens, steps = 2 * batch, network.first_tokens, sampler["flow_steps"]
    net, width = network.diffloss.net, network.z_proj.out_features
    with Measured(network) as found:
        network.conditions(torch.empty(halves, tokens, network.token_width), _integers(halves))
    with Measured(network) as flowing:  # of one token of each sample: they come one by one
        net(torch.empty(halves, network.token_width), torch.empty(1), torch.empty(halves, width))
    transformer, each = found.per(halves), flowing.per(halves)
    kept = FLOAT * 2 * len(network.layers) * halves * tokens * width
    return {
        "flops": {name: transformer[name] + tokens * steps * each[name] for name in each},
        "peak": FLOAT * tokens * steps * network.token_width * batch + kept + found.peak + flowing.peak,
    }


def _causal_ar(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One pass over a sequence with all keys kept, and for each token once the diffusion of its own."""
    tokens, channels, steps = network.token_length, network.token_width, sampler["diffusion_steps"]
    net, halves = network.diffloss.net, 2 * batch
    with Measured(network) as found:
        classes = network.class_emb(torch.zeros(halves, dtype=torch.int64))
        order = torch.zeros(halves, tokens, dtype=torch.int64)
        z = network.conditions(torch.empty(halves, tokens, channels), order, classes)
        net.cond_embed(z.flatten(0, 1))
    with Measured(network) as denoising:  # of one token of each sample: they come one by one
        net.denoise(torch.empty(halves, channels), torch.empty(halves, net.cond_embed.out_features))
    transformer, each = found.per(halves), denoising.per(halves)
    kept = 4 * 2 * halves * tokens * sum(block.attn.proj.in_features for block in network.transformer["blocks"])
    return {
        "flops": {name: transformer[name] + tokens * steps * each[name] for name in each},
        "peak": 4 * tokens * steps * channels * batch + kept + found.peak + denoising.peak,
    }


def _llamagen(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One pass over a sequence with all keys kept, one code per step; which codes are guided changes nothing."""
    halves, layers = 2 * batch, network.layers
    inputs = torch.empty(halves, network.token_length, network.output.in_features)
    with Measured(network) as found:
        network.output(network(inputs))
    with Measured(network) as step:
        network.output(network(inputs[:, :1]))
    kept = 2 * len(layers) * inputs.numel() * inputs.element_size()
    chances = 4 * 8 * batch * network.output.out_features  # float64: logits, in order, their chances, sums
    peak = kept + inputs.numel() * inputs.element_size() + step.peak + chances
    return {"flops": found.per(halves), "peak": peak}


def _maskgit(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One pass over all codes per step; that the first step may need no guidance is left out, and that the last block
    and the output layer work for masked codes alone."""
    halves, codes = 2 * batch, network.token_length
    with Measured(network) as found:
        masked = torch.ones(halves, codes, dtype=torch.bool)
        features = network.features(network.sequences(_integers(halves, codes)), masked, _integers(halves))
        logits = network.logits(features)
    noise = 3 * batch * codes * logits.shape[-1] * logits.element_size()  # uniform numbers, their Gumbel, the sum
    flops = {name: sampler["steps"] * each for name, each in found.per(halves).items()}
    return {"flops": flops, "peak": found.peak + noise}


def _dit(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One evaluation of the noise per step."""
    return _evaluated(network, batch, sampler["steps"], torch.int64)


def _lightningdit(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One evaluation of the velocity per Euler step; that the first ones have no guidance is left out."""
    return _evaluated(network, batch, sampler["steps"] - 1, torch.float32)


def _evaluated(network: nn.Module, batch: int, evaluations: int, time: torch.dtype) -> dict[str, Any]:
    with Measured(network) as found:
        states = torch.empty(2 * batch, *network.token_shape)
        classes = network.y_embedder(torch.zeros(2 * batch, dtype=torch.int64))
        network(states, torch.zeros(1, dtype=time), classes)
    flops = {name: evaluations * each for name, each in found.per(2 * batch).items()}
    return {"flops": flops, "peak": found.peak + 4 * states.numel() * states.element_size()}


def _sit(network: nn.Module, sampler: dict[str, Any], batch: int) -> dict[str, Any]:
    """One evaluation of the velocity, as often as the solver makes it."""
    methods = {"dopri5": DOPRI5_EVALUATIONS, "euler": sampler["steps"], "heun": 2 * sampler["steps"]}
    evaluations = (methods | {"euler_maruyama": sampler["steps"]})[sampler["method"]]
    with Measured(network) as found:
        states = torch.empty(2 * batch, *network.token_shape)
        network.velocity(states, torch.empty(1), torch.zeros(2 * batch, dtype=torch.int64))
    stages = 8 * states.numel() * states.element_size()  # the slopes a solver keeps; dopri5 keeps the most
    return {
        "flops": {name: evaluations * each for name, each in found.per(2 * batch).items()},
        "peak": found.peak + stages,
    }


SAMPLERS: dict[str, Callable[[nn.Module, dict[str, Any], int], dict[str, Any]]] = {
    "mar_sampler": _mar,
    "sit_sampler": _sit,
    "dit_sampler": _dit,
    "lightningdit_sampler": _lightningdit,
    "randomar_sampler": _causal_ar,
    "rasterar_sampler": _causal_ar,
    "llamagen_sampler": _llamagen,
    "maskgit_sampler": _maskgit,
    "emaskgit_sampler": _emaskgit,
    "epsilon_llamagen_sampler": _epsilon_llamagen,
}


def _inception() -> nn.Module:
    """The same convolutions; torch-fidelity's own wants its weights first."""
    from torchvision.models import inception_v3

    return inception_v3(weights=None, aux_logits=False, init_weights=False)


def _embedded(name: str = "embedded") -> nn.Module:
    """As encoders/embedded.py has it, without its weights."""
    from tesserae.encoders.embedded import NETWORKS

    return NETWORKS[name].architecture()


def _siglip() -> nn.Module:
    """As encoders/semantic.py has it, without its weights."""
    from timm import create_model

    return create_model("vit_base_patch16_siglip_256")


def _patches_of_siglip(network: nn.Module, images: Tensor) -> Tensor:
    return network.forward_features(images)


def _patches_of_embedded(network: nn.Module, images: Tensor) -> Tensor:
    """The last stage of stride 16; those after it are not run."""
    x = network.bn1(network.conv_stem(images))
    for stage in network.blocks[:5]:
        x = stage(x)
    return x.flatten(2).transpose(1, 2)


# name -> the network, and how it makes patches (B, P, F) of images.
SEMANTIC: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor]]] = {
    "siglip": (_siglip, _patches_of_siglip),
    "embedded": (_embedded, _patches_of_embedded),
    "lite2": (functools.partial(_embedded, "lite2"), _patches_of_embedded),
}


def _dinov2_registers() -> nn.Module:
    """As encoders/dinov2_registers.py has it, without its weights."""
    from timm import create_model

    from tesserae.encoders.dinov2_registers import NETWORK, SIDE

    return create_model(NETWORK, img_size=SIDE)


def _dinov2_vitb14() -> nn.Module:
    """As encoders/teachers.py has it, without its weights."""
    from timm import create_model

    from tesserae.encoders.teachers import DINOV2, DINOV2_SIDE

    return create_model(DINOV2, img_size=DINOV2_SIDE)


def _tokens_of_dinov2(network: nn.Module, images: Tensor) -> Tensor:
    return network.forward_features(images)[:, network.num_prefix_tokens - 1 :]  # one of the prefix is passed on


def _tokens_of_embedded(network: nn.Module, images: Tensor) -> Tensor:
    patches = _patches_of_embedded(network, images)
    return torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)


# name -> the network, and how it makes tokens (B, 1 + P, F) of images.
IMAGE_TOKENS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor]]] = {
    "dinov2_registers": (_dinov2_registers, _tokens_of_dinov2),
    "dinov2_vitb14": (_dinov2_vitb14, _tokens_of_dinov2),
    "lite2": (functools.partial(_embedded, "lite2"), _tokens_of_embedded),
}

# name -> the side to which it resizes all images, and the network.
EXTRACTORS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "inception-v3-compat": (299, _inception),
    "embedded": (96, _embedded),
}


def features(extractor: str, batch: int) -> dict[str, Any]:
    """A feature extractor: FLOP per image and peak bytes; ValueError for one that cannot be counted."""
    if extractor not in EXTRACTORS:
        raise ValueError(f"{extractor}: its cost cannot be counted; add it to EXTRACTORS in {__name__}")
    side, make = EXTRACTORS[extractor]
    with _counting(extractor), torch.no_grad():
        network = _imagined(make).eval()
        with Measured(network) as found:
            network(_images(batch, side))
        return {"flops": found.per(batch), "peak": found.peak, "weights": weights(network)}


def semantic(encoder: str, feature: str, side: int, batch: int) -> dict[str, Any]:
    """An encoder of patches: FLOP per image, peak bytes, and how many patches of what width it makes of an image.

    ValueError for one that cannot be counted.
    """
    if encoder not in SEMANTIC:
        raise ValueError(f"{encoder}: its cost cannot be counted; add it to SEMANTIC in {__name__}")
    make, run = SEMANTIC[encoder]
    with _counting(encoder), torch.no_grad():
        network = _imagined(make).eval()
        with Measured(network) as found:
            patches = run(network, _images(batch, side))
            if feature == "pooled":
                patches = network.forward_head(patches)[:, None]
        shape = dict(zip(("patches", "width"), patches.shape[1:], strict=True))
        return {"flops": found.per(batch), "peak": found.peak, "weights": weights(network), **shape}


def _clip_vitb32() -> nn.Module:
    """As encoders/pooled.py has it, without its weights."""
    from tesserae.encoders.pooled import make_clip

    return make_clip()


# name -> the side to which it resizes all images, and the network.
POOLED: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "clip_vitb32": (224, _clip_vitb32),
    "embedded": (96, _embedded),
}


def pooled(encoder: str, batch: int) -> dict[str, Any]:
    """A network of features of whole images: FLOP per image, peak bytes and the features' width."""
    from tesserae.encoders.pooled import CHANNELS as WIDTHS

    side, make = POOLED[encoder]
    with _counting(encoder), torch.no_grad():
        network = _imagined(make).eval()
        with Measured(network) as found:
            network(_images(batch, side))
        return {
            **{"flops": found.per(batch), "peak": found.peak},
            **{"weights": weights(network), "width": WIDTHS[encoder]},
        }


def teacher(teacher: str, side: int, batch: int) -> dict[str, Any]:
    """A network that tokenizers align with: FLOP per image of a side, peak bytes, places and width of its features.

    ValueError for one that cannot be counted.
    """
    from tesserae.encoders.teachers import side_of

    if teacher not in IMAGE_TOKENS:
        raise ValueError(f"{teacher}: its cost cannot be counted; add it to IMAGE_TOKENS in {__name__}")
    make, run = IMAGE_TOKENS[teacher]
    with _counting(teacher), torch.no_grad():
        network = _imagined(make).eval()
        with Measured(network) as found:
            tokens = run(network, _images(batch, side_of(teacher, side)))
        shape = {"places": tokens.shape[1] - 1, "width": tokens.shape[2]}
        return {"flops": found.per(batch), "peak": found.peak, "weights": weights(network), **shape}


def concepts(module: str, model: dict[str, Any], patches: int, batch: int) -> dict[str, Any]:
    """A sparse autoencoder at use, in float32: FLOP per image of so many patches to find its concepts, peak bytes."""
    with _counting(module), torch.no_grad():
        network = build(module, model).eval()
        with Measured(network) as found:
            network.concept_set(torch.empty(batch, patches, model["width"]), model["top_k"])
        return {"flops": found.per(batch), "peak": found.peak, "weights": weights(network)}


# ---- tasks ------------------------------------------------------------------------------------------------------


def answering(
    module: str, model: dict[str, Any], side: int, batch: int, training: dict[str, Any] | None
) -> dict[str, Any]:
    """The fixed network of a domain's task, on images of a side: FLOP per image at use in float32, and of an update.

    flops, trained: by precision, trained empty for a network that is only used; peak: bytes of either at most. Of a
    reader: of a word cut out. Of one that says letter after letter: as if each word had all letters that it can have,
    and every place were asked for each of them.
    """
    with _counting(module):
        network = build(module, model).eval()
        sides = getattr(network, "side", (side, side))
        with torch.no_grad(), Measured(network) as used:
            images = torch.empty(batch, 3, *sides)
            if hasattr(network, "answers"):
                seen = network.encoder(images)
            else:
                network(images)
        flops, peaks = used.per(batch), [used.peak]
        if hasattr(network, "answers"):
            places = network.longest + 1
            with torch.no_grad(), Measured(network) as said:
                network.answers(slice(0, places), _integers(batch, places), seen, None, None)
            flops = {name: found + (places + 1) * said.per(batch)[name] for name, found in flops.items()}
        trained: dict[str, float] = {}
        if training is not None:
            network.train()
            with Measured(network) as learned:
                with torch.autocast("cpu", torch.bfloat16, enabled=training["precision"] == "bf16"):
                    loss = network(torch.empty(training["batch"], 3, *sides)).float().square().mean()
                loss.backward()
            trained, peaks = learned.per(training["batch"]), [*peaks, learned.peak]
        return {"flops": flops, "trained": trained, "peak": max(peaks), "weights": weights(network)}
