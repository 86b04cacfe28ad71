"""A training step of the sparse autoencoder: ours, a plain dense one, and PatchSAE's.

    python benchmarks/sae.py [--patchsae PATH/TO/patchsae] [--only paper] [--rounds 5]

Same weights, same tokens, float32, one thread, one run: all take turns, and the medians are compared, in CPU seconds.
The dense one is Eq. 3 and 4 of ConceptTok in plain autograd: TopK scattered into a (tokens, d_c) matrix that is
multiplied with the decoder. PatchSAE has ReLU in place of TopK, which costs it nothing; its code is imported as it is,
but for packages that the autoencoder itself does not use; it needs einops. "dead": a tenth of the latents gets ghost
gradients. A step is forward, backward, projection, Adam and unit norm; "learn" is forward and backward alone. With
PatchSAE each case first compares loss, ghost term and gradients at K = d_c, where both compute the same.
"""

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from tesserae.sae import topk

DEAD = 0.1  # microbatch of latents
WINDOW = 64


class Case(NamedTuple):
    """Shapes of a step."""

    width: int
    dictionary: int
    top_k: int
    images: int
    patches: int


CASES = {
    "paper": Case(768, 24_576, 128, 8, 256),
    "desk": Case(112, 4096, 32, 16, 64),
    "pocket": Case(112, 512, 8, 64, 16),
}


