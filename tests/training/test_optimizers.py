"""Who steps which parameter, and that an interrupted training with two optimizers for a group loses nothing."""

import copy
import json
import signal

import pytest
import torch
from torch import nn

from tesserae.nn.conv_autoencoder import ConvEncoder
from tesserae.tokenizers import detok
from tesserae.training.optimizers import KernelMuon, hidden_matrices, optimizers_of, orthogonalised
from tests.small import SMALLER
from tests.training.together import TRAINING, ended, fit, same, start, wait_for

MUON = {"lr": 0.02, "momentum": 0.95}


def optimizers(muon: dict | None = MUON, lr: float = 1e-3):
    model = detok.build(SMALLER)
    group = model.parameter_groups()["autoencoder"]
    return model, group, optimizers_of(model, group, TRAINING | {"muon": muon, "lr": lr})


def test_hidden_matrices_are_those_of_blocks_alone():
    model, group, _ = optimizers()
    hidden = hidden_matrices(model)
    shapes = {name: tuple(p.shape) for name, p in group}
    assert {name.rsplit(".", 2)[-2] for name in hidden} == {"qkv", "proj", "w12", "w3"}
    assert all(len(shapes[name]) == 2 and ".blocks." in name for name in hidden)
    assert not hidden & {"encoder.latent_head.weight", "decoder.decoder_embed.weight", "decoder.head.weight"}


def test_embeddings_and_modulations_of_blocks_are_not_hidden():
    block = nn.ModuleDict(
        {
            "adaLN_modulation": nn.Sequential(nn.SiLU(), nn.Linear(4, 8)),
            "table": nn.Embedding(3, 4),
            "fc": nn.Linear(4, 4),
        }
    )
    assert hidden_matrices(nn.ModuleDict({"blocks": nn.ModuleList([block])})) == {"blocks.0.fc.weight"}


def test_kernels_of_levels_and_of_the_middle_are_hidden_and_first_and_last_ones_are_not():
    encoder = ConvEncoder(8, [1, 2], 1, 4, True)
    hidden, kernels = hidden_matrices(encoder), {n for n, p in encoder.named_parameters() if p.ndim == 4}
    assert hidden == kernels - {"conv_in.weight", "conv_out.weight"}
    assert {"mid.block_1.conv1.weight", "mid.attn_1.q.weight", "down.0.downsample.conv.weight"} <= hidden


def in_float32(matrix, ns_coefficients, ns_steps, eps):
    """PyTorch's iteration, without its conversion."""
    a, b, c = ns_coefficients
    x = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if len(matrix) > matrix.shape[1] else x


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_pytorchs_but_for_bfloat16(nesterov, monkeypatch):
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", in_float32)
    rng = torch.Generator().manual_seed(0)
    shapes = [(6, 4, 3, 3), (8, 4), (8, 4), (4, 8), (8, 4)]  # a kernel, a shape that is there three times
    parameters = [nn.Parameter(torch.randn(shape, generator=rng)) for shape in shapes]
    matrices = [nn.Parameter(p.detach().clone().flatten(1)) for p in parameters]
    before = [p.detach().clone() for p in parameters]
    settings = {"lr": 0.02, "momentum": 0.9, "nesterov": nesterov}
    decays = [0.1, 0.1, 0.1, 0.1, 0.0]
    ours = KernelMuon([{"params": [p], "weight_decay": d} for p, d in zip(parameters, decays, strict=True)], **settings)
    theirs = torch.optim.Muon(
        [{"params": [p], "weight_decay": d} for p, d in zip(matrices, decays, strict=True)], **settings
    )
    together = KernelMuon([{"params": parameters, "weight_decay": 0.1}], **settings)
    assert list(ours.parameters()) == parameters == list(together.parameters())
    for _ in range(3):
        for p, matrix in zip(parameters, matrices, strict=True):
            p.grad = torch.randn(p.shape, generator=rng)
            matrix.grad = p.grad.flatten(1)
        ours.step()
        theirs.step()
    for p, matrix, first in zip(parameters, matrices, before, strict=True):
        assert not torch.allclose(p, first, atol=0.01)
        torch.testing.assert_close(p.detach().flatten(1), matrix.detach(), rtol=0, atol=1e-6)


