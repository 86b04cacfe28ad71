"""What a study of correlations tells of each number that predicts, and of how many tokenizers at least.

To be measured, and to be named beforehand. Imports nothing.
"""

PREDICTORS = ("rfid", "avgig", "mc")
RIVAL = "rfid"  # the one that the others are said to be ahead of
LEAST = 4  # tokenizers behind a number: of three, two of which agree by chance, nothing follows
KINDS = {"grid": "2D", "sequence": "1D"}  # layout of tokens -> what the paper calls such tokenizers
NUMBERS = (
    *("pearson", "p", "spearman"),
    *("low", "high"),  # if other tokenizers and other seeds had been drawn
    *("fewer_low", "fewer_high"),  # without one of the tokenizers, whichever
    *("centred", "in_2d", "in_1d"),  # within both kinds together, and within each
    *("printed", "rounded_low", "rounded_high"),  # of printed cells: r in print, and which r they leave possible
)
AHEAD = ("ahead", "ahead_low", "ahead_high")  # |r| less that of the rival, and if others had been drawn
TOLD = (
    "tokenizers",
    *(f"{predictor}_{number}" for predictor in PREDICTORS for number in NUMBERS),
    *(f"{predictor}_{number}" for predictor in PREDICTORS if predictor != RIVAL for number in AHEAD),
)


def too_few(count: int) -> str:
    """Why there is no number of so many tokenizers, as it stands in its place."""
    return f"{count} of {LEAST} needed"