class Contender(NamedTuple):
    """One implementation: its parameters live in `model`."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]  # features (B, P, d_h), dead bool (d_c,) -> the loss
    project: Callable[[], None]
    norm: Callable[[], None]
    optimizer: torch.optim.Optimizer


def ours(case: Case, normalise: str = "none") -> Contender:
    model = topk.build(
        {
            "width": case.width,
            "dictionary": case.dictionary,
            "top_k": case.top_k,
            "tied_init": True,
            "ghost_gradients": True,
            "dead_window": WINDOW,
            "normalise": normalise,
            "chunk": 4096,
        }
    )

    def loss(features: Tensor, dead: Tensor) -> Tensor:
        model.since_fired.copy_(dead * (WINDOW + 1))
        ((_, terms, _),) = model.losses({"features": features}, 0, torch.Generator())
        return sum(terms.values())

    def project() -> None:
        model.after_backward("sae", {name: x[None] for name, x in model.collected("sae").items()})

    return Contender(model, loss, project, model.after_step, torch.optim.AdamW(model.parameters(), fused=True))


def dense(case: Case) -> Contender:
    """The same in plain autograd."""
    model = ours(case).model

    def loss(features: Tensor, dead: Tensor) -> Tensor:
        tokens = features.flatten(0, 1)
        hidden = (tokens - model.b_dec) @ model.W_enc + model.b_enc
        values, indices = hidden.topk(case.top_k)
        codes = torch.zeros_like(hidden).scatter(1, indices, values.relu())
        residual = tokens - codes @ model.W_dec - model.b_dec
        error, fixed = residual.square(), residual.detach()
        if not dead.any():
            return error.sum() / len(tokens)
        ghost = hidden[:, dead].exp() @ model.W_dec[dead]
        length = fixed.norm(dim=1, keepdim=True)
        ghost = ghost * (length / (1e-6 + 2 * ghost.norm(dim=1, keepdim=True))).detach()
        errors = (ghost - fixed).square() / length
        return (error + (error / (errors + 1e-6)).detach() * errors).sum() / len(tokens)

    def project() -> None:
        model.W_dec.grad -= (model.W_dec.grad * model.W_dec).sum(1, keepdim=True) * model.W_dec

    return Contender(model, loss, torch.no_grad()(project), model.after_step, torch.optim.Adam(model.parameters()))


def import_patchsae(folder: Path) -> type[nn.Module]:
    """Its SparseAutoencoder, with stand-ins for packages that only its trainer and its hooks want."""
    sys.path.insert(0, str(folder))
    for name in ("wandb", "jaxtyping", "geom_median", "geom_median.torch", "transformer_lens"):
        sys.modules[name] = mock.MagicMock()
    hooks = types.ModuleType("transformer_lens.hook_points")
    hooks.HookPoint = nn.Identity
    hooks.HookedRootModule = type("HookedRootModule", (nn.Module,), {"setup": lambda self: None})
    sys.modules[hooks.__name__] = hooks
    return __import__("src.sae_training.sparse_autoencoder").sae_training.sparse_autoencoder.SparseAutoencoder


def patchsae(case: Case, official: type[nn.Module]) -> Contender:
    settings = types.SimpleNamespace(
        d_in=case.width,
        d_sae=case.dictionary,
        l1_coefficient=0.0,
        dtype=torch.float32,
        gated_sae=False,
        use_ghost_grads=True,
        mse_cls_coefficient=1.0,
    )
    model = official(settings, "cpu")
    return Contender(
        model,
        lambda features, dead: model(features, dead)[2]["loss"],
        model.remove_gradient_parallel_to_decoder_directions,
        model.set_decoder_norm_to_unit_norm,
        torch.optim.Adam(model.parameters()),
    )


def clock(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def timed(contender: Contender, features: Tensor, dead: Tensor) -> tuple[float, float]:
    """CPU seconds of forward and backward, and of the whole step."""
    learn = clock(lambda: contender.loss(features, dead).backward())
    rest = clock(lambda: [contender.project(), contender.optimizer.step(), contender.norm()])
    contender.optimizer.zero_grad()
    return learn, learn + rest


def compare(case: Case, official: type[nn.Module], features: Tensor, dead: Tensor) -> str:
    """Largest differences at K = d_c and PatchSAE's normalisation, as a line."""
    all_of_it = case._replace(top_k=case.dictionary)
    pair = ours(all_of_it, "patchsae"), patchsae(all_of_it, official)
    pair[1].model.load_state_dict({name: x for name, x in pair[0].model.state_dict().items() if name != "since_fired"})
    losses = [contender.loss(features, dead) for contender in pair]
    for contender, loss in zip(pair, losses, strict=True):
        loss.backward()
        contender.project()
    one, other = (dict(contender.model.named_parameters()) for contender in pair)
    found = [f"loss {abs(losses[0] - losses[1]).item():.1e} of {losses[1].item():.3g}"]
    for name, parameter in other.items():
        difference = (one[name].grad - parameter.grad).abs().max().item()
        found.append(f"{name} {difference:.1e} of {parameter.grad.abs().max().item():.1e}")
    return "; ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patchsae", type=Path, help="a clone of dynamical-inference/patchsae")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    official = import_patchsae(arguments.patchsae) if arguments.patchsae else None
    for name in arguments.only:
        case = CASES[name]
        torch.manual_seed(0)
        contenders = {"ours": ours(case), "dense": dense(case)}
        if official is not None:
            contenders["patchsae"] = patchsae(case, official)
        features = torch.randn(case.images, case.patches, case.width)
        print(f"{name}: {case}")
        for microbatch in (0.0, DEAD):
            dead = torch.arange(case.dictionary) < microbatch * case.dictionary
            if official is not None:
                print(
                    f"  gradients, {microbatch:.0%} dead, against PatchSAE: {compare(case, official, features, dead)}"
                )
            rounds = [[timed(x, features, dead) for x in contenders.values()] for _ in range(arguments.rounds + 1)][1:]
            for part, title in enumerate(("learn", "step")):
                times = [statistics.median(x[part] for x in some) for some in zip(*rounds, strict=True)]
                cells = "  ".join(
                    f"{who} {seconds:.4f} s" + (f" ({seconds / times[0]:.2f} x)" if who != "ours" else "")
                    for who, seconds in zip(contenders, times, strict=True)
                )
                tokens = case.images * case.patches / times[0]
                print(f"  {title:5} {microbatch:3.0%} dead: {cells}; ours {tokens:.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
