"""The JSON-LD document of a crate: Provenance Run Crate 0.5 on RO-Crate 1.1.

One CreateAction per job: instrument, the code of its stage; object, the files it read and what it was told; result, the
files it made and what it measured. The workflow has a HowToStep per stage; ControlActions tie steps to jobs and an
OrganizeAction the engine to all of them.
"""

import ast
import json
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from tesserae.lineage import fingerprint
from tesserae.lineage.crate_contents import Contents

METADATA = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
MIT = "https://spdx.org/licenses/MIT"
OFL = "https://spdx.org/licenses/OFL-1.1"
UNICODE = "https://spdx.org/licenses/Unicode-DFS-2016"
# Folders of sources under licences of their own, which the jobs' copies and cut-outs of them keep.
LICENCES = {"data/emoji": (OFL, UNICODE)}
LICENCE_NAMES = {
    MIT: "MIT License",
    OFL: "SIL Open Font License 1.1",
    UNICODE: "Unicode License Agreement - Data Files and Software (2016)",
}
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
RO_CRATE = "https://w3id.org/ro/crate/1.1"
CONTEXT = [f"{RO_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]
FORMATS = {
    ".bib": "text/x-bibtex",
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
TEXT = {"LICENSE", "SHA256SUMS", "requirements.lock"}
COMPLETED = "http://schema.org/CompletedActionStatus"


def document(contents: Contents, left_out: Collection[str]) -> dict[str, Any]:
    """The JSON-LD document; files in `left_out` get a local identifier: described, but no part of the crate."""
    graph = _Graph()
    graph.add(
        METADATA,
        "CreativeWork",
        about={"@id": "./"},
        conformsTo=_refs([RO_CRATE, "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]),
    )
    graph.add("./", "Dataset")  # filled in below; readers look for it near the top
    ids = {path: f"#{quote(path)}" if path in left_out else quote(path) for path in contents.files}
    records = list(contents.records.values())
    _languages_and_licences(graph)
    commits = {f"{git['commit']}{' and uncommitted changes' if git['dirty'] else ''}" for git in _gits(records)}
    graph.add(
        "#runner",
        "SoftwareApplication",
        name="runner of tesserae",
        softwareVersion=sorted(commits),
        description="Started each job, checked its code, settings and inputs before and after, and wrote its manifest.",
    )
    _files(graph, contents, ids)
    tools = _tools(graph, contents, ids)
    steps = _steps(graph, records, tools)
    actions = [_action(graph, contents, record, ids) for record in records]
    controls = [
        graph.add(
            f"#control/{record['artifact']}",
            "ControlAction",
            name=f"run {record['artifact']}",
            instrument=_refs([f"#step/{record['stage']}"]),
            object=_refs([f"#job/{record['artifact']}"]),
            actionStatus=COMPLETED,
        )
        for record in records
    ]
    span = {"startTime": min(record["started"] for record in records), "endTime": max(r["ended"] for r in records)}
    targets = [contents.records[name] for name in contents.targets]
    run = graph.add(
        "#run",
        "CreateAction",
        name=f"make {_title(contents)}",
        description="All jobs behind the targets. They need not have been run at once: each has its own times.",
        instrument=_refs([WORKFLOW]),
        agent=_refs(["#runner"]),
        object=_refs(ids[contents.source(entry)] for record in records for entry in record["sources"]),
        result=_refs(ids[entry["path"]] for record in targets for entry in record["outputs"]),
        actionStatus=COMPLETED,
        **span,
    )
    organise = graph.add(
        "#organize",
        "OrganizeAction",
        name="plan the jobs and run them in order",
        instrument=_refs(["https://snakemake.github.io"]),
        object=_refs(controls),
        result=_refs([run]),
        actionStatus=COMPLETED,
        **span,
    )
    workflow = graph.entities[WORKFLOW]
    workflow["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    workflow |= {
        "name": "tesserae",
        "description": "The workflow, as it lay in the project folder when this crate was written; each job's own code "
        "is the one it ran with.",
        "programmingLanguage": {"@id": "#snakemake-language"},
        "license": {"@id": MIT},
        "step": _unpacked(_refs(steps)),
        "hasPart": _unpacked(_refs(tools)),
    }
    count = f"{len(records)} job{'s' if len(records) > 1 else ''}"
    without = f" {len(left_out)} large files are described and not included." if left_out else ""
    graph.add(
        "./",
        "Dataset",
        name=_title(contents),
        description=f"Results of the tesserae project with the provenance of each: {count}, from the data to "
        f"{', '.join(contents.targets)}, with code, settings, seeds, environments and hashes.{without} "
        "Who started the jobs was not recorded.",
        datePublished=f"{span['endTime'][:19]}+00:00",
        license=_refs([MIT]),
        conformsTo=_refs(PROFILES),
        mainEntity=_refs([WORKFLOW]),
        hasPart=_refs(ids[path] for path in contents.files if path not in left_out),
        mentions=_refs([run, organise, *actions, *(key for key in graph.entities if key.startswith("#code/"))]),
    )
    return {"@context": CONTEXT, "@graph": list(graph.entities.values())}


class _Graph:
    """The entities of a document by @id, in the order in which they were added."""

    def __init__(self):
        self.entities: dict[str, dict[str, Any]] = {}

    def add(self, key: str, kind: str | list[str], **properties: Any) -> str:
        """Add an entity, return its @id. As RO-Crate wants, lists of one are unpacked; what is empty is left out."""
        entity = {"@id": key, "@type": kind}
        for name, value in properties.items():
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if value:
                entity[name] = value
        self.entities[key] = entity
        return key

    def value(self, key: str, name: str, value: Any, **properties: Any) -> str:
        """Add a PropertyValue; a dict becomes canonical JSON."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else str(value)
        return self.add(key, "PropertyValue", name=name, value=text, **properties)


def _refs(keys: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": key} for key in dict.fromkeys(keys)]


def _gits(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["git"] for record in records if record["git"]["commit"]]


def _title(contents: Contents) -> str:
    return f"{', '.join(contents.targets)} at scale {contents.scale}, with everything upstream"


def _unpacked(values: list) -> Any:
    return values[0] if len(values) == 1 else values


def _languages_and_licences(graph: _Graph) -> None:
    for key, name in PROFILES.items():
        graph.add(key, "CreativeWork", name=name, version=key.rpartition("/")[2])
    for key, name in LICENCE_NAMES.items():
        graph.add(key, "CreativeWork", name=name, identifier=key, url=key)
    graph.entities[MIT]["description"] = "Of the code and of what it made, where a file names no other licence."
    url = "https://snakemake.readthedocs.io"
    language = {"@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"}
    graph.add("#snakemake-language", "ComputerLanguage", name="Snakemake", identifier=language, url={"@id": url})
    graph.add("#python", "ComputerLanguage", name="Python", url={"@id": "https://www.python.org"})
    graph.add("https://snakemake.github.io", "SoftwareApplication", name="Snakemake", url="https://snakemake.github.io")


def _files(graph: _Graph, contents: Contents, ids: dict[str, str]) -> None:
    licences = _licences(contents)
    for path, file in contents.files.items():
        key, name = ids[path], PurePosixPath(path)
        absent = {}
        if key.startswith("#"):
            absent = {
                "alternateName": path,
                "description": f"Not in this crate. It lies at {path} of the project folder (or its DVC remote); it is "
                "the file that was used if its sha256 is this one.",
            }
        graph.add(
            key,
            "File",
            name=name.name,
            encodingFormat="text/plain" if name.name in TEXT else FORMATS.get(name.suffix, "application/octet-stream"),
            contentSize=str(file.bytes),
            sha256=file.sha256,
            license=_refs(licences.get(path, ())),
            **absent,
        )
    for record in contents.records.values():
        for module, path in contents.modules(record).items():
            graph.entities[ids[path]] |= {
                "@type": ["File", "SoftwareSourceCode"],
                "name": module,
                "version": record["modules"][module],
                "programmingLanguage": {"@id": "#python"},
                "license": {"@id": MIT},
            }
        manifest = graph.entities[ids[contents.manifest(record)]]
        manifest |= {"name": f"manifest of {record['artifact']}", "about": {"@id": f"#job/{record['artifact']}"}}
        for entry in record["sources"]:
            if contents.source(entry) != entry["path"]:  # the file changed since: this is the copy that was kept
                graph.entities[ids[contents.source(entry)]] |= {"alternateName": entry["path"]}


def _licences(contents: Contents) -> dict[str, tuple[str, ...]]:
    """Licences of files that have their own: sources in some folders, and what a dataset job cut out of them."""
    found = {}
    for record in contents.records.values():
        for entry in record["sources"]:
            licence = LICENCES.get(str(PurePosixPath(entry["path"]).parent))
            if licence:
                found[contents.source(entry)] = licence
                if record["stage"] == "dataset":
                    found |= {output["path"]: licence for output in record["outputs"]}
    return found


def _tools(graph: _Graph, contents: Contents, ids: dict[str, str]) -> list[str]:
    """Stage modules, with what they required; the closures of jobs, each a collection. Returns the tools' ids."""
    needed: dict[str, dict[str, None]] = {}
    for record in contents.records.values():
        modules = contents.modules(record)
        tool = ids[contents.tool(record)]
        needed.setdefault(tool, {}).update(dict.fromkeys(_software(graph, record["environment"])))
        graph.entities[tool]["description"] = _purpose(contents.files[contents.tool(record)].place)
        graph.add(
            _code(record),
            "Collection",
            name=f"code of {record['stage']}",
            description=f"All {len(modules)} modules that the job could import, as they were when it ran.",
            mainEntity=_refs([tool]),
            hasPart=_refs(ids[path] for path in modules.values()),
        )
    for tool, software in needed.items():
        graph.entities[tool]["softwareRequirements"] = _unpacked(_refs(software))
    return list(needed)


def _software(graph: _Graph, environment: dict[str, Any]) -> Iterable[str]:
    version = environment["python"]
    url = f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
    yield graph.add(url, "SoftwareApplication", name="Python", softwareVersion=version, url=url)
    for name, version in sorted(environment["libraries"].items()):
        package = f"pkg:pypi/{name}@{quote(version)}"  # a package URL (purl): which one, not where it was fetched
        yield graph.add(package, "SoftwareApplication", name=name, softwareVersion=version, identifier=package)


def _steps(graph: _Graph, records: list[dict[str, Any]], tools: list[str]) -> list[str]:
    by_stage: dict[str, list[str]] = {}
    for record in records:
        by_stage.setdefault(record["stage"], [])
    for stage, found in by_stage.items():
        found += [tool for tool in tools if graph.entities[tool]["name"] == f"{fingerprint.PACKAGE}.stages.{stage}"]
    return [
        graph.add(f"#step/{stage}", "HowToStep", name=stage, position=str(position), workExample=_refs(found))
        for position, (stage, found) in enumerate(by_stage.items())
    ]


def _action(graph: _Graph, contents: Contents, record: dict[str, Any], ids: dict[str, str]) -> str:
    """One job: what it was told and read, what it made, when, on what."""
    name = record["artifact"]
    values = [graph.value(f"#spec/{name}", "spec", record["spec"])]
    values.append(graph.value(f"#fingerprint/{name}", "fingerprint", record["fingerprint"]))
    if record["seed"] is not None:
        values.append(graph.value(f"#seed/{name}", "seed", record["seed"]))
    if record["equivalents"]:
        values.append(
            graph.value(
                f"#equivalents/{name}",
                "reviewed equivalences",
                record["equivalents"],
                description="Modules whose code was reviewed and counts in the fingerprint as an earlier one.",
            )
        )
    measured = [graph.value(f"#metrics/{name}", "metrics", record["metrics"])] if record["metrics"] else []
    read_files = [ids[entry["path"]] for read_then in record["inputs"].values() for entry in read_then["files"]]
    read_files += [ids[contents.source(entry)] for entry in record["sources"]]
    read_files += [_weights(graph, record["weights"])] if record.get("weights") else []
    around = {"software environment": record["environment"], "hardware": record["hardware"], "git": record["git"]}
    return graph.add(
        f"#job/{name}",
        "CreateAction",
        name=name,
        description=f"Stage {record['stage']} for {record['recipe']} at scale {contents.scale}.",
        instrument=_refs([ids[contents.tool(record)]]),
        agent=_refs(["#runner"]),
        object=_refs([*read_files, _code(record), *values]),
        result=_refs([*(ids[entry["path"]] for entry in record["outputs"]), *measured]),
        startTime=record["started"],
        endTime=record["ended"],
        actionStatus=COMPLETED,
        subjectOf=_refs([ids[contents.manifest(record)]]),
        resourceUsage=_refs(
            [
                graph.value(
                    f"#seconds/{name}",
                    "duration",
                    record["seconds"],
                    propertyID="https://w3id.org/ro/terms/nf-trace#realTime",
                    unitCode="https://qudt.org/vocab/unit/SEC",
                ),
                graph.value(
                    f"#memory/{name}",
                    "largest resident memory",
                    record["peak_mb"],
                    propertyID="https://w3id.org/ro/terms/nf-trace#peakRSS",
                    unitCode="https://qudt.org/vocab/unit/MebiBYTE",
                ),
            ]
        ),
        additionalProperty=_refs(
            graph.value(f"#{what.split()[-1]}/{fingerprint.digest(value)}", what, value)
            for what, value in around.items()
        ),
    )


def _weights(graph: _Graph, taken: dict[str, Any]) -> str:
    """Published weights that a job took: never in a crate, as they are not ours to pass on."""
    return graph.add(
        f"#weights/{taken['sha256']}",
        "File",
        name=PurePosixPath(taken["file"]).name,
        alternateName=taken["file"],
        description="Published weights, not in this crate. A file is the one that was taken if its sha256 is this one.",
        encodingFormat="application/octet-stream",
        contentSize=str(taken["bytes"]),
        sha256=taken["sha256"],
    )


def _code(record: dict[str, Any]) -> str:
    return f"#code/{fingerprint.digest([record['stage'], record['modules']])}"


def _purpose(place: Path) -> str:
    """First line of a module's docstring."""
    return (ast.get_docstring(ast.parse(place.read_bytes())) or "").partition("\n")[0]
