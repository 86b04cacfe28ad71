"""MaskGIT: published sizes and names, agreement with TiTok's code, sequences of many lengths, places, sampling."""

import math
import zlib

import numpy as np
import pytest
import torch

from tesserae.contracts import check_generator
from tesserae.generators import maskgit, maskgit_sampler
from tesserae.generators.maskgit import ABSENT, PADDING
from tesserae.generators.maskgit_sampler import Noise, guidance_weight
from tesserae.generators.maskgit_weights import load_official
from tesserae.nn.masking import draw_masked, groups_by_length, real_slots
from tests import golden

REFERENCE = golden.load("maskgit")
V, CLASSES, K, P = 11, 3, 2, 9  # of the small networks of many lengths: K codes stand nowhere, the others on P places
SETTINGS = {
    "guidance": 4.0,
    "steps": 8,
    "choice_temperature": 11.0,
    "guidance_schedule": "linear",
    "guidance_power": 3.0,
    "softmax_annealing": True,
}


def filled(**changes):
    """The small network of the reference with seeded weights."""
    model = maskgit.build({**REFERENCE["spec"], **changes})
    golden.fill_by_name(model, REFERENCE["weight_scale"])
    return model.eval()


def varied(places: int = P, **changes):
    """One of sequences of many lengths: of a grid, or (no places) of codes at the front of their rows."""
    spec = {"token_length": K + P, "slots": K + P, "ragged": True, "places": places, "classes": CLASSES}
    return filled(**{**spec, **changes})


def rows(places: int = P, count: int = 6, seed: int = 0) -> torch.Tensor:
    """Codes of images that have 1 ... P patches each."""
    rng = np.random.default_rng(seed)
    found = rng.integers(V, size=(count, K + P))
    for row in range(count):
        kept = rng.permutation(P)[: 1 + rng.integers(P)]
        there = np.isin(np.arange(P), kept) if places else np.arange(P) < len(kept)
        found[row, K:][~there] = ABSENT
    return torch.from_numpy(found)


def classes(count: int = 6) -> torch.Tensor:
    return torch.arange(count) % CLASSES


def known(model, seed: int = 0):
    """A network that has seen the lengths of a training set."""
    model.count_lengths(rows(model.places, 40, seed), classes(40))
    return model


def draw(model, labels, seeds, **changes):
    return maskgit_sampler.sample(model, labels, seeds=seeds, **{**SETTINGS, **changes})


# Published sizes and names


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "places", "ragged", "total"),
    [
        (64, 4096, 0, False, 177_227_008),  # TiTok-B-64
        (32, 4096, 0, False, 177_202_432),  # TiTok-L-32
        (57, 4096, 0, False, 177_221_632),  # TiTok-B-57
        (256, 1024, 0, False, 172_652_800),  # MaskGIT-VQGAN
        (569, 16384, 0, False, 196_501_504),  # Hita
        (64, 8192, 0, False, 183_522_560),  # SFTok-B-64
        (457, 4096, 0, True, 177_528_832),  # TaTok without positions
        (457, 4096, 441, True, 178_207_417),  # TaTok
    ],
)
def test_published_parameter_counts(tokens, vocabulary, places, ragged, total):
    spec = {"token_length": tokens, "slots": tokens, "vocabulary": vocabulary, "places": places, "ragged": ragged}
    with torch.device("meta"):
        model = maskgit.build(REFERENCE["spec"] | spec | {"classes": 1000, "width": 768, "blocks": 24, "heads": 16})
    assert sum(p.numel() for p in model.parameters()) == total


def test_names_and_shapes_of_the_published_weights():
    model = filled()
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == REFERENCE["shapes"]
    old = model.state_dict() | {"model.embeddings.position_ids": torch.arange(8)[None]}
    again = maskgit.build(REFERENCE["spec"])
    load_official(again, old)
    assert all(torch.equal(tensor, old[name]) for name, tensor in again.state_dict().items())


# Agreement with the official code: same weights, masks and random numbers


def reference_batch():
    return (torch.tensor(REFERENCE[name]) for name in ("tokens", "masked", "labels"))


