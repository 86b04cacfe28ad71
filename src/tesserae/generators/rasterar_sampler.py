"""The sampler of RasterAR: that of both causal systems."""

from tesserae.generators.causal_ar_sampler import sample

__all__ = ["sample"]
