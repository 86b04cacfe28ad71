"""ro-crate-preview.html: a crate for people. One page without scripts, which a browser opens from the folder.

From a target's files a reader gets to the job that made them, from there to the jobs and files it was made from, and
so back to the data; every file that is in the crate is a link.
"""

import csv
import json
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from tesserae.lineage import cells as mapping
from tesserae.lineage.crate_contents import Contents

PICTURES = {".png", ".svg"}
CELLS = ("row", "column", "published", "measured", "sd", "n")  # what is shown of a table.csv
PAGE = """
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.2rem 4rem; color: #222; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.3rem 0 .4rem; }
a { color: #0b57a4; }
code, pre { font: .86em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f6f6f6; padding: .6rem .8rem; overflow-x: auto; margin: .3rem 0; }
img { max-width: 100%; border: 1px solid #e3e3e3; }
.quiet { color: #666; }
.hash { color: #777; word-break: break-all; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .6rem 0; }
dt { color: #666; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
ul { margin: .1rem 0; padding-left: 1.1rem; }
details.job { border: 1px solid #e3e3e3; border-radius: 5px; margin: .35rem 0; padding: .35rem .8rem; }
details.job > summary { cursor: pointer; }
details.job:has(:target) { border-color: #0b57a4; }
details.job > dl { scroll-margin-top: 3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { text-align: left; padding: .12rem .9rem .12rem 0; border-bottom: 1px solid #eee; }
th { color: #666; font-weight: normal; }
.scroll { overflow-x: auto; }
summary .quiet { float: right; }
</style>
</head>
<body>
{%- macro listed(file) -%}
{%- if file.href %}<a href="{{ file.href }}">{{ file.name }}</a>{% else %}{{ file.name }}
 <span class="quiet">not in this crate</span>{% endif %}
 <span class="quiet">{{ file.size }}</span> <code class="hash" title="sha256">{{ file.sha256 }}</code>
{%- endmacro %}
<h1>{{ title }}</h1>
<p>{{ root.description }}</p>
<dl>
<dt>Targets</dt><dd>{% for name in targets %}<a href="#job/{{ name }}">{{ name }}</a>{{ ", " if not loop.last }}
{%- endfor %}</dd>
<dt>Licence</dt><dd>{% for licence in licences %}<a href="{{ licence.url }}">{{ licence.name }}</a>
{%- if licence.of %} ({{ licence.of }}){% endif %}{{ "; " if not loop.last }}{% endfor %}</dd>
<dt>Jobs</dt><dd>{{ count }}, {{ first }} to {{ last }} UTC</dd>
<dt>Files</dt><dd>{{ here.count }} in this crate ({{ here.size }})
{%- if absent %}; {{ absent | length }} described only ({{ absent_size }})
{%- endif %}</dd>
<dt>Commit</dt><dd>{% for commit in commits %}<code>{{ commit }}</code>{{ ", " if not loop.last }}{% endfor %}</dd>
<dt>Machine</dt><dd>{% for machine in machines %}{{ machine }}{{ "; " if not loop.last }}{% endfor %}</dd>
<dt>Metadata</dt><dd><a href="ro-crate-metadata.json">ro-crate-metadata.json</a>: the same for machines, as a
<a href="https://w3id.org/ro/wfrun/provenance/0.5">Provenance Run Crate</a></dd>
</dl>
<h2>Targets</h2>
{%- for target in shown %}
<h3><a href="#job/{{ target.name }}">{{ target.name }}</a></h3>
{%- if target.cells %}
<div class="scroll"><table>
<tr>{% for name in target.columns %}<th>{{ name }}</th>{% endfor %}<th>measured by</th></tr>
{%- for cell in target.cells %}
<tr>{% for text in cell.texts %}<td>{{ text }}</td>{% endfor -%}
<td>{{ cell.reason }}{% for name in cell.artifacts %}<a href="#job/{{ name }}">{{ name }}</a>
{{- ", " if not loop.last }}{% endfor %}</td></tr>
{%- endfor %}
</table></div>
{%- endif %}
{%- for picture in target.pictures %}
<p><a href="{{ picture }}"><img src="{{ picture }}" alt="{{ target.name }}"></a></p>
{%- endfor %}
<ul>{% for file in target.files %}<li>{{ listed(file) }}</li>{% endfor %}</ul>
{%- endfor %}
<h2>Jobs, from the data to the targets</h2>
{%- for stage, made in stages.items() %}
<h3>{{ stage }}</h3>
{%- for job in made %}
<details class="job">
<summary>{{ job.name }} <span class="quiet">{{ job.ended }}, {{ job.seconds }} s</span></summary>
<dl id="job/{{ job.name }}">
<dt>Made</dt><dd><ul>{% for file in job.made %}<li>{{ listed(file) }}</li>{% endfor %}</ul></dd>
{%- if job.metrics %}
<dt>Measured</dt><dd>{% for name, value in job.metrics.items() %}{{ name }} {{ value }}{{ ", " if not loop.last }}
{%- endfor %}</dd>
{%- endif %}
{%- if job.producers %}
<dt>From</dt><dd><ul>{% for name in job.producers %}<li><a href="#job/{{ name }}">{{ name }}</a></li>
{%- endfor %}</ul></dd>
{%- endif %}
{%- if job.sources %}
<dt>Sources</dt><dd><ul>{% for file in job.sources %}<li>{{ listed(file) }}</li>{% endfor %}</ul></dd>
{%- endif %}
{%- if job.weights %}
<dt>Weights</dt><dd>{{ listed(job.weights) }} (published)</dd>
{%- endif %}
{%- if job.used_by %}
<dt>Used by</dt><dd>{% for name in job.used_by %}<a href="#job/{{ name }}">{{ name }}</a>{{ ", " if not loop.last }}
{%- endfor %}</dd>
{%- endif %}
<dt>Code</dt><dd><a href="{{ job.code }}">{{ job.module }}</a>
<details><summary>all {{ job.modules | length }} modules, as they were when it ran</summary>
<ul>{% for name, href in job.modules.items() %}<li><a href="{{ href }}">{{ name }}</a></li>{% endfor %}</ul>
</details></dd>
<dt>Spec</dt><dd><details><summary>what the job was told</summary><pre>{{ job.spec }}</pre></details></dd>
{%- if job.seed is not none %}
<dt>Seed</dt><dd>{{ job.seed }}</dd>
{%- endif %}
<dt>Fingerprint</dt><dd><code>{{ job.fingerprint }}</code></dd>
<dt>Environment</dt><dd>{{ job.environment }}</dd>
<dt>Machine</dt><dd>{{ job.machine }}; largest memory {{ job.peak_mb }} MB</dd>
<dt>Commit</dt><dd><code>{{ job.commit }}</code></dd>
<dt>Manifest</dt><dd>{{ listed(job.manifest) }}</dd>
</dl>
</details>
{%- endfor %}
{%- endfor %}
{%- if absent %}
<h2>Described, not included</h2>
<p class="quiet">They lie under these paths in the project folder or its DVC remote. A file is the one that was used if
its sha256 is the one given here.</p>
<ul>{% for file in absent %}<li>{{ listed(file) }}</li>{% endfor %}</ul>
{%- endif %}
</body>
</html>
""".strip()


