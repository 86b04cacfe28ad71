"""Lets the public RO-Crate validator run without network, and calls it.

The validator resolves the JSON-LD contexts of a crate over HTTP. `prime` fills its HTTP cache with stand-ins that give
the same meaning to the same words: for RO-Crate 1.1 the newer context that comes with the `rocrate` package, with the
terms set back that changed since; for workflow-run its sixteen terms.
"""

import io
import json
from pathlib import Path

import rocrate
from requests.adapters import BaseAdapter, HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from urllib3 import HTTPResponse

PROFILE = "provenance-run-crate-0.5"
RO_CRATE = "https://w3id.org/ro/crate/1.1/context"
WORKFLOW_RUN = "https://w3id.org/ro/terms/workflow-run"
BIOSCHEMAS = "https://bioschemas.org"
TERMS = (
    "ParameterConnection connection sourceParameter targetParameter ContainerImage DockerImage SIFImage containerImage "
    "registry tag environment resourceUsage md5 sha1 sha256 sha512"
)


def contexts() -> dict[str, dict]:
    """URL -> JSON-LD context of the two that a Workflow Run RO-Crate names."""
    ro_crate = json.loads((Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text(encoding="utf-8"))
    ro_crate["@id"] = RO_CRATE
    ro_crate["@context"] |= {
        "ComputationalWorkflow": f"{BIOSCHEMAS}/ComputationalWorkflow",
        "FormalParameter": f"{BIOSCHEMAS}/FormalParameter",
        "input": f"{BIOSCHEMAS}/ComputationalWorkflow#input",
        "output": f"{BIOSCHEMAS}/ComputationalWorkflow#output",
    }
    workflow_run = {"@context": {term: f"{WORKFLOW_RUN}#{term}" for term in TERMS.split()}}
    return {RO_CRATE: ro_crate, f"{WORKFLOW_RUN}/context": workflow_run}


class Shelf(BaseAdapter):
    """Answers HTTP requests from a dict of documents."""

    def __init__(self, documents: dict[str, dict]):
        super().__init__()
        self.documents = documents

    def send(self, request, **_):
        body = io.BytesIO(json.dumps(self.documents[request.url]).encode())
        headers = {"Content-Type": "application/ld+json"}
        response = HTTPResponse(body=body, headers=headers, status=200, preload_content=False)
        return HTTPAdapter().build_response(request, response)

    def close(self):
        pass


def prime(cache: Path) -> Path:
    """Fill the validator's HTTP cache at `cache` (it adds the suffix .sqlite) and return `cache`."""
    documents = contexts()
    with CachedSession(cache_name=str(cache), backend="sqlite", expire_after=-1, allowable_codes=(200,)) as session:
        session.mount("https://", Shelf(documents))
        for url in documents:
            session.get(url).raise_for_status()
    return cache


def issues(folder: Path, cache: Path, level: Severity = Severity.REQUIRED) -> list[str]:
    """What the validator finds wrong with the crate in `folder`, offline; [] if it conforms."""
    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=PROFILE,
        requirement_severity=level,
        offline=True,
        cache_path=cache,
        cache_max_age=-1,
    )
    found = services.validate(settings)
    return sorted(f"{issue.check.identifier} {issue.violatingEntity}: {issue.message}" for issue in found.get_issues())
