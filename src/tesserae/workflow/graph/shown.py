"""The graph's tables, figures and claims: which artifacts their cells are read from."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tesserae.config.claims import Claim, Correlation
from tesserae.config.figures import KINDS as FIGURES
from tesserae.config.figures import module_of
from tesserae.config.project import Project
from tesserae.config.reported import Report
from tesserae.config.shown import is_cited, number_behind
from tesserae.config.stages import METRICS, STAGES, stage_of
from tesserae.config.types import Figure, Paper, Table
from tesserae.correlating import RIVAL
from tesserae.lineage.cells import plain
from tesserae.workflow.graph.controls import ROWS, Controls
from tesserae.workflow.graph.job import KINDS, PROMPTS, Job, roles_of_seeds, seeds_of, told_seeds
from tesserae.workflow.graph.learnability import why_unmeasured
from tesserae.workflow.graph.probes import SHOWN as PROBED
from tesserae.workflow.graph.probes import tokenizer_of


def why_missing(project: Project, artifact: str, found: dict[str, Job], value: str = "") -> str | None:
    """Why an artifact, or a number of it, is not made at this scale; None if it is, or if it should be."""
    for group in project.scale.omit:
        if any(fnmatchcase(artifact, pattern) for pattern in group.artifacts):
            return group.reason
    if artifact in found:
        return found[artifact].without.get(value)
    name = recipe_of(project, artifact)
    return project.omitted.get(name) or why_unmeasured(project, stage_of(artifact), name)


def recipe_of(project: Project, artifact: str) -> str:
    """The recipe behind an artifact whose name may also say at which guidance, under which prompt or policy, or in
    which domain.
    """
    name = artifact.split("/")[1]
    policies = [policy for paper in project.papers.values() for policy in paper.measures.policies]
    for variant in (*KINDS, *PROMPTS, *policies, *project.domains.domains):
        name = name.removesuffix(f"-{variant}")
    if stage_of(artifact) in PROBED:
        name = tokenizer_of(project, name)
    return name


def _shown(
    project: Project,
    found: dict[str, Job],
    cells: dict[tuple[str, str], str],
    values: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> tuple[dict[str, str], dict[str, list[int]], list[dict[str, str]]]:
    """Inputs of all seeds for the artifacts of `cells` (row, column), their seeds, and the cells that this scale does
    without.

    values: the names of the numbers that are shown of them.
    """
    inputs, seeds, missing = {}, {}, []
    for (row, column), artifact in cells.items():
        reason = why_missing(project, artifact, found, values.get((row, column), ""))
        if reason is None:
            inputs |= roles_of_seeds(project, artifact)
            seeds |= _seeded(project, artifact)
        else:
            missing.append({"row": row, "column": column, "reason": reason})
    return dict(sorted(inputs.items())), seeds, missing


def _seeded(project: Project, artifact: str) -> dict[str, list[int]]:
    """An artifact with its seeds; nothing for one that no seed changes."""
    return {artifact: seeds_of(project, artifact)} if STAGES[stage_of(artifact)].seeded else {}


def table_jobs(project: Project, paper: str, found: dict[str, Job], controls: Mapping[str, Controls]) -> Iterator[Job]:
    """controls: of the jobs that measure images, by their ids."""
    for name, table in project.papers[paper].tables.items():
        cells = {
            (row, column): entry.of(row)
            for column, entry in table.columns.items()
            for row in (table.rows if entry.rows is None else entry.rows)
        }
        values = {
            (row, column): table.columns[column].values.get(row, table.columns[column].value) for row, column in cells
        }
        inputs, seeds, missing = _shown(project, found, cells, values)
        keys = {
            place: f"tables.{name}.columns.{place[1]}." + (f"artifacts.{place[0]}" if place[0] in other else "artifact")
            for place in cells
            for other in [table.columns[place[1]].artifacts]
        }
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **table.model_dump(),
            "rows": list(map(list, table.rows.items())),
            "columns": [{"name": column, **entry.model_dump()} for column, entry in table.columns.items()],
            "missing": missing,
        }
        without = {(cell["row"], cell["column"]) for cell in missing}
        controlled = {
            cell: controls[artifact] for cell, artifact in cells.items() if artifact in controls and cell not in without
        }
        if controlled:
            inputs |= _with_controls(project, spec, table, cells, controlled, seeds)
        spec |= told_seeds(seeds)
        unseeded = sorted({stage for stage in map(stage_of, inputs) if not STAGES[stage].seeded})
        if contradictions := project.papers[paper].contradictions_at(name):
            spec["contradictions"] = contradictions
        if told := [report.plain() for report in project.reported[paper] if _is_of(report, table)]:
            spec["reported"] = told
        if unseeded and len(spec["seeds"]) > 1:  # else no cell needs to know
            spec["unseeded"] = unseeded
        yield Job(
            "table",
            f"{paper}_{name}",
            spec,
            inputs=dict(sorted(inputs.items())),
            reads=dict.fromkeys(inputs.values(), (METRICS,)),
            sources={"published": Path(project.papers[paper].published)},
            papers=(paper,),
            named_at=_named_at(project, cells, keys),
        )


def _is_of(report: Report, table: Table) -> bool:
    """Whether a reported number is about one that a table shows."""
    labels = (*map(plain, table.rows.values()), *map(plain, table.published_rows))
    return report.table == table.source and report.row in labels and report.column in map(plain, table.columns)


def _named_at(project: Project, cells: dict[tuple[str, str], str], keys: dict[tuple[str, str], str]) -> dict[str, str]:
    """Role -> the key that names its artifact, the first one of several; both arguments are by row and column."""
    found: dict[str, str] = {}
    for place, artifact in cells.items():
        for role in roles_of_seeds(project, artifact):
            found.setdefault(role, keys[place])
    return found


def _with_controls(
    project: Project,
    spec: dict[str, Any],
    table: Table,
    cells: Mapping[tuple[str, str], str],
    controlled: Mapping[tuple[str, str], Controls],
    seeds: dict[str, list[int]],
) -> dict[str, str]:
    """Tell a table which control stands beside which number, and of the rows at its foot; returns the inputs for both.

    controlled: row and column -> controls of the number there. seeds: artifact -> its seeds; those of the controls are
    added: a control has the seeds of the number that it stands beside.
    """
    spec["controls"] = dict(sorted((cells[cell], of.own.id) for cell, of in controlled.items()))
    at_foot = {row: label for row, (_, label) in ROWS.items() if any(row in of.rows for of in controlled.values())}
    spec["control_rows"] = list(at_foot)
    spec["rows"] += [[row, label] for row, label in at_foot.items()]
    for artifact, control in spec["controls"].items():
        if STAGES[stage_of(control)].seeded:
            seeds[control] = max(seeds.get(control, []), seeds[artifact], key=len)
    named = {*spec["controls"].values()}
    for column in spec["columns"]:
        column["rows"] = list(table.rows if column["rows"] is None else column["rows"])
        first = next((of for (_, name), of in controlled.items() if name == column["name"]), None)
        for row in at_foot if first and column["direction"] != "none" else ():
            if (artifact := first.of_row(row, column["value"])) is not None:
                column["rows"].append(row)
                column["artifacts"] = column["artifacts"] | {row: artifact}
                named.add(artifact)
    return {
        role: name
        for artifact in named
        for role, name in roles_of_seeds(project, artifact, seeds.get(artifact)).items()
    }


def figure_jobs(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    for name, figure in project.papers[paper].figures.items():
        cells = {
            (row, f"{group}: {role}"): pattern.format(row=row)
            for group, roles in figure.inputs.items()
            for role, pattern in roles.items()
            for row in figure.rows
        }
        keys = {
            (row, f"{group}: {role}"): f"figures.{name}.inputs.{group}.{role}"
            for group, roles in figure.inputs.items()
            for role in roles
            for row in figure.rows
        }
        inputs, seeds, missing = _shown(project, found, cells)
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            "module": module_of(figure.draw),
            **figure.model_dump(),
            "rows": list(map(list, figure.rows.items())),
            **told_seeds(seeds),
            "missing": missing,
        }
        yield Job(
            "figure",
            f"{paper}_{name}",
            spec,
            inputs=inputs,
            reads=_drawn_from(project, figure, inputs.values()),
            sources={"published": Path(project.papers[paper].published)} if figure.published else {},
            papers=(paper,),
            named_at=_named_at(project, cells, keys),
        )


def _drawn_from(project: Project, figure: Figure, made: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The files that figures of a kind read of the artifacts they are made from, by the artifacts' ids."""
    files: dict[str, set[str]] = {}
    for roles in figure.inputs.values():
        for role, pattern in roles.items():
            for row in figure.rows:
                for name in roles_of_seeds(project, pattern.format(row=row)):
                    files.setdefault(name, set()).update(FIGURES[figure.draw].roles[role].files)
    return {name: tuple(sorted(files[name])) for name in made}


