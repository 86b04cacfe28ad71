"""The kinds of measures that there are. Who shows numbers asks here; who measures imports the kind itself."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tesserae.lineage.measures.base import Measure
from tesserae.lineage.measures.concepts import Concepts
from tesserae.lineage.measures.correlation import Correlation
from tesserae.lineage.measures.counted import Counted
from tesserae.lineage.measures.descents import Descents
from tesserae.lineage.measures.features import Features
from tesserae.lineage.measures.images import Images
from tesserae.lineage.measures.lengths import Lengths
from tesserae.lineage.measures.mixtures import Mixtures
from tesserae.lineage.measures.objects import Objects
from tesserae.lineage.measures.paths import Paths
from tesserae.lineage.measures.probe import Probe
from tesserae.lineage.measures.settings import Settings
from tesserae.lineage.measures.speed import Speed
from tesserae.lineage.measures.task import Task

KINDS: dict[str, type[Measure]] = {
    "images": Images,
    "concepts": Concepts,
    "features": Features,
    "lengths": Lengths,
    "objects": Objects,
    "probe": Probe,
    "task": Task,
    "correlation": Correlation,
    "descents": Descents,
    "paths": Paths,
    "mixtures": Mixtures,
    "counted": Counted,
    "settings": Settings,
    "speed": Speed,
}


class MeasureError(ValueError):
    """A record of no known kind, or one that does not say what measured."""


def kind_of(record: Mapping[str, Any]) -> type[Measure]:
    """The kind of a record. Raises MeasureError for an unknown kind, and for a record that names no instrument."""
    name = record.get("kind")
    if not isinstance(name, str) or name not in KINDS:  # a file may hold anything
        raise MeasureError(f"the measure is of kind {name!r}, which is none of {', '.join(KINDS)}")
    kind = KINDS[name]
    if kind.instrument and not record.get(kind.instrument):
        raise MeasureError(f"the measure names no {kind.instrument}")
    return kind


def problem(record: Mapping[str, Any]) -> str:
    """In what a record of one number is not what its kind asks for; "" if in nothing."""
    try:
        kind_of(record).model_validate(dict(record))
    except MeasureError as error:
        return str(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"the measure is not one of kind {record['kind']}: {where}: {first['msg']}"
    return ""
