"""The sparse autoencoder: agreement with public code, exact sparse gradients, dead latents, ghosts, concept sets."""

import pytest
import torch

from tesserae.metrics import sparse
from tesserae.sae import topk
from tesserae.sae.topk import Codes, geometric_median
from tesserae.training import loop
from tests import golden
from tests.training import together

SPEC = {
    "width": 6,
    "dictionary": 20,
    "top_k": 4,
    "tied_init": False,
    "ghost_gradients": True,
    "dead_window": 3,
    "normalise": "none",
    "chunk": 64,
}
PAPER = SPEC | {"width": 768, "dictionary": 24_576, "top_k": 128}
B, P = 3, 5


def made(dead: int = 0, dtype: torch.dtype = torch.float64, **changes) -> topk.TopKSAE:
    """A seeded model whose first `dead` latents have not fired for too long."""
    torch.manual_seed(0)
    model = topk.build(SPEC | changes)
    with torch.no_grad():
        model.b_enc.normal_(std=0.1)
        model.b_dec.normal_()
    model.since_fired[:dead] = model.dead_window + 1
    model.to(dtype).after_step()  # rows of length 1 in this precision
    return model


def features(images: int = B, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return golden.seeded_array("features", (images, P, SPEC["width"])).to(dtype)


def terms_of(model, batch):
    ((group, terms, watched),) = model.losses({"features": batch}, 0, torch.Generator())
    assert group == "sae"
    return terms, watched


def gradients(model, batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    terms, _ = terms_of(model, batch)
    sum(terms.values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def dense(model, tokens):
    """Eq. 3 by its letter, with the pre-activations: tokens (T, d_h) -> (T, d_c) twice, (T, d_h)."""
    hidden = (tokens - model.b_dec) @ model.W_enc + model.b_enc
    kept = hidden.topk(model.top_k)
    codes = torch.zeros_like(hidden).scatter(1, kept.indices, kept.values).relu()
    return hidden, codes, codes @ model.W_dec + model.b_dec


# ---- published sizes and names ----------------------------------------------------------------------------------


def test_published_size_and_names():
    with torch.device("meta"):
        model = topk.build(PAPER)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {"W_enc": (768, 24_576), "b_enc": (24_576,), "W_dec": (24_576, 768), "b_dec": (768,)}
    assert sum(p.numel() for p in model.parameters()) == 37_774_080


def test_initialisation_is_patchsaes_or_tied():
    model = made(dictionary=600, width=50, dtype=torch.float32)
    bound = (6 / 600) ** 0.5  # Kaiming-uniform as PyTorch computes it on (50, 600)
    assert 0.99 * bound < model.W_enc.abs().max() <= bound
    torch.testing.assert_close(model.W_dec.norm(dim=1), torch.ones(600))
    assert not torch.equal(model.W_enc, model.W_dec.T)
    tied = topk.build(SPEC | {"tied_init": True})
    assert torch.equal(tied.W_enc, tied.W_dec.T) and tied.W_enc.data_ptr() != tied.W_dec.data_ptr()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="lower top_k"):
        topk.build(SPEC | {"top_k": 21})
    with pytest.raises(ValueError, match="normalise must be"):
        topk.build(SPEC | {"normalise": "l2"})


# ---- agreement with public code ---------------------------------------------------------------------------------
# The golden numbers are outputs of dynamical-inference/patchsae (SparseAutoencoder, one step of its trainer with Adam,
# a rate of 0.01; ReLU is TopK with K = d_c) and of openai/sparse_autoencoder (Autoencoder with TopK), in float32, with
# the weights of `golden.fill_by_name` at `fill_scale` (decoder rows then made unit) and seeded features.


@pytest.fixture(scope="module")
def reference():
    return golden.load("sae")


def reference_model(reference, **changes):
    model = topk.build(SPEC | reference["spec"] | changes)
    golden.fill_by_name(model, reference["fill_scale"])
    model.after_step()
    model.since_fired[torch.tensor(reference["dead"])] = model.dead_window + 1
    return model, golden.seeded_array("sae/features", tuple(reference["features"]))


def close(found, wanted):
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-4, atol=1e-6)


def test_loss_ghost_and_gradients_are_patchsaes(reference):
    model, batch = reference_model(reference, top_k=reference["spec"]["dictionary"], normalise="patchsae")
    terms, _ = terms_of(model, batch)
    close(terms["reconstruction"], reference["patchsae"]["mse"])
    close(terms["ghost"], reference["patchsae"]["ghost"])
    for name, gradient in gradients(model, batch).items():
        close(gradient, reference["patchsae"]["gradients"][name])


def test_a_step_is_patchsaes(reference):
    model, batch = reference_model(reference, top_k=reference["spec"]["dictionary"], normalise="patchsae")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    gradients(model, batch)
    model.after_backward("sae", {"fired": model.collected("sae")["fired"][None]})
    optimizer.step()
    model.after_step("sae")
    for name, parameter in model.named_parameters():
        close(parameter.detach(), reference["patchsae"]["after"][name])


def test_reconstructions_are_openais(reference):
    model, batch = reference_model(reference, top_k=reference["openai"]["top_k"])
    close(model.decode(model.encode(batch.flatten(0, 1))).detach(), reference["openai"]["reconstructions"])


# ---- sparse and in chunks: the same numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [4, 20])
@pytest.mark.parametrize("dead", [0, 7])
@pytest.mark.parametrize("normalise", ["none", "patchsae"])
@pytest.mark.parametrize("chunk", [64, 4])
def test_gradients_are_those_of_the_dense_formula(top_k, dead, normalise, chunk):
    """Chunks of 4 tokens leave a last one of 3. Finite differences are no test here: TopK has kinks."""
    model = made(dead, top_k=top_k, normalise=normalise, chunk=chunk)
    found = gradients(model, features())
    tokens = features().flatten(0, 1)
    hidden, _, rebuilt = dense(model, tokens)
    residual, last = tokens - rebuilt, slice(dead)
    error = residual.square() / (tokens.norm(dim=1, keepdim=True) if normalise == "patchsae" else 1)
    loss = error.sum()
    if dead:  # exponentials of half the residual's length; their error as large as the main one
        fixed = residual.detach()
        ghost = hidden[:, last].exp() @ model.W_dec[last]
        ghost = ghost * (fixed.norm(dim=1) / (1e-6 + 2 * ghost.norm(dim=1))).detach()[:, None]
        errors = (ghost - fixed).square() / fixed.norm(dim=1, keepdim=True)
        loss = loss + ((error / (errors + 1e-6)).detach() * errors).sum()
    model.zero_grad()
    (loss / (tokens.numel() if normalise == "patchsae" else len(tokens))).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-10, atol=1e-12)