def test_matrices_of_a_shape_step_together_as_each_alone():
    rng = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 5, 7, generator=rng)
    settings = {"ns_coefficients": (3.4445, -4.775, 2.0315), "ns_steps": 5, "eps": 1e-7}
    together = orthogonalised(matrices, **settings)
    alone = torch.cat([orthogonalised(matrix[None], **settings) for matrix in matrices])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    values = torch.linalg.svdvals(together)
    assert values.min() > 0.5
    assert values.max() < 1.3
    turned = orthogonalised(matrices.mT, **settings)
    torch.testing.assert_close(turned, together.mT, rtol=0, atol=1e-6)


def test_muon_in_float32_is_near_that_of_bfloat16():
    rng = torch.Generator().manual_seed(0)
    kernel = nn.Parameter(torch.randn(6, 4, 3, 3, generator=rng))
    matrix = nn.Parameter(kernel.detach().clone().flatten(1))
    ours = KernelMuon([{"params": [kernel], "weight_decay": 0.1}], lr=0.02)
    theirs = torch.optim.Muon([{"params": [matrix], "weight_decay": 0.1}], lr=0.02)
    for _ in range(3):
        kernel.grad = torch.randn(kernel.shape, generator=rng)
        matrix.grad = kernel.grad.flatten(1)
        ours.step()
        theirs.step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach(), rtol=0, atol=2e-3)
    ours.zero_grad()
    before = kernel.detach().clone()
    ours.step()  # nothing to step
    assert kernel.grad is None
    assert torch.equal(kernel, before)


def test_another_law_of_rates_is_refused():
    with pytest.raises(ValueError, match="adjust_lr_fn"):
        KernelMuon([{"params": [nn.Parameter(torch.ones(2, 2))]}], lr=0.02, adjust_lr_fn="match_rms_adamw")


def test_muon_of_kernels_goes_on_from_its_state():
    def optimizer():
        kernel = nn.Parameter(torch.ones(2, 3, 3, 3))
        return kernel, KernelMuon([{"params": [kernel], "weight_decay": 0.0}], lr=0.02)

    rng = torch.Generator().manual_seed(0)
    gradients = [torch.randn(2, 3, 3, 3, generator=rng) for _ in range(2)]
    (kernel, straight), (other, resumed) = optimizer(), optimizer()
    kernel.grad = gradients[0]
    straight.step()
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    with torch.no_grad():
        other.copy_(kernel)  # as weights are restored
    kernel.grad, other.grad = gradients[1], gradients[1].clone()
    straight.step()
    resumed.step()
    assert torch.equal(kernel, other)


@pytest.mark.parametrize("muon", [None, MUON])
def test_every_parameter_is_stepped_by_one_optimizer(muon):
    _, group, found = optimizers(muon)
    stepped = [id(p) for p in found.parameters()]
    assert sorted(stepped) == sorted(id(p) for _, p in group)


def test_rates_keep_their_ratio_all_along_the_schedule():
    _, group, found = optimizers()
    for _, p in group:
        p.grad = torch.ones_like(p)
    for lr in (1e-4, 1e-3):
        found.step(lr)
        rates = [settings["lr"] for one in found._all for settings in one.param_groups]
        assert rates == pytest.approx([MUON["lr"] / 1e-3 * lr] + [lr] * (len(rates) - 1))


def test_weight_decay_spares_what_the_model_spares():
    model, group, found = optimizers()
    decay = {id(p): s["weight_decay"] for one in found._all for s in one.param_groups for p in s["params"]}
    for name, p in group:
        assert decay[id(p)] == (0.0 if model.no_weight_decay(name, p) else TRAINING["weight_decay"]), name


def test_a_training_with_muon_that_is_stopped_ends_in_the_same_bytes(tmp_path):
    fit(tmp_path / "straight", "detok", muon=MUON)
    stopped = tmp_path / "stopped"
    processes = start(1, tmp_path / "log", fit, stopped, "detok", muon=MUON, slow=0.03, save_every=0.1)
    wait_for(stopped / "state", 9, processes)
    processes[0].terminate()
    assert ended(processes) == [128 + signal.SIGTERM]
    fit(stopped, "detok", muon=MUON)
    assert same(stopped, tmp_path / "straight")
    curve = [json.loads(line) for line in (stopped / "curves.jsonl").read_text().splitlines()]
    assert len(curve) == TRAINING["steps"]
