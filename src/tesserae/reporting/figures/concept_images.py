"""Images in which a concept is strongest: ConceptTok, Fig. 5."""

from pathlib import Path

from tesserae.lineage.work import Work
from tesserae.reporting import style
from tesserae.reporting.concept_pictures import Arrays, heads_of, names_of, read_arrays, shared_by
from tesserae.reporting.drawing import draw_sheet, empty_sheet, note
from tesserae.reporting.figure_inputs import reasons_by_label


def draw(work: Work, stem: Path) -> None:
    """Inputs: of the tokenizer in every row its `examples`, those of the stage `concept_examples`."""
    title = "Images in which a concept is strongest"
    if not work.inputs:
        empty_sheet(stem, reasons_by_label(work, "tokenizers", "examples"), title)
        return
    plot(stem, tokenizers=read_arrays(work, "examples", "examples.npz"), scale=work.spec["scale"], title=title)


def plot(stem: str | Path, *, tokenizers: Arrays, scale: str, title: str = "") -> list[Path]:
    """For each concept the images in which it is strongest, one row: the same whichever tokenizer was run.

    Raises FigureError if tokenizers were shown different concepts or images, or if there is nothing to show.
    """
    _, first = shared_by(tokenizers, ("concepts", "names", "images"))
    rows = list(zip(heads_of(first), first["images"], strict=True))
    with style.look():
        figure = draw_sheet(rows, [""] * first["images"].shape[1], title)
        note(figure, [f"Scale {scale}. Validation images by the mean activation of their patches", names_of(first)])
        return style.save(figure, stem)
