"""Stage `page`: what a scale's results hold of one paper, on one page."""

import json

from tesserae.lineage import manifest as manifests
from tesserae.lineage.fingerprint import module_file
from tesserae.lineage.remarks import collect
from tesserae.lineage.work import Work
from tesserae.reporting.entries import Remark, entry_of
from tesserae.reporting.paper_page import About, Contradiction, write_paper


def run(work: Work) -> None:
    """Writes index.html, with the remarks of the paper's recipes and of all code that made what it shows."""
    spec = work.spec
    start = f"results/{spec['scale']}/{work.stage}/{work.recipe}"
    titles = {f"table/{name}": title for name, title in spec["tables"].items()}
    titles |= {f"figure/{name}": title for name, title in spec["figures"].items()}
    records = {name: manifests.read(folder) for name, folder in work.inputs.items()}
    entries = [
        entry_of(record, start=start, title=titles.get(name, ""), numbers=[] if record["stage"] == "table" else None)
        for name, record in records.items()
    ]
    claims = work.inputs.get(f"claims/{spec['paper']}")
    write_paper(
        work.out,
        About(spec["paper"], spec["name"], spec["title"], spec["arxiv"] or ""),
        entries,
        scale=spec["scale"],
        seeds=spec["seeds"],
        claims=json.loads((claims / "claims.json").read_text(encoding="utf-8")) if claims else None,
        omitted=spec["omitted"],
        remarks=_remarks(work, records),
        contradictions=[Contradiction(each["says"], tuple(each["at"])) for each in spec.get("contradictions", ())],
        reported=spec.get("reported", ()),
        base=work.root / start,
    )


def _remarks(work: Work, records: dict[str, dict]) -> list[Remark]:
    used = sorted({module for record in records.values() for module in record["modules"]})
    read = {str(path): work.root / path for path in work.comments}
    read |= {f"{module.replace('.', '/')}.py": file for module in used if (file := module_file(module))}
    return [Remark(*found) for found in collect(read)]


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("page")
