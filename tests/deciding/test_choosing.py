"""Which claims come first: those that cost least, given what others have paid for."""

from tesserae.deciding.choosing import Candidate, choose

HOURS = {"tokenizer": 4.0, "sit": 1.0, "mar": 3.0, "other": 4.5, "dear": 50.0}


def candidate(name: str, *jobs: str) -> Candidate:
    return Candidate(("paper", name), frozenset(jobs))


def names(choices) -> list[tuple[str, float]]:
    return [(choice.key[1], choice.hours) for choice in choices]


def test_what_is_shared_is_paid_for_once():
    some = [candidate("mar", "tokenizer", "mar"), candidate("other", "other"), candidate("sit", "tokenizer", "sit")]
    chosen, others = choose(some, HOURS, 100.0)
    assert names(chosen) == [("other", 4.5), ("sit", 5.0), ("mar", 3.0)] and others == []
    # With 9.6 hours the two that share a tokenizer: no, the cheapest comes first, and then what still fits.
    chosen, others = choose(some, HOURS, 9.6)
    assert names(chosen) == [("other", 4.5), ("sit", 5.0)] and names(others) == [("mar", 3.0)]


def test_what_is_paid_for_is_free():
    some = [candidate("whole", "tokenizer", "sit"), candidate("part", "tokenizer"), candidate("dear", "dear")]
    chosen, others = choose(some, HOURS, 5.0)
    assert names(chosen) == [("part", 4.0), ("whole", 1.0)] and names(others) == [("dear", 50.0)]
    assert names(choose([candidate("made")], HOURS, 0.0)[0]) == [("made", 0.0)]


def test_nothing_fits_in_no_time():
    chosen, others = choose([candidate("dear", "dear"), candidate("sit", "sit")], HOURS, 0.5)
    assert chosen == [] and names(others) == [("sit", 1.0), ("dear", 50.0)]
    assert choose([], HOURS, 1.0) == ([], [])
