"""Snakemake's logger for runs that somebody looks at: all it says goes to the log, what happens to jobs to the events.

`tesserae reproduce` starts Snakemake with it, and with standard error in the log's file (workflow/events.py).
"""

import logging
import os
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from tesserae.workflow import events

STDERR = 2


class LogHandler(LogHandlerBase):
    """Snakemake's own words, a time before each line, on standard error; jobs, warnings and errors as events."""

    writes_to_stream, writes_to_file = True, False
    has_filter = has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        told = self.common_settings
        self._jobs: dict[Any, str] = {}  # by Snakemake's number
        self._shown = DefaultFilter(told.quiet, told.debug_dag, told.verbose, told.dryrun, told.printshellcmds)
        self.setFormatter(DefaultFormatter(told.quiet, told.show_failed_logs))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; what goes wrong with it is said on standard error, and stops nothing."""
        try:
            self._tell(record)
            if self._shown.filter(record) and (text := self.format(record)) not in ("", "None"):
                self._write(events.stamped(text).encode(errors="backslashreplace"))
        except Exception:
            self.handleError(record)

    @staticmethod
    def _write(text: bytes) -> None:
        while text:
            text = text[os.write(STDERR, text) :]

    def _tell(self, record: logging.LogRecord) -> None:
        said, about = get_event(record), vars(record)
        if said == LogEvent.JOB_INFO:
            name = f"{about['rule_name']}/{about['wildcards'].get('recipe', 'index')}"
            self._jobs[about["jobid"]] = name
            events.tell("started", job=name, log=[*about["log"]])
        elif said == LogEvent.JOB_FINISHED:
            events.tell("finished", job=self._jobs.get(about["job_id"]))
        elif said == LogEvent.JOB_ERROR:
            events.tell("failed", job=self._jobs.get(about["jobid"]), message=about["rule_msg"])
        elif record.levelno >= logging.WARNING:
            events.tell("said", exception=about.get("exception"), words=record.getMessage())
