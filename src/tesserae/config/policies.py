"""Which crops of an image a tokenizer looks at, and in which order (COMiT, Sec. 3.5)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict


class Policy(Strict):
    """A cropping policy of COMiT at use."""

    order: Literal["global", "random", "raster", "adaptive"] = Field(description="global: the whole image alone")
    crops: int = Field(gt=0, description="how many there are; with `whole`, the whole image is one of them")
    whole: bool = Field(description="whether the first look is at the whole image")
