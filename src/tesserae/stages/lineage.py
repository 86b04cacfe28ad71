"""Stage `lineage`: one page from every number of a paper back to its data."""

from tesserae.lineage import manifest as manifests
from tesserae.lineage.targets import cells
from tesserae.lineage.trace import node
from tesserae.lineage.work import Work
from tesserae.reporting.lineage import write_page
from tesserae.reporting.site import paper_page


def run(work: Work) -> None:
    """Writes lineage.html from the manifests of all its inputs and the numbers of the tables among them."""
    scale = work.spec["scale"]
    top = work.root / "results" / scale
    records = [manifests.read(folder) for folder in work.inputs.values()]
    write_page(
        work.out / "lineage.html",
        [node(record) for record in records],
        [cell.plain() for record in records if record["stage"] == "table" for cell in cells(work.root, record)],
        scale=scale,
        top=top,
        base=top / work.stage / work.recipe,
        home=f"../../{paper_page(work.recipe)}",
    )


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("lineage")
