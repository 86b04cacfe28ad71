"""Stage `figure`: one figure of a paper, from arrays and numbers that other stages left."""

import importlib

from tesserae.lineage.work import Work
from tesserae.reporting import drawing


def run(work: Work) -> None:
    """Writes figure.png, figure.svg and figure.pdf; where nothing of it is run at this scale, they say why.

    The spec's `module` draws it: the module of its kind, below reporting/figures.
    """
    stem = work.out / "figure"
    if not work.inputs:
        drawing.blank(stem, list(dict.fromkeys(cell["reason"] for cell in work.spec["missing"])))
        return
    importlib.import_module(work.spec["module"]).draw(work, stem)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("figure")
