"""The paper scale's costs, counted once for all tests (kept in .tesserae between runs)."""

from types import SimpleNamespace

import pytest

from tesserae.costs.describe import describe
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT

PUBLISHED = ROOT / "config/published/detok.csv"


def described(*wanted: str, gpu: str = "a100", gpus: int = 64) -> dict:
    plan = open_plan(ROOT, "paper")
    asked = {job.stage: plan.request(job.stage) for job in plan.jobs.values()}
    return describe(plan.jobs, asked, wanted, published=plan.jobs, scale="paper", gpu=gpu, gpus=gpus)


@pytest.fixture(scope="session")
def paper() -> SimpleNamespace:
    from tesserae.costs.forecast import forecast

    told = described(gpu="h100")
    return SimpleNamespace(described=told, forecast=forecast(told, PUBLISHED, free_disk=10**9))