def render(contents: Contents, left_out: Collection[str], graph: list[dict[str, Any]]) -> str:
    """The page of a crate, equal for equal contents.

    Args: `left_out`, paths of files that are described and not there; `graph`, the entities of its metadata.
    """
    import jinja2

    entities = {entity["@id"]: entity for entity in graph}
    records = list(contents.records.values())
    files = {path: _shown(contents, left_out, path) for path in contents.files}
    stages: dict[str, list[dict]] = {}
    for record in records:
        stages.setdefault(record["stage"], []).append(_job(contents, files, record))
    here = [file for file in contents.files.values() if file.path not in left_out]
    absent = [contents.files[path] for path in sorted(left_out)]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(
        title=entities["./"]["name"],
        root=entities["./"],
        targets=contents.targets,
        licences=_licences(entities),
        count=len(records),
        first=_time(min(record["started"] for record in records)),
        last=_time(max(record["ended"] for record in records)),
        here={"count": len(here), "size": _size(sum(file.bytes for file in here))},
        absent=[{**files[file.path], "name": file.path} for file in absent],
        absent_size=_size(sum(file.bytes for file in absent)),
        commits=sorted({_commit(record) for record in records}),
        machines=sorted({_machine(record) for record in records}),
        shown=[_target(contents, files, left_out, name) for name in contents.targets],
        stages=stages,
    )


def _target(contents: Contents, files: dict[str, dict], left_out: Collection[str], name: str) -> dict[str, Any]:
    paths = [entry["path"] for entry in contents.records[name]["outputs"]]
    there = [path for path in paths if path not in left_out and PurePosixPath(path).suffix in PICTURES]
    columns, cells = _cells(contents, name)
    return {
        "name": name,
        "files": [files[path] for path in paths],
        "pictures": [quote(path) for path in there[:1]],
        "columns": columns,
        "cells": cells,
    }


