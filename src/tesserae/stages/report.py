"""Stage `report`: one page that links what a scale's results hold."""

from tesserae.lineage import manifest as manifests
from tesserae.lineage.work import Work
from tesserae.reporting.report import entry_of, write_index


def run(work: Work) -> None:
    """Writes index.html; it lies at the top of the scale's results."""
    spec, titles = work.spec, {}
    for paper in spec["papers"]:
        titles |= {f"table/{name}": title for name, title in paper["tables"].items()}
        titles |= {f"figure/{name}": title for name, title in paper["figures"].items()}
        titles[f"notebook/{paper['paper']}"] = paper["title"]
    start = f"results/{spec['scale']}"
    entries = [
        entry_of(
            manifests.read(folder),
            start=start,
            title=titles.get(name, ""),
            numbers=[] if name.startswith("table/") else None,
        )
        for name, folder in work.inputs.items()
    ]
    papers = "; ".join(f"{paper['title']} (arXiv {paper['arxiv']})" for paper in spec["papers"])
    write_index(
        work.out,
        entries,
        scale=spec["scale"],
        heading="tesserae",
        lead=f"{spec['purpose'].capitalize()}. {papers}.",
        base=work.root / start,
    )


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("report")
