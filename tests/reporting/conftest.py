"""Fixtures of the tests of reporting."""

import pytest
from matplotlib.figure import Figure

from tesserae.reporting import style


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, without the cost of writing them."""
    saved: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, stem, formats=(): saved.append(figure) or [])
    return saved