def test_logits_loss_and_gradients_agree():
    model, (tokens, masked, labels) = filled(), reference_batch()
    sequences = model.sequences(tokens)
    for name, given in (("logits", labels), ("logits_without_class", torch.full_like(labels, model.null))):
        logits = model.logits(model.features(sequences, masked, given))
        torch.testing.assert_close(logits, torch.tensor(REFERENCE[name]).view_as(logits), rtol=1e-5, atol=1e-5)
    loss = model.masked_losses(sequences, masked, labels)["cross_entropy"]
    assert loss.item() == pytest.approx(REFERENCE["loss"], rel=1e-6)
    loss.backward()
    for name, parameter in model.named_parameters():
        found = (parameter.grad * golden.seeded_array(f"of {name}", tuple(parameter.shape))).sum().item()
        assert found == pytest.approx(REFERENCE["gradients"][name], rel=1e-4, abs=1e-6), name


def recorded_noise(B: int, S: int):
    """The numbers that the official code was given, of the masked slots of each step in turn."""
    step = 0

    def uniforms(kind: str, *shape: int) -> torch.Tensor:
        numbers = np.random.default_rng(zlib.crc32(f"{kind} of step {step}".encode())).random(shape, dtype=np.float32)
        return torch.from_numpy(numbers)

    def noise(masked: torch.Tensor) -> Noise:
        nonlocal step
        found = Noise(uniforms("codes", B, S, V)[masked], None, uniforms("confidence", B, S)[masked])
        step += 1
        return found

    return noise


@pytest.mark.parametrize("case", REFERENCE["sampling"])
@torch.no_grad()
def test_sampling_agrees(case):
    reference, (tokens, _, labels) = REFERENCE["sampling"][case], reference_batch()
    B, S = tokens.shape
    found = maskgit_sampler.generate(
        filled(), labels, torch.full((B,), S), recorded_noise(B, S), **reference["settings"]
    )
    assert found.codes.tolist() == reference["tokens"]


@pytest.mark.parametrize("schedule", maskgit_sampler.SCHEDULES)
def test_a_scale_of_one_guides_nothing(schedule):
    assert all(guidance_weight(step, 8, 1.0, schedule, 3.0) == 0 for step in range(8))
    weights = [guidance_weight(step, 8, 3.0, schedule, 3.0) for step in range(8)]
    assert weights == sorted(weights) and weights[-1] > 1 and (weights[0] == 0) == (schedule != "constant")


# Sequences of many lengths


@pytest.mark.parametrize("places", [P, 0])
def test_rows_become_sequences_and_rows_again(places):
    model, given = varied(places), rows(places)
    sequences = model.sequences(given)
    assert torch.equal(model.rows(sequences), given)
    assert sequences.lengths.tolist() == (given != ABSENT).sum(1).tolist()
    assert sequences.codes.shape[1] == sequences.lengths.max()
    for row, codes, length in zip(given, sequences.codes, sequences.lengths, strict=True):
        assert torch.equal(codes[:length], row[row != ABSENT])
    if places:
        standing = sequences.places[0, : sequences.lengths[0] - K]
        assert torch.equal(standing, (given[0, K:] != ABSENT).nonzero()[:, 0])  # in raster order


@pytest.mark.parametrize("places", [P, 0])
def test_the_loss_of_a_batch_is_the_mean_over_its_samples_alone(places):
    """Neither padding nor grouping has a part in it: each sample alone, weighted by its slots."""
    model, given, labels = varied(places).double(), rows(places), classes()
    sequences = model.sequences(given)
    assert len(groups_by_length(sequences.lengths.tolist(), PADDING)) > 1
    rng = torch.Generator().manual_seed(3)
    masked = (torch.rand(sequences.codes.shape, generator=rng) < 0.5) & real_slots(sequences.lengths, K + P)[
        :, : sequences.codes.shape[1]
    ]
    together = model.masked_losses(sequences, masked, labels)
    assert together.keys() == ({"cross_entropy", "place_cross_entropy"} if places else {"cross_entropy"})
    for name, first in (("cross_entropy", 0), ("place_cross_entropy", K)):
        if name not in together:
            continue
        total, weight = 0.0, 0.0
        for i, length in enumerate(sequences.lengths.tolist()):
            one = model.sequences(given[i : i + 1])
            alone = model.masked_losses(one, masked[i : i + 1, :length], labels[i : i + 1])[name].item()
            own = torch.where(masked[i, first:length], 1.0, 0.1).sum().item()
            total, weight = total + own * alone, weight + own
        assert together[name].item() == pytest.approx(total / weight, rel=1e-6)


