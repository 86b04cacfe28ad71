"""JSON schema of every configuration file, for editors."""

from typing import Any

from pydantic import TypeAdapter

from tesserae.config.claims import Claims
from tesserae.config.domains import Domains
from tesserae.config.probing import Probes
from tesserae.config.registry import SYSTEMS
from tesserae.config.scales import Scale
from tesserae.config.types import Cluster, Datasets, Equivalents, Paper, Settings

FILES: dict[str, Any] = {
    "config": Settings,
    "scale": Scale,
    "datasets": Datasets,
    "probes": Probes,
    "domains": Domains,
    "paper": Paper,
    "equivalent-code": Equivalents,
    "cluster": Cluster,
    "claims": Claims,
}


def schemas() -> dict[str, dict]:
    """Schema of every configuration file and of every system's recipe, by name."""
    types = FILES | {f"recipe-{name}": system.Recipe for name, system in SYSTEMS.items()}
    return {name: TypeAdapter(kind).json_schema() for name, kind in types.items()}
