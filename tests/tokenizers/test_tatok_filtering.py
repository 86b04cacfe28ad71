"""Dynamic Token Filtering: against a loop over images and patches, its bounds, ties, budgets, and other orders."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tesserae.tokenizers import tatok_filtering as dtf
from tests.tokenizers import one_by_one

EPSILONS = st.floats(0, 0.99)
FEW = settings(max_examples=60, deadline=None)


@st.composite
def some_scores(draw, least=0.0):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 12)))
    plain = st.floats(least, 100, width=32, allow_subnormal=False) | st.sampled_from([1.0, 2.0])  # ties as well
    return torch.from_numpy(draw(arrays.arrays(np.float32, shape, elements=plain)))


def seeded(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(count=3, side=16, seed=1):
    """Flat, noisy, and half of each."""
    images = seeded(count, 3, side, side, seed=seed).mul(0.4).clamp(-1, 1)
    images[0] = 0.5
    images[2, :, : side // 2] = -1
    return images


# ---- against the loop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("k", [0, 1, 4])
def test_as_one_by_one(epsilon, k):
    patches, of_image, images = seeded(3, 16, 12), seeded(3, k, 12, seed=2), pictures()
    scores = dtf.scores(patches, of_image, images, "patch_rate")
    each = zip(patches, of_image, images, strict=True)
    torch.testing.assert_close(scores, torch.stack([torch.stack(one_by_one.scores_of(*one)) for one in each]))
    ranking = dtf.rank(scores)
    kept = dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, epsilon))
    assert [row.nonzero().flatten().tolist() for row in kept] == one_by_one.filtered(patches, of_image, images, epsilon)


@FEW
@given(some_scores(), EPSILONS, st.sampled_from([0.0, 3.0, 1e6]))
def test_lengths_are_those_of_the_definition(scores, epsilon, threshold):
    ranking = dtf.rank(scores)
    found = dtf.lengths(ranking.cumulative, epsilon, threshold)
    assert ((found >= 1) & (found <= scores.shape[1])).all()
    sums, total = ranking.cumulative, ranking.cumulative[:, -1]
    wanted = torch.maximum((1 - epsilon) * total, torch.tensor(threshold)).minimum(total) * (1 - dtf.TOLERANCE)
    assert (sums.gather(1, found[:, None] - 1)[:, 0] >= wanted).all()
    before = torch.cat([torch.zeros(len(sums), 1), sums], dim=1).gather(1, found[:, None] - 1)[:, 0]
    assert ((before < wanted) | (found == 1)).all()


@FEW
@given(some_scores(), EPSILONS)
def test_kept_patches_are_the_first_of_the_highest(scores, epsilon):
    ranking = dtf.rank(scores)
    lengths = dtf.lengths(ranking.cumulative, epsilon)
    kept = dtf.first_of(ranking.order, lengths)
    assert torch.equal(kept.sum(1), lengths)
    for row, chosen in zip(scores.tolist(), kept.tolist(), strict=True):
        best = sorted(range(len(row)), key=lambda i: (-row[i], i))[: sum(chosen)]
        assert {i for i, there in enumerate(chosen) if there} == {*best}


@FEW
@given(some_scores(), EPSILONS, EPSILONS)
def test_more_loss_keeps_fewer_of_the_same(scores, one, other):
    ranking = dtf.rank(scores)
    many, few = (
        dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, epsilon)) for epsilon in sorted((one, other))
    )
    assert (few <= many).all()


@FEW
@given(some_scores(), EPSILONS, st.floats(0.25, 64))
def test_a_common_factor_changes_nothing_and_images_are_on_their_own(scores, epsilon, factor):
    factor = 2.0 ** round(math.log2(factor))  # exact
    found = dtf.lengths(dtf.rank(scores).cumulative, epsilon)
    assert torch.equal(found, dtf.lengths(dtf.rank(scores * factor).cumulative, epsilon))
    alone = [dtf.lengths(dtf.rank(row[None]).cumulative, epsilon).item() for row in scores]
    assert found.tolist() == alone


@pytest.mark.parametrize(("epsilon", "wanted"), [(0.0, 8), (0.25, 6), (0.3, 6), (0.5, 4), (0.99, 1)])
def test_equal_scores_keep_the_first_and_their_share(epsilon, wanted):
    ranking = dtf.rank(torch.full((2, 8), 0.1))  # of which float32 sums are not exact
    lengths = dtf.lengths(ranking.cumulative, epsilon)
    assert lengths.tolist() == [wanted, wanted]
    assert dtf.first_of(ranking.order, lengths).int().tolist() == [[1] * wanted + [0] * (8 - wanted)] * 2


def test_an_image_without_any_score_keeps_one():
    for threshold in (0.0, 5.0):
        assert dtf.lengths(torch.zeros(2, 6), 0.05, threshold).tolist() == [1, 1]


def test_the_threshold_is_the_other_branch_and_is_capped():
    cumulative = dtf.rank(torch.tensor([[4.0, 3.0, 2.0, 1.0]])).cumulative
    found = [dtf.lengths(cumulative, 0.7, threshold).item() for threshold in (0.0, 3.0, 3.5, 7.5, 9.5, 1e9)]
    assert found == [1, 1, 1, 3, 4, 4]


# ---- the score ------------------------------------------------------------------------------------------------------


def test_energy_is_what_global_tokens_do_not_span():
    of_image, patches = seeded(2, 3, 8), seeded(2, 5, 8, seed=4)
    spanned = torch.einsum("bmk,bkd->bmd", seeded(2, 5, 3, seed=5), of_image)
    torch.testing.assert_close(dtf.residual_energy(spanned, of_image), torch.zeros(2, 5), atol=1e-4, rtol=0)
    energy = dtf.residual_energy(patches, of_image)
    torch.testing.assert_close(dtf.residual_energy(patches + spanned, of_image), energy, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(dtf.residual_energy(patches, 5 * of_image.flip(1)), energy)  # of the span alone
    assert (energy <= patches.square().sum(2) + 1e-4).all()
    assert torch.equal(dtf.residual_energy(patches, of_image[:, :0]), patches.square().sum(2))


def test_one_global_token_is_the_printed_projection():
    patches, token = seeded(1, 5, 8), seeded(1, 1, 8, seed=3)
    along = (patches @ token.mT) / token.square().sum() * token
    torch.testing.assert_close(dtf.residual_energy(patches, token), (patches - along).square().sum(2))


def test_complexity_is_a_rate_of_pixels_in_raster_order():
    images = torch.full((1, 3, 8, 8), -1.0)
    images[0, :, :4, 4:] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2)  # the second of four
    found = dtf.patch_rate(images, 2)[0]
    flat, busy = dtf.FLOOR, dtf.FLOOR + 0.5 * math.log2(1 + 1 / dtf.NOISE)
    torch.testing.assert_close(found, torch.tensor([flat, busy, flat, flat]))


def test_other_complexities():
    patches, of_image = seeded(1, 4, 8), seeded(1, 2, 8, seed=3)
    energy, images = dtf.residual_energy(patches, of_image), pictures()[:1]
    assert torch.equal(dtf.scores(patches, of_image, images, "one"), energy)
    varied = energy * patches.var(2, correction=0)
    torch.testing.assert_close(dtf.scores(patches, of_image, images, "token_var"), varied)


# ---- budgets --------------------------------------------------------------------------------------------------------


@FEW
@given(some_scores(least=2**-7), st.floats(0, 1))
def test_bisection_finds_the_budget_or_the_jump_around_it(scores, share):
    cumulative, patches = dtf.rank(scores).cumulative, 1 + share * (scores.shape[1] - 1)
    epsilon = dtf.epsilon_for(cumulative, patches, rounds=40)

    def mean(value):
        return dtf.lengths(cumulative, value.clamp(0, 1)).float().mean().item()

    assert mean(epsilon + 1e-4) <= patches <= mean(epsilon - 1e-4) or epsilon < 1e-4 or epsilon > 1 - 1e-4


def test_a_budget_is_met_when_scores_differ():
    cumulative = dtf.rank(seeded(200, 64).exp()).cumulative
    for patches in (1.5, 12.0, 40.4, 63.0):
        mean = dtf.lengths(cumulative, dtf.epsilon_for(cumulative, patches)).float().mean().item()
        assert mean == pytest.approx(patches, abs=0.05)
    assert dtf.epsilon_for(cumulative, 64, least=0.25).item() == pytest.approx(0.25, abs=1e-5)


# ---- other orders ---------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(1, 40), st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from(dtf.ORDERS))
def test_every_order_keeps_as_many(patches, wanted, order):
    lengths = torch.tensor([min(each, patches) for each in wanted])
    ranking = dtf.rank(seeded(len(lengths), patches).abs())
    rng = torch.Generator().manual_seed(3)
    kept = dtf.kept(ranking, lengths, order, lambda: dtf.permutations(len(lengths), patches, rng))
    assert kept.dtype == torch.bool and torch.equal(kept.sum(1), lengths)
    for row, many in zip(kept, lengths.tolist(), strict=True):
        places = row.nonzero().flatten().tolist()
        if order == "uniform":
            assert places == [j * patches // many for j in range(many)]
        if order in ("first", "last"):
            assert places == list(range(patches))[: many if order == "first" else None][-many:]


def test_a_random_order_at_use_is_that_of_the_picture():
    images = pictures()
    found = dtf.permutations_of(images, 10)
    assert torch.equal(found.sort(1).values, torch.arange(10).expand(3, -1))
    assert torch.equal(dtf.permutations_of(images[[2, 0]], 10), found[[2, 0]])
    assert len({tuple(row) for row in found.tolist()}) == 3
    rng = torch.Generator().manual_seed(0)
    assert not torch.equal(dtf.permutations(3, 10, rng), dtf.permutations(3, 10, rng))


def test_truncation_leaves_a_start_an_end_or_anything():
    rows = dtf.truncated(3000, 6, torch.Generator().manual_seed(0))
    many = rows.sum(1)
    assert many.min() == 1 and many.max() == 6
    share = torch.bincount(many, minlength=7)[1:] / 3000
    torch.testing.assert_close(share, torch.full((6,), 1 / 6), atol=0.03, rtol=0)
    halves = {tuple(row) for row in rows[many == 3].int().tolist()}
    assert len(halves) == 20  # all that there are
    ends = sum((rows == torch.tensor(row, dtype=torch.bool)).all(1).sum().item() for row in ((0, 0, 0, 1, 1, 1),))
    assert ends / (many == 3).sum().item() == pytest.approx(1 / 3 + 1 / 60, abs=0.08)