@torch.no_grad()
def test_a_masked_code_hides_its_place_and_a_known_one_shows_it():
    model, given = varied(), rows()
    sequences = model.sequences(given[:1])
    masked = torch.zeros_like(sequences.codes, dtype=torch.bool)
    masked[0, K] = True
    moved = sequences._replace(places=(sequences.places + 1) % P)
    both = [model.features(s, masked, classes(1)) for s in (sequences, moved)]
    assert not torch.allclose(*both)
    only = sequences._replace(places=torch.where(masked[:, K:], (sequences.places + 1) % P, sequences.places))
    torch.testing.assert_close(model.features(only, masked, classes(1)), both[0])


def test_every_parameter_can_learn_and_labels_are_dropped():
    model = varied().train()
    batch = {"tokens": rows(), "labels": classes()}
    ((group, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(0))
    assert group == "generator"
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
    embedded = {}
    for probability in (0.0, 1.0):
        model = filled(label_dropout=probability)
        batch = {"tokens": torch.tensor(REFERENCE["tokens"]), "labels": torch.tensor([0, 0, 0])}
        ((_, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(0))
        terms["cross_entropy"].backward()
        touched = model.model.embeddings.word_embeddings.weight.grad.abs().sum(1) > 0
        embedded[probability] = touched[model.first_class :].nonzero()[:, 0].tolist()
    assert embedded == {0.0: [0], 1.0: [4]}  # class 0; the null class, after four classes


def test_initialisation_and_weight_decay():
    torch.manual_seed(0)
    model = maskgit.build(REFERENCE["spec"] | {"width": 64, "ragged": True, "places": 5})
    for name, p in model.named_parameters():
        if p.ndim < 2:
            assert (p == float("LayerNorm.weight" in name)).all(), name
        else:
            assert p.std().item() == pytest.approx(0.02, rel=0.2), name
    ((_, terms),) = model.losses(
        {"tokens": torch.randint(V, (4, 7)), "labels": torch.arange(4)}, 0, torch.Generator().manual_seed(0)
    )
    assert terms["cross_entropy"].item() == pytest.approx(math.log(V), rel=0.05)  # it knows nothing
    assert terms["place_cross_entropy"].item() == pytest.approx(math.log(5), rel=0.05)
    decayed = {name for name, p in model.named_parameters() if not model.no_weight_decay(name, p)}
    assert decayed == {n for n, p in model.named_parameters() if p.ndim == 2 and "embedding" not in n}


# Sampling of many lengths


def test_lengths_are_drawn_as_often_as_in_their_class():
    model = varied()
    short, long = rows().clone(), rows().clone()
    short[:, K + 1 :] = ABSENT
    short[:, K] = long[:, K:] = 1
    model.count_lengths(short, torch.tensor([0, 0, 0, 1, 1, 1]))
    model.count_lengths(long, torch.tensor([0, 1, 1, 1, 1, 1]))
    labels = torch.arange(4000) % 2
    lengths = maskgit_sampler.Streams(model, list(range(4000))).lengths(labels)
    assert sorted(set(lengths.tolist())) == [K + 1, K + P]
    for label, share in ((0, 1 / 4), (1, 5 / 8)):
        assert (lengths[labels == label] == K + P).double().mean().item() == pytest.approx(share, abs=0.04)  # 4 sd
    with pytest.raises(
        ValueError, match=r"no lengths are known of the classes \[2\]: the training set has no images of them"
    ):
        draw(model, torch.tensor([0, 2]), [1, 2])


@pytest.mark.parametrize("temperature", [11.0, 0.0])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_samples_have_their_lengths_and_no_place_twice(steps, temperature):
    """Codes that want the same place are the rule here: few places, and none that the network knows better."""
    model, labels, seeds = known(varied()), classes(12), list(range(12))
    lengths = maskgit_sampler.Streams(model, seeds).lengths(labels)
    found = draw(model, labels, seeds, steps=steps, choice_temperature=temperature)
    assert found.shape == (12, K + P) and found.dtype == torch.int64 and found.max() < V
    assert torch.equal((found != ABSENT).sum(1), lengths)  # two codes on one place would be one code fewer
    assert (found[:, :K] != ABSENT).all()


def test_samples_without_places_stand_at_the_front():
    model, labels = known(varied(0)), classes(12)
    found = draw(model, labels, list(range(12)))
    assert torch.equal(found != ABSENT, real_slots((found != ABSENT).sum(1), K + P))


@pytest.mark.parametrize("make", [filled, lambda: known(varied()), lambda: known(varied(0))])
def test_samples_do_not_depend_on_the_batch(make):
    model = make()
    labels, seeds = classes(8), list(range(5, 13))
    together = draw(model, labels, seeds)
    assert not torch.equal(together[0], together[3])  # the same class, another seed
    for some in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
        assert torch.equal(draw(model, labels[some], [seeds[i] for i in some]), together[some])


def plainly(model, label: int, seed: int, steps: int = 5) -> torch.Tensor:
    """One sample, slot by slot, as decision D20 tells it; guidance 3, constant, temperature 4, logits as they are."""
    streams = maskgit_sampler.Streams(model, [seed])
    L, noise = int(streams.lengths(torch.tensor([label]))), streams.of([0])
    codes, places, fixed = [0] * L, [0] * L, [False] * L
    for step in range(steps):
        rho = (step + 1) / steps
        a, last = 4.0 * (1 - rho), step == steps - 1
        masked = torch.tensor([[not f for f in fixed]])
        given = maskgit.Sequences(torch.tensor([codes]), torch.tensor([places[K:]]), torch.tensor([L]))
        x, y = (model.features(given, masked, torch.tensor([c]))[0] for c in (label, CLASSES))
        logits, standing = (y_ + 3 * (x_ - y_) for x_, y_ in ((h(x), h(y)) for h in (model.logits, model.place_head)))
        drawn = noise(masked) if a else None
        taken = {places[s] for s in range(K, L) if fixed[s]}
        slots = [s for s in range(L) if not fixed[s]]
        standing_slots = [s for s in slots if s >= K]
        sure, wishes = {}, {}
        for n, s in enumerate(slots):
            noisy = logits[s] - (a * torch.log(-torch.log(drawn.codes[n])) if a else 0)
            codes[s] = int(noisy.argmax())
            sure[s] = logits[s, codes[s]].item()
            if s >= K:
                wish = standing[s] - (a * torch.log(-torch.log(drawn.places[standing_slots.index(s)])) if a else 0)
                wishes[s] = wish.tolist()
                places[s] = best_free(wishes[s], taken)
                sure[s] += standing[s, places[s]].item()
            if a:
                sure[s] -= a * math.log(-math.log(drawn.confidence[n].item()))
        left = 0 if last else max(1, min(len(slots) - 1, math.floor(L * math.acos(rho) / (math.pi / 2))))
        without = []  # in the order of confidence: who lost its place
        for s in sorted(slots, key=lambda s: -sure[s])[: len(slots) - left]:
            if s >= K and places[s] in taken:
                without.append(s)
                continue
            fixed[s] = True
            if s >= K:
                taken.add(places[s])
        for s in without if last else ():
            places[s] = best_free(wishes[s], taken)
            taken.add(places[s])
    row = torch.full((K + P,), ABSENT)
    for s in range(L):
        row[s if s < K else K + places[s]] = codes[s]
    return row


def best_free(wishes: list[float], taken: set[int]) -> int:
    return max((p for p in range(P) if p not in taken), key=lambda p: wishes[p])


@torch.no_grad()
def test_samples_are_those_of_the_plain_algorithm():
    model, labels, seeds = known(varied()), classes(10), list(range(10))
    settings = {"guidance": 3.0, "guidance_schedule": "constant", "steps": 5, "choice_temperature": 4.0}
    found = draw(model, labels, seeds, **settings, softmax_annealing=False)
    expected = [plainly(model, label, seed) for label, seed in zip(labels.tolist(), seeds, strict=True)]
    assert torch.equal(found, torch.stack(expected))


@pytest.mark.parametrize(
    ("places", "scores", "settled"),
    [
        # 0 keeps place 2, 3 keeps place 0; 1 comes before 2 and takes 3, its best free one.
        ([2, 2, 2, 0], [[0, 1, 9, 5], [8, 3, 9, 4], [7, 6, 9, 5], [9, 0, 0, 0]], [2, 3, 1, 0]),
        # 2 finds its best free one taken by 1, and takes the one that 3, who is less sure, likes best.
        ([0, 0, 0, 0], [[9, 0, 0, 0], [9, 5, 0, 0], [9, 5, 4, 0], [9, 0, 5, 1]], [0, 1, 2, 3]),
    ],
)
def test_who_loses_a_place_takes_the_best_free_one_in_the_order_of_confidence(places, scores, settled):
    choosing, rank = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[3, 2, 1, 0]])
    found = maskgit_sampler.settle(torch.tensor([places]), torch.tensor(scores).float(), choosing, rank)
    assert found.tolist() == [settled]