def claims_jobs(project: Project, paper: str, found: dict[str, Job], controls: Mapping[str, Controls]) -> Iterator[Job]:
    """A verdict for every statement of a paper, from the cells of its tables and the curves of its figures."""
    entry = project.papers[paper]
    if entry.claims is None:
        return
    claims = project.claims[paper]
    inputs: dict[str, str] = {}
    cells, seeds = [], {}
    studied = {claim.id: studies for claim in claims if (studies := _studies_of(project, entry, claim, found))}
    inputs |= {
        study["artifact"]: study["artifact"] for some in studied.values() for study in some if "reason" not in study
    }
    for table, row, column in sorted({cell for claim in claims if claim.id not in studied for cell in claim.cells()}):
        cell = {"table": table, "row": row, "column": column}
        number = number_behind(entry, table, row, column)
        if is_cited(entry, table, row):
            reason = "cited by the paper, not run here"
        elif number is None:
            reason = f"no table or figure of {paper} has this number"
        else:
            reason = why_missing(project, number.artifact, found, number.value)
        if reason is None:
            roles = roles_of_seeds(project, number.artifact)
            inputs |= roles
            seeds |= _seeded(project, number.artifact)
            cell |= {"artifacts": list(roles), "value": number.value}
            if number.varies:
                cell |= {"varies": list(number.varies)}
            if not STAGES[stage_of(number.artifact)].seeded:
                cell |= {"unseeded": True}
            if number.artifact in controls:
                own = seeds.get(number.artifact)  # a control has the seeds of the number that it stands beside
                beside = roles_of_seeds(project, controls[number.artifact].own.id, own)
                inputs |= beside
                cell |= {"controls": list(beside)}
        else:
            cell |= {"reason": reason}
        cells.append(cell)
    spec = {
        "paper": paper,
        "title": entry.title,
        "scale": project.scale.scale,
        "seeds": told_seeds(seeds)["seeds"],
        "cells": cells,
        "claims": [claim.plain() | ({"studies": studied[claim.id]} if claim.id in studied else {}) for claim in claims],
    }
    yield Job(
        "claims",
        paper,
        spec,
        inputs=dict(sorted(inputs.items())),
        reads={name: (STAGES[stage_of(name)].numbers,) for name in inputs.values()},
        sources={"published": Path(entry.published)},
        papers=(paper,),
    )


def _studies_of(project: Project, paper: Paper, claim: Claim, found: dict[str, Job]) -> list[dict[str, str]]:
    """Of a claim that one column predicts another better than a third does, the studies that measure it; else none."""
    if not isinstance(claim, Correlation):
        return []
    studies = []
    for name, study in paper.studies.items():
        columns = {number.column: key for key, number in study.predictors.items()}
        wanted, rival = claim.correlate.column, claim.than.column
        about = (study.table, study.against.column) == (claim.correlate.table, claim.correlate.against)
        if study.printed or not about or wanted not in columns or columns.get(rival) != RIVAL:
            continue
        told = {"title": study.title, "artifact": f"correlations/{name}", "predictor": columns[wanted], "rival": RIVAL}
        reason = why_missing(project, told["artifact"], found)
        studies.append(told if reason is None else told | {"reason": reason})
    return studies