def test_codes_and_reconstructions_are_those_of_the_dense_formula():
    model = made(chunk=4)
    codes = model.encode(features())
    assert codes.indices.shape == codes.values.shape == (B, P, 4) and (codes.values >= 0).all()
    tokens = features().flatten(0, 1)
    _, wanted, rebuilt = dense(model, tokens)
    flat = Codes(*(x.flatten(0, 1) for x in codes))
    torch.testing.assert_close(torch.zeros_like(wanted).scatter(1, *flat), wanted)
    torch.testing.assert_close(model.decode(flat), rebuilt)


def test_relu_comes_after_the_selection():
    model = made()
    with torch.no_grad():
        model.b_enc.fill_(-100.0)
        model.b_enc[3] = 100.0
    codes = model.encode(features())
    assert ((codes.values > 0).sum(-1) == 1).all() and (codes.indices == 3).any(-1).all()
    assert terms_of(model, features())[1]["l0"] == 1


# ---- a step -----------------------------------------------------------------------------------------------------


def test_rows_stay_of_unit_length_and_their_gradient_orthogonal():
    model = made()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(3):
        before = gradients(model, features())["W_dec"]
        model.after_backward("sae", {"fired": model.collected("sae")["fired"][None]})
        assert (before * model.W_dec).sum(1).abs().max() > 1e-2  # there was something to remove
        assert (model.W_dec.grad * model.W_dec).sum(1).abs().max() < 1e-12
        optimizer.step()
        model.after_step("sae")
        torch.testing.assert_close(model.W_dec.norm(dim=1), torch.ones(20, dtype=torch.float64))


def test_the_ghost_term_equals_the_main_term_in_value():
    terms, watched = terms_of(made(dead=7), features())
    assert terms["ghost"].item() == pytest.approx(terms["reconstruction"].item(), rel=1e-3)
    assert watched["dead"].item() == pytest.approx(7 / 20)


