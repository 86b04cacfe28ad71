"""Warm-ups and decays of the learning rate, by their formulas in the papers and their codes."""

import math

import pytest

from tesserae.training.schedule import learning_rate


def rates(steps: int, **settings) -> list[float]:
    return [learning_rate(s, lr=2e-4, steps=steps, **settings) for s in range(steps + 1)]


def test_existing_schedules_keep_their_values():
    for decay in ("constant", "cosine"):
        for step, found in enumerate(rates(97, warmup_steps=13, decay=decay)):
            if step < 13:
                expected = 2e-4 * step / 13
            else:
                expected = 2e-4 if decay == "constant" else 2e-4 * 0.5 * (1 + math.cos(math.pi * ((step - 13) / 84)))
            assert found == expected


def test_warmup_stable_decay():
    """ConceptTok's generators, a thousandth: 1,500 steps of which 5 warm up and the last 300 fall."""
    found = rates(1500, warmup_steps=5, decay="wsd", warmup="from_hundredth")
    assert found[:5] == pytest.approx([2e-4 * (0.01 + 0.99 * s / 5) for s in range(5)])
    assert set(found[5:1201]) == {2e-4}
    assert found[1275] == pytest.approx(2e-4 * 0.5)  # 1 - sqrt(75 / 300)
    assert found[1201:] == sorted(found[1201:], reverse=True) and found[1201] < 2e-4 and found[1500] == 0


def test_decay_fraction_of_everything_falls_from_the_warmup_on():
    found = rates(100, warmup_steps=4, decay="wsd", decay_fraction=1.0, warmup="linear")
    assert found[4:] == pytest.approx([2e-4 * (1 - math.sqrt(s / 100)) for s in range(4, 101)])


def test_cosine_to_a_tenth():
    """TA-TiTok: from 1e-4 to 1e-5."""
    found = rates(1000, warmup_steps=10, decay="cosine", final=0.1)
    assert found[10] == pytest.approx(2e-4) and found[-1] == pytest.approx(2e-5)
    assert found[505] == pytest.approx(2e-4 * 0.55)  # halfway
    assert min(found[10:]) == found[-1]


def test_square_root_of_what_is_left():
    """COMiT, a hundredth: from 3e-4 after 50 steps to 1e-7 after 5,004 (polynomial decay of power 1/2)."""
    found = [
        learning_rate(s, lr=3e-4, steps=5004, warmup_steps=50, decay="square_root", final=1 / 3000)
        for s in (25, 50, 2527, 5004)
    ]
    assert found == pytest.approx([1.5e-4, 3e-4, (3e-4 - 1e-7) * 0.5**0.5 + 1e-7, 1e-7])


def test_warmup_from_the_first_step():
    """PatchSAE: min(1, (s + 1) / W), then constant."""
    found = rates(20, warmup_steps=8, decay="constant", warmup="from_first")
    assert found == pytest.approx([2e-4 * min(1, (s + 1) / 8) for s in range(21)])


@pytest.mark.parametrize("changes", [{"decay": "linear"}, {"warmup": "cosine"}])
def test_unknown_names_are_refused(changes):
    with pytest.raises(ValueError, match="known: "):
        rates(10, **{"warmup_steps": 2, "decay": "constant", **changes})


def test_late_cosine_is_cut_off():
    """Semanticist, a hundredth: 2,500 steps of which 625 warm up; the cosine would need 625 more."""
    found = rates(2500, warmup_steps=625, decay="late_cosine")
    assert found[625] == pytest.approx(2e-4) and found[2500] == pytest.approx(
        2e-4 * 0.5 * (1 + math.cos(0.75 * math.pi))
    )