def test_the_first_step_sees_each_class_and_length_once(monkeypatch):
    seen, model = [], filled()
    forward = model.model.forward
    monkeypatch.setattr(
        model.model, "forward", lambda ids, *rest, **more: seen.append(len(ids)) or forward(ids, *rest, **more)
    )
    labels = torch.tensor([0, 1, 0, 0, 1])
    draw(model, labels, [0, 1, 2, 3, 4], steps=3)
    assert seen == [2, 10, 10]  # no guidance in the first step of a linear schedule
    seen.clear()
    draw(model, labels, [0, 1, 2, 3, 4], steps=3, guidance=1.0)
    assert seen == [2, 5, 5]


@pytest.mark.parametrize("places", [P, 0, None])
def test_features_of_masked_slots_are_those_of_all_slots(places):
    model = filled() if places is None else varied(places)
    given = torch.randint(V, (6, model.token_length)) if places is None else rows(places)
    sequences = model.sequences(given)
    masked = draw_masked(sequences.lengths, sequences.codes.shape[1], torch.Generator().manual_seed(0))
    found = model.masked_features(sequences, masked, classes())
    torch.testing.assert_close(found, model.features(sequences, masked, classes())[masked])
    assert len(found) == masked.sum() < masked.numel()


@pytest.mark.parametrize("joined", [0, 10**6])
def test_both_passes_of_guidance_are_one_batch_if_it_is_small(monkeypatch, joined):
    seen, model = [], known(varied())
    seeds = list(range(6))
    expected = draw(model, classes(), seeds)
    forward = model.model.forward
    monkeypatch.setattr(
        model.model, "forward", lambda ids, *rest, **more: seen.append(len(ids)) or forward(ids, *rest, **more)
    )
    monkeypatch.setattr(maskgit_sampler, "JOINED", joined)
    monkeypatch.setattr(maskgit_sampler, "PADDING", 1.0)  # all in one group
    assert torch.equal(draw(model, classes(), seeds), expected)
    assert seen[1:] == ([12] * 7 if joined else [6] * 14)