def test_without_dead_latents_there_is_no_ghost():
    terms, _ = terms_of(made(), features())
    assert terms["ghost"].item() == 0 and terms["reconstruction"].item() > 0
    assert "ghost" not in terms_of(made(dead=7, ghost_gradients=False), features())[0]


def test_ghosts_reach_dead_latents_and_their_exponentials_do_not_overflow():
    model = made(dead=7, dtype=torch.float32)
    with torch.no_grad():
        model.b_enc[:7] = -5.0  # never among the largest
    assert not model.encode(features(dtype=torch.float32)).indices.lt(7).any()
    assert gradients(model, features(dtype=torch.float32))["W_enc"][:, :7].abs().min() > 0
    with torch.no_grad():
        model.b_enc += 1000.0  # e^1000
    assert all(found.isfinite().all() for found in gradients(model, features(dtype=torch.float32)).values())


def test_a_latent_is_dead_after_more_steps_than_the_window():
    model = made(dead_window=2)
    fired = torch.zeros(1, 20, dtype=torch.bool)
    fired[0, 5] = True
    gradients(model, features())
    deaths = []
    for _ in range(4):
        deaths.append(terms_of(model, features())[1]["dead"].item())
        model.after_backward("sae", {"fired": fired})
    assert deaths == pytest.approx([0, 0, 0, 19 / 20]) and model.since_fired.tolist() == [4] * 5 + [0] + [4] * 14


def test_two_shares_count_dead_latents_as_one():
    """Each microbatch alone misses latents that the other fires."""
    whole, halves = made(top_k=1), made(top_k=1)
    batch = features(4)
    gradients(whole, batch)
    whole.after_backward("sae", {name: x[None] for name, x in whole.collected("sae").items()})
    seen = []
    for half in batch.split(2):
        gradients(halves, half)
        seen.append(halves.collected("sae")["fired"])
    assert not torch.equal(*seen)
    halves.after_backward("sae", {"fired": torch.stack(seen)})
    assert torch.equal(whole.since_fired, halves.since_fired) and 0 < (whole.since_fired == 0).sum() < 20


def test_training_resumes_to_the_same_bytes_with_any_shares(tmp_path, monkeypatch):
    """Stopped by an unreadable sample after a checkpoint; what counts dead latents is part of the state."""
    kind = (lambda: topk.build(SPEC | {"dead_window": 1, "top_k": 1}), "features", (P, 6))
    monkeypatch.setitem(together.KINDS, "sae", kind)
    settings = {"clip": None, "ema": 0.0, "weight_decay": 0.0, "batch": 4, "steps": 12}
    straight = together.fit(tmp_path / "straight", "sae", **settings)
    assert straight.weights["since_fired"].max() > 1
    with monkeypatch.context() as often, pytest.raises(OSError, match="unreadable"):
        often.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        together.fit(tmp_path / "again", "sae", breaks_at=7, **settings)
    together.fit(tmp_path / "again", "sae", **settings)
    assert together.same(tmp_path / "straight", tmp_path / "again")
    halves = together.fit(tmp_path / "halves", "sae", microbatches=2, **settings)
    for name, x in straight.weights.items():
        torch.testing.assert_close(halves.weights[name], x, rtol=0, atol=1e-5)
    model = topk.build(SPEC)
    model.load_state_dict(straight.weights)
    torch.testing.assert_close(model.W_dec.norm(dim=1), torch.ones(20))


def test_it_learns():
    model, batch = made(dtype=torch.float32, tied_init=True), features(40, torch.float32)
    model.init_bias(batch.flatten(0, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    found = []
    for _ in range(60):
        found.append(terms_of(model, batch)[1]["nmse"].item())
        gradients(model, batch)
        model.after_backward("sae", {"fired": model.collected("sae")["fired"][None]})
        optimizer.step()
        model.after_step("sae")
    assert found[-1] < 0.5 * found[0]


# ---- geometric median ---------------------------------------------------------------------------------------------


def test_the_geometric_median_of_known_sets():
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [100.0]], dtype=torch.float64)
    assert geometric_median(line).item() == pytest.approx(2, abs=1e-3)
    square = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]], dtype=torch.float64)
    assert geometric_median(square).tolist() == pytest.approx([2, 2])
    torch.testing.assert_close(geometric_median(square.new_ones(3, 2)), square.new_ones(2))
    # Fermat's point of a triangle sees each pair of corners under 120 degrees.
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.2, 0.9]], dtype=torch.float64)
    arms = torch.nn.functional.normalize(triangle - geometric_median(triangle), dim=1)
    torch.testing.assert_close(
        (arms @ arms.T).fill_diagonal_(-0.5), torch.full((3, 3), -0.5).double(), rtol=0, atol=1e-4
    )


