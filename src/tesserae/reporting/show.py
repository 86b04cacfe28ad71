"""`show`, with which notebooks display what the stages made."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesserae.reporting.style import TABLE_CSS, render, shown_size
from tesserae.reporting.table_files import fragment_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDEST = 900  # pixels of a picture in a notebook


def show(path: "str | Path | Figure") -> Any:
    """What a notebook cell displays for a file that a stage made: a table (.html), a picture (.png) or Markdown (.md).

    A file that is not there gives a line that says so: what was not run must be seen, not fail. A matplotlib figure
    is shown as it would be saved.
    """
    from IPython.display import HTML, Markdown
    from matplotlib.figure import Figure

    if isinstance(path, Figure):
        return _picture(render(path, "png"))
    path = Path(path)
    if not path.is_file():
        return Markdown(f"*Not made at this scale:* `{path.as_posix()}`")
    if path.suffix == ".html":
        table = fragment_of(path.read_text(encoding="utf-8"), where=str(path))
        return HTML(f"<style>\n{TABLE_CSS}\n</style>\n{table}")
    if path.suffix == ".png":
        return _picture(path.read_bytes())
    if path.suffix == ".md":
        return Markdown(path.read_text(encoding="utf-8"))
    raise ValueError(f"{path}: shows .html, .png and .md files only")


def _picture(png: bytes) -> Any:
    from IPython.display import Image

    width, _ = shown_size(png)
    return Image(data=png, width=min(WIDEST, width))
