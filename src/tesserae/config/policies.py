"""Which crops of an image a tokenizer looks at, and in which order (COMiT, Sec. 3.5)."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tesserae.config.files import Strict

CELLS = 9  # crops at use, 3 x 3 (official code)


class Policy(Strict):
    """A cropping policy of COMiT at use."""

    order: Literal["global", "random", "raster", "adaptive"] = Field(description="global: the whole image alone")
    crops: int = Field(gt=0, description="how many there are; with `whole`, the whole image is one of them")
    whole: bool = Field(description="whether the first look is at the whole image")


def unfit(policy: Mapping[str, Any]) -> str | None:
    """What is wrong with a policy, whatever the image; None if nothing is."""
    order, crops, whole = policy["order"], policy["crops"], policy["whole"]
    most = 1 if order == "global" else CELLS + whole
    if crops > most:
        return f"a policy of {crops} crops in the order {order}, and there are {most} of an image"
    if order == "global" and not whole:
        return "the order global without the whole image, which it is"
    return None