def test_an_outlier_moves_the_bias_little():
    model, batch = made(), features(20)
    batch[0, 0] += 1e6
    model.init_bias(batch.flatten(0, 1))
    assert (model.b_dec - features(20).flatten(0, 1).mean(0)).norm() < 1 < (batch.mean((0, 1)) - model.b_dec).norm()


# ---- sets of concepts ---------------------------------------------------------------------------------------------


def test_a_concept_set_is_the_largest_of_the_dense_mean():
    model = made()
    _, codes, _ = dense(model, features().flatten(0, 1))
    mean = codes.unflatten(0, (B, P)).mean(1)
    torch.testing.assert_close(model.mean_code(features()), mean.detach())
    for found, wanted in zip(model.concept_set(features(), 6), mean, strict=True):
        positive = int((wanted > 0).sum())
        assert found.tolist() == (wanted.argsort(descending=True)[: min(6, positive)].tolist() + [-1] * 6)[:6]


def test_the_order_of_tokens_does_not_matter_and_only_positive_concepts_count():
    model = made(top_k=1)
    found = model.concept_set(features(), 10)
    assert torch.equal(found, model.concept_set(features()[:, torch.randperm(P)], 10))
    assert ((found >= 0).sum(1) <= P).all() and (found[:, 0] >= 0).all() and (found[:, -1] == -1).all()


def test_equal_concepts_come_by_index():
    model = made(top_k=20)
    with torch.no_grad():
        model.W_enc.zero_()
        model.b_enc.fill_(1.0)
    assert model.concept_set(features(), 4).tolist() == [[0, 1, 2, 3]] * B


# ---- numbers ------------------------------------------------------------------------------------------------------


def test_watched_numbers_are_those_of_the_metrics():
    model = made()
    tokens = features().flatten(0, 1)
    codes = model.encode(tokens)
    sums = [
        sparse.sums_of(
            tokens[some], model.decode(Codes(*(x[some] for x in codes))).detach(), *(x[some] for x in codes), 20
        )
        for some in (slice(7), slice(7, None))
    ]
    numbers = sparse.numbers(sparse.add(*sums))
    _, watched = terms_of(model, features())
    for name in ("nmse", "explained_variance", "explained_variance_centred", "l0"):
        assert numbers[name] == pytest.approx(watched[name].item(), rel=1e-9)
    fired = model.collected("sae")["fired"]
    assert numbers["dead"] == pytest.approx(1 - fired.double().mean().item())


def test_metrics_of_known_cases():
    tokens = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    rebuilt = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    sums = sparse.sums_of(tokens, rebuilt, torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1.0, 2.0], [3.0, 0.0]]), 4)
    numbers = sparse.numbers(sums)
    assert numbers["nmse"] == pytest.approx((0 + 1 / 4) / 2)
    assert numbers["explained_variance"] == pytest.approx(1 - 1 / 29)
    assert numbers["explained_variance_centred"] == pytest.approx(1 - 1 / (9 + 4) * 2)  # 1.5^2 + 1^2, twice: 6.5
    assert numbers["l0"] == 1.5 and numbers["dead"] == 0.5
    perfect = sparse.numbers(sparse.sums_of(tokens, tokens, *(torch.tensor([[0], [0]]),) * 2, 4))
    assert (perfect["nmse"], perfect["explained_variance"], perfect["l0"], perfect["dead"]) == (0, 1, 0, 1)


def test_the_histogram_counts_every_latent_once():
    found = sparse.firing_histogram(torch.tensor([0, 1, 1000, 300, 10]).numpy(), 1000)
    assert sum(found["latents"]) == 4 and found["never"] == 1
    at = dict(zip(found["log10_edges"], found["latents"], strict=False))
    assert at[-3.0] == 1 and at[-2.0] == 1 and at[-1.0] == 1 and at[-0.5] == 1
