"""`snakemake --logger tesserae`: Snakemake finds loggers by the names of modules. This one is workflow/logger.py."""

from tesserae.workflow.logger import LogHandler

__all__ = ["LogHandler"]
