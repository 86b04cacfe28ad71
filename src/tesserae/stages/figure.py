"""Stage `figure`: one figure of a paper, from arrays and numbers that other stages left."""

import importlib

from tesserae.lineage.work import Work


def run(work: Work) -> None:
    """Writes figure.png, figure.svg and figure.pdf; what is not run at this scale is an empty place that says why.

    The spec's `module` draws it: the module of its kind, below reporting/figures.
    """
    importlib.import_module(work.spec["module"]).draw(work, work.out / "figure")


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("figure")
