"""How many bits an image's codes take, counted in full; and what TaTok's threshold would ask of them. Imports nothing.

Of codes that differ in number or stand in some places only, a decoder also has to be told how many there are and where.
"""

import math


def of_codes(count: float, vocabulary: int) -> float:
    """Of so many codes of `vocabulary` different ones, each as likely as any other."""
    return count * math.log2(vocabulary)


def of_length(most: int) -> float:
    """To say how many there are, from none to `most`."""
    return math.log2(most + 1)


def of_places(places: int, taken: float) -> float:
    """To say which of `places` are taken: log2 of the binomial coefficient, of `taken` that may be a mean."""
    gammas = (math.lgamma(n + 1) for n in (places, taken, places - taken))
    whole, *parts = (gamma / math.log(2) for gamma in gammas)
    return whole - sum(parts)


def of_gaussians(values: int, variance: float, distortion: float) -> float:
    """R(D0) of so many independent Gaussian values (TaTok, App. B, Eq. 18), 0 where D0 is not below their variance.

    Raises ValueError unless D0 is positive: no number of bits makes them exact.
    """
    if distortion <= 0:
        raise ValueError(f"a distortion of {distortion} takes infinitely many bits")
    return 0.0 if variance <= distortion else values / 2 * math.log2(variance / distortion)
