"""Settings of SiT (arXiv 2401.08740)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

LAYOUTS = True  # `model.layout` says whether tokens stand on a grid


class Sampling(Strict):
    method: Literal["dopri5", "euler", "heun", "euler_maruyama"]
    steps: int = Field(gt=1, description="equal steps of a fixed grid; dopri5 chooses its own")
    atol: float = Field(gt=0)
    rtol: float = Field(gt=0)
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")


class Recipe(Generator):
    """SiT as l-DeTok Sec. A.2 trains it."""

    system: Literal["sit"]
    sampling: Sampling


class Scaled(Strict):
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of SiT."""
    for key, value in context.size("sit", recipe, "size").items():
        spec.set(f"model.{key}", value)
