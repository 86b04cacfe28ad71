"""Studies: what numbers of some tokenizers say beforehand of another number (CompTok, Tables 1 and 2).

A study correlates the cells of a printed table, or measured numbers of this project's tokenizers. Imports no torch.
"""

from typing import Literal

from pydantic import Field, model_validator

from tesserae.config.files import Name, Strict
from tesserae.correlating import PREDICTORS

Predictor = Literal[PREDICTORS]
# Of how numbers are measured, in what tokenizers of a study, and rows of a table's column, may be said to differ.
Varies = Literal["sampler", "reference", "precision_recall_reference", "latents", "rounding", "splits"]


class Cell(Strict):
    row: str
    column: str


class Number(Strict):
    """One number of every tokenizer."""

    column: str = Field(description="its column in the study's table")
    artifact: str | None = Field(
        None, description="of what is measured: {tokenizer} and {generator} stand for recipes; null: the printed cells"
    )
    value: str | None = Field(None, description="name of the number in the artifact's metrics.json")


class Predicting(Number):
    r: Cell | None = Field(None, description="where the table prints its correlation; null: nowhere")


class Study(Strict):
    title: str = Field(description="what tables call it")
    table: str = Field(description="the printed table that it is about, as in the published file")
    generator: Name | None = Field(
        None,
        description="generator recipe: studied are the tokenizers of all that differ from it in the tokenizer alone, "
        "where these read images of as many pixels, so that no correlation mixes generators",
    )
    tokenizers: list[Name] = Field([], description="tokenizer recipes, where nothing is generated")
    against: Number = Field(description="what is to be predicted")
    predictors: dict[Predictor, Predicting] = Field(min_length=1)
    varies: list[Varies] = Field([], description="of how numbers are measured, in what tokenizers may differ")

    @property
    def printed(self) -> bool:
        """Whether it is of the printed cells."""
        return self.generator is None and not self.tokenizers

    @property
    def numbers(self) -> dict[str, Number]:
        """All of them, by their keys in the paper's file."""
        return {"against": self.against, **{f"predictors.{key}": found for key, found in self.predictors.items()}}

    @model_validator(mode="after")
    def _of_one_kind(self) -> "Study":
        if self.generator is not None and self.tokenizers:
            raise ValueError("give a generator, whose tokenizers follow, or tokenizers, not both")
        for key, number in self.numbers.items():
            if (number.artifact is None) != self.printed or (number.value is None) != self.printed:
                what = "of printed cells, without generator and tokenizers, has" if self.printed else "of these has"
                raise ValueError(f"{key}: a study {what} {'no' if self.printed else 'an'} artifact and value")
        return self
