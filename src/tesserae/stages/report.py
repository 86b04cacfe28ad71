"""Stage `report`: the first page of a scale's results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tesserae.lineage import manifest as manifests
from tesserae.lineage.remarks import collect
from tesserae.lineage.work import Work
from tesserae.reporting import claims_files, forecast, pieces
from tesserae.reporting.entries import Remark, entry_of
from tesserae.reporting.paper_page import About
from tesserae.reporting.report import Summary, write_start


def run(work: Work) -> None:
    """Writes index.html; it lies at the top of the scale's results."""
    spec = work.spec
    start = f"results/{spec['scale']}"
    records = {name: manifests.read(folder) for name, folder in work.inputs.items()}
    base = work.root / start
    claims = {paper["paper"]: _claims(work, paper["paper"]) for paper in spec["papers"]}
    write_start(
        work.out,
        [_summary(paper, records, start, claims[paper["paper"]]) for paper in spec["papers"]],
        scale=spec["scale"],
        seeds=spec["seeds"],
        finished=max(record["ended"] for record in records.values())[:16].replace("T", " "),
        lead=f"{spec['purpose'][0].upper()}{spec['purpose'][1:]}.",
        remarks=[Remark(*found) for found in collect({str(path): work.root / path for path in work.comments})],
        forecast="".join(_forecasts(work, base)),
        together=claims_files.over_papers(found for found in claims.values() if found),
        base=base,
    )


def _claims(work: Work, paper: str) -> dict[str, Any] | None:
    """What claims.json of a paper holds, None if it has none."""
    folder = work.inputs.get(f"claims/{paper}")
    return json.loads((folder / "claims.json").read_text(encoding="utf-8")) if folder else None


def _summary(paper: dict[str, Any], records: dict[str, dict], start: str, claims: dict[str, Any] | None) -> Summary:
    """What the first page tells of a paper, from the manifests of what was made for it."""
    own = [record for record in records.values() if record["papers"] == [paper["paper"]]]
    tables = [record for record in own if record["stage"] == "table"]
    return Summary(
        About(paper["paper"], paper["name"], paper["title"], paper["arxiv"] or ""),
        tables=len(tables),
        numbers=sum(len(record["metrics"]) for record in tables),
        figures=sum(record["stage"] == "figure" for record in own),
        trained=paper["trained"],
        seconds=sum(record["seconds"] for record in own),
        verdicts=claims["summary"] if claims else None,
        table=entry_of(records[paper["table"]], start=start),
        figure=entry_of(records[paper["figure"]], start=start, title=paper["figure_title"]),
    )


def _forecasts(work: Work, base: Path) -> Iterator[str]:
    for name, folder in work.inputs.items():
        if name.startswith("forecast/"):
            found = json.loads((folder / "forecast.json").read_text(encoding="utf-8"))
            chart = pieces.picture_of(f"{name}/gantt.png", base, f"Jobs over time on {found['gpus']} GPUs")
            yield forecast.section(found, chart)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("report")