def _cells(contents: Contents, target: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a target's table.csv: each number with what measured it; empty for what is not a table."""
    record = contents.records[target]
    paths = [entry["path"] for entry in record["outputs"] if PurePosixPath(entry["path"]).name == "table.csv"]
    if not paths:
        return [], []
    labels = {key: mapping.plain(label) for key, label in mapping.rows(record["spec"])}
    sources = {(labels[key], column): source for key, column, source in mapping.sources(record["spec"])}
    with open(contents.files[paths[0]].place, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in CELLS if rows and name in rows[0]]
    shown = []
    for row in rows:
        source = sources.get((row.get("row"), row.get("column")))
        texts = [_number(row[name]) for name in columns]
        shown.append(
            {"texts": texts, "artifacts": source.artifacts if source else (), "reason": source and source.reason}
        )
    return columns, shown


def _number(text: str) -> str:
    """A number of more than six digits shortened to them; any other text as it is."""
    try:
        return f"{float(text):.6g}" if len(text) > 8 else text
    except ValueError:
        return text


def _job(contents: Contents, files: dict[str, dict], record: dict[str, Any]) -> dict[str, Any]:
    modules = contents.modules(record)
    environment = record["environment"]
    return {
        "name": record["artifact"],
        "ended": _time(record["ended"]),
        "seconds": record["seconds"],
        "made": [files[entry["path"]] for entry in record["outputs"]],
        "metrics": {name: _number(str(value)) for name, value in record["metrics"].items()},
        "producers": list(record["inputs"]),
        "sources": [{**files[contents.source(entry)], "name": entry["path"]} for entry in record["sources"]],
        "weights": _published(record.get("weights")),
        "used_by": [name for name, other in contents.records.items() if record["artifact"] in other["inputs"]],
        "module": next(name for name, path in modules.items() if path == contents.tool(record)),
        "code": quote(contents.tool(record)),
        "modules": {name: quote(path) for name, path in modules.items()},
        "spec": json.dumps(record["spec"], indent=1, sort_keys=True, ensure_ascii=False),
        "seed": record["seed"],
        "fingerprint": record["fingerprint"],
        "environment": ", ".join(
            [
                f"Python {environment['python']}",
                environment["platform"],
                *(f"{name} {version}" for name, version in environment["libraries"].items()),
            ]
        ),
        "machine": _machine(record),
        "peak_mb": record["peak_mb"],
        "commit": _commit(record),
        "manifest": files[contents.manifest(record)],
    }


def _shown(contents: Contents, left_out: Collection[str], path: str) -> dict[str, str]:
    file = contents.files[path]
    href = "" if path in left_out else quote(path)
    return {"name": PurePosixPath(path).name, "href": href, "size": _size(file.bytes), "sha256": file.sha256}


def _published(taken: dict[str, Any] | None) -> dict[str, str] | None:
    """Published weights that a job took, as a file that is elsewhere."""
    return taken and {"name": taken["file"], "href": "", "size": _size(taken["bytes"]), "sha256": taken["sha256"]}


def _licences(entities: dict[str, dict]) -> list[dict[str, str]]:
    """The crate's licence, then those that some of its files have."""
    of: dict[str, list[dict]] = {}
    for entity in entities.values():
        found = entity.get("license", [])
        for reference in found if isinstance(found, list) else [found]:
            if entity["@type"] == "File":
                of.setdefault(reference["@id"], []).append(entity)
    main = entities["./"]["license"]["@id"]
    shown = [{"url": main, "name": entities[main]["name"], "of": ""}]
    for url, files in of.items():
        largest = max(files, key=lambda entity: int(entity["contentSize"]))["name"]
        shown.append({"url": url, "name": entities[url]["name"], "of": f"{len(files)} files, the largest {largest}"})
    return shown


def _commit(record: dict[str, Any]) -> str:
    git = record["git"]
    return f"{git['commit'] or 'not in git'}{' with uncommitted changes' if git['dirty'] else ''}"


def _machine(record: dict[str, Any]) -> str:
    hardware = record["hardware"]
    gpu = f", {hardware['gpu']}" if hardware["gpu"] else ""
    return f"{hardware['host']}: {hardware['processor']}, {hardware['cores']} cores{gpu}"


def _time(stamp: str) -> str:
    return stamp[:19].replace("T", " ")


def _size(count: int) -> str:
    """1.2 MB, 34 kB, 120 bytes."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