def test_it_learns_how_images_of_each_class_look():
    """Codes, places and lengths: each class has one image, which samples are after a short training."""
    model, images = varied(dropout=0.0, attention_dropout=0.0, label_dropout=0.0), rows(count=CLASSES, seed=1)
    images[0, K + 1 :], images[0, K] = ABSENT, 7  # one patch
    images[1, K:] = torch.arange(P)  # all patches
    labels = classes(24)
    model.count_lengths(images, classes(CLASSES))
    golden.fill_by_name(model, 0.2)
    optimizer, rng = torch.optim.AdamW(model.parameters(), lr=3e-3), torch.Generator().manual_seed(0)
    for step in range(120):
        ((_, terms),) = model.losses({"tokens": images[labels], "labels": labels}, step, rng)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    drawn = draw(model, labels, list(range(24)), guidance=1.0, choice_temperature=0.0)
    assert torch.equal(drawn, images[labels])


# What is refused


def test_refused():
    spec, batch = REFERENCE["spec"], {"labels": torch.tensor([0])}
    with pytest.raises(ValueError, match="3 seeds for 2 labels"):
        draw(filled(), torch.tensor([0, 1]), [0, 1, 2])
    with pytest.raises(ValueError, match="unknown guidance schedule"):
        draw(filled(), torch.tensor([0]), [0], guidance_schedule="cosine")
    with pytest.raises(ValueError, match="not divisible"):
        maskgit.build(spec | {"heads": 3})
    with pytest.raises(ValueError, match="rows of 7 codes need a slot for each"):
        maskgit.build(spec | {"slots": 6})
    with pytest.raises(ValueError, match="another tokenizer's"):
        next(filled().losses(batch | {"tokens": torch.zeros(1, 8, dtype=torch.int64)}, 0, torch.Generator()))
    with pytest.raises(ValueError, match="a sequence of 11 codes for a generator of 6 slots: raise `slots`"):
        varied(slots=6).count_lengths(torch.zeros(1, K + P, dtype=torch.int64), torch.tensor([0]))
    with pytest.raises(ValueError, match="a code of 11 for a generator of 11 codes: they are another tokenizer's"):
        varied().count_lengths(torch.full((1, K + P), V), torch.tensor([0]))
    with pytest.raises(ValueError, match="lacks one of its first 2 codes"):
        varied().count_lengths(torch.full((1, K + P), ABSENT).index_fill(1, torch.tensor([4]), 1), torch.tensor([0]))


def test_contract_and_what_is_saved():
    check_generator(filled())
    model = known(varied())
    check_generator(model)
    assert model.state_dict()["length_counts"].sum() == 40 and "length_counts" not in filled().state_dict()
