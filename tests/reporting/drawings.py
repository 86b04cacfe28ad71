"""What a reader finds in a figure."""

from matplotlib.figure import Figure


def below(figure: Figure) -> str:
    """The note below a figure."""
    return " ".join(figure.get_supxlabel().split())


def texts(figure: Figure) -> list[str]:
    """All that stands in the panels of a figure, their titles apart."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]
