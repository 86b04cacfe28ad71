"""The graph's tables, figures and claims: which artifacts their cells are read from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tesserae.config.project import Project
from tesserae.config.stages import METRICS, STAGES, stage_of
from tesserae.workflow.graph.job import KINDS, PROMPTS, Job, roles_of_seeds, seeds_of


def _missing(project: Project, artifact: str, found: dict[str, Job]) -> str | None:
    """Why an artifact is not made at this scale; None if it is, or if it should be."""
    name = artifact.split("/")[1]
    for variant in (*KINDS, *PROMPTS):
        name = name.removesuffix(f"-{variant}")
    return None if artifact in found else project.omitted.get(name)


def _shown(project: Project, found: dict[str, Job], cells: dict[tuple[str, str], str]) -> tuple[dict, list]:
    """Inputs of all seeds for the artifacts of `cells` (row, column), and the cells that this scale does without."""
    inputs, missing = {}, []
    for (row, column), artifact in cells.items():
        reason = _missing(project, artifact, found)
        if reason is None:
            inputs |= roles_of_seeds(project, artifact)
        else:
            missing.append({"row": row, "column": column, "reason": reason})
    return dict(sorted(inputs.items())), missing


def table_jobs(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    for name, table in project.papers[paper].tables.items():
        cells = {
            (row, column): told.of(row)
            for column, told in table.columns.items()
            for row in (table.rows if told.rows is None else told.rows)
        }
        inputs, missing = _shown(project, found, cells)
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **table.model_dump(),
            "rows": list(map(list, table.rows.items())),
            "columns": [{"name": column, **told.model_dump()} for column, told in table.columns.items()],
            "seeds": seeds_of(project),
            "missing": missing,
        }
        unseeded = sorted({stage for stage in map(stage_of, inputs) if not STAGES[stage].seeded})
        if unseeded and len(seeds_of(project)) > 1:  # else no cell needs to know
            spec["unseeded"] = unseeded
        yield Job(
            "table",
            f"{paper}_{name}",
            spec,
            inputs=inputs,
            reads=dict.fromkeys(inputs.values(), (METRICS,)),
            sources={"published": Path(project.papers[paper].published)},
            papers=(paper,),
        )


def figure_jobs(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    for name, figure in project.papers[paper].figures.items():
        cells = {
            (row, f"{group}: {role}"): pattern.format(row=row)
            for group, roles in figure.inputs.items()
            for role, pattern in roles.items()
            for row in figure.rows
        }
        inputs, missing = _shown(project, found, cells)
        spec = {
            "paper": paper,
            "scale": project.scale.scale,
            **figure.model_dump(),
            "rows": list(map(list, figure.rows.items())),
            "seeds": seeds_of(project),
            "missing": missing,
        }
        yield Job(
            "figure",
            f"{paper}_{name}",
            spec,
            inputs=inputs,
            reads={name: STAGES[stage_of(name)].drawn for name in inputs.values()},
            sources={"published": Path(project.papers[paper].published)} if figure.published else {},
            papers=(paper,),
        )


def claims_jobs(project: Project, paper: str, found: dict[str, Job]) -> Iterator[Job]:
    """A verdict for every statement of a paper, from the cells of its tables and the curves of its figures."""
    told = project.papers[paper]
    if told.claims is None:
        return
    claims = project.claims[paper]
    inputs: dict[str, str] = {}
    cells = []
    for table, row, column in sorted({cell for claim in claims for cell in claim.cells()}):
        cell = {"table": table, "row": row, "column": column}
        artifact, value = _measured(told, table, row, column)
        reason = f"no table or figure of {paper} has this number" if artifact is None else None
        if any(found.source == table and row in found.published_rows for found in told.tables.values()):
            reason = "cited by the paper, not run here"
        reason = reason or _missing(project, artifact, found)
        if reason is None:
            roles = roles_of_seeds(project, artifact)
            inputs |= roles
            cell |= {"artifacts": list(roles), "value": value}
        else:
            cell |= {"reason": reason}
        cells.append(cell)
    spec = {
        "paper": paper,
        "title": told.title,
        "scale": project.scale.scale,
        "seeds": seeds_of(project),
        "cells": cells,
        "claims": [claim.plain() for claim in claims],
    }
    yield Job(
        "claims",
        paper,
        spec,
        inputs=dict(sorted(inputs.items())),
        reads={name: (STAGES[stage_of(name)].numbers,) for name in inputs.values()},
        sources={"published": Path(told.published)},
        papers=(paper,),
    )


def _measured(told: Any, source: str, row: str, column: str) -> tuple[str, str] | tuple[None, None]:
    """The artifact behind a printed number, and the name of the number in it; a figure's rows are `group | row`."""
    for table in told.tables.values():
        key = next((key for key, label in table.rows.items() if label == row), None)
        if table.source == source and key and column in table.columns:
            found = table.columns[column]
            return found.of(key), found.values.get(key, found.value)
    group, _, label = row.partition(" | ")
    for figure in told.figures.values():
        key = next((key for key, shown in figure.rows.items() if shown == label), None)
        if figure.source == source and key and "search" in figure.inputs.get(group, {}):
            return figure.inputs[group]["search"].format(row=key), f"search:cfg:{column.lower()}"
    return None, None
