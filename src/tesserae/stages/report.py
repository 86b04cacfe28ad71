"""Stage `report`: one page that links what a scale's results hold."""

import json
from collections.abc import Iterator

from tesserae.lineage import manifest as manifests
from tesserae.lineage.fingerprint import module_file
from tesserae.lineage.remarks import collect
from tesserae.lineage.work import Work
from tesserae.reporting.claims_files import badge_rows
from tesserae.reporting.forecast import section
from tesserae.reporting.report import Remark, entry_of, write_index


def run(work: Work) -> None:
    """Writes index.html; it lies at the top of the scale's results."""
    spec, titles = work.spec, {}
    for paper in spec["papers"]:
        titles |= {f"table/{name}": title for name, title in paper["tables"].items()}
        titles |= {f"figure/{name}": title for name, title in paper["figures"].items()}
        titles |= {f"{stage}/{paper['paper']}": paper["title"] for stage in ("notebook", "claims")}
    start = f"results/{spec['scale']}"
    records = {name: manifests.read(folder) for name, folder in work.inputs.items()}
    entries = [
        entry_of(record, start=start, title=titles.get(name, ""), numbers=[] if name.startswith("table/") else None)
        for name, record in records.items()
    ]
    used = sorted({module for record in records.values() for module in record["modules"]})
    read = {str(path): work.root / path for path in work.comments}
    read |= {f"{module.replace('.', '/')}.py": file for module in used if (file := module_file(module))}
    remarks = [Remark(*found) for found in collect(read)]
    papers = "; ".join(
        paper["title"] + (f" (arXiv {paper['arxiv']})" if paper["arxiv"] else "") for paper in spec["papers"]
    )
    write_index(
        work.out,
        entries,
        scale=spec["scale"],
        heading="tesserae",
        lead=f"{spec['purpose'][0].upper()}{spec['purpose'][1:]}. {papers}.",
        remarks=remarks,
        base=work.root / start,
        forecast="".join(_forecasts(work)),
        verdicts=list(_verdicts(work)),
    )


def _verdicts(work: Work) -> Iterator[dict[str, str]]:
    for name, folder in work.inputs.items():
        if name.startswith("claims/"):
            (row,) = badge_rows([json.loads((folder / "claims.json").read_text())])
            yield row | {"page": f"{name}/claims.html"}


def _forecasts(work: Work) -> Iterator[str]:
    for name, folder in work.inputs.items():
        if name.startswith("forecast/"):
            yield section(json.loads((folder / "forecast.json").read_text()), (folder / "gantt.png").read_bytes())


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("report")
