"""The errors of the configuration: each names the file, the key and the remedy; all of a file are reported at once."""

from collections.abc import Iterable
from pathlib import Path


class ConfigError(Exception):
    """A configuration that cannot be used. `str()` of it is ready to be shown to a user."""

    def __init__(self, file: Path | str, key: str, problem: str, remedy: str):
        self.file, self.key, self.problem, self.remedy = str(file), key, problem, remedy
        where = f"{file}: {key}" if key else str(file)
        super().__init__(f"{where}: {problem}\n  remedy: {remedy}")

    @property
    def problems(self) -> "list[ConfigError]":
        """All that is wrong, one by one."""
        return [self]


class ConfigErrors(ConfigError):
    """Several at once, in the order of the file; file, key, problem and remedy are those of the first."""

    def __init__(self, problems: "list[ConfigError]"):
        first = problems[0]
        super().__init__(first.file, first.key, first.problem, first.remedy)
        self._problems = problems

    @property
    def problems(self) -> list[ConfigError]:
        return self._problems

    def __str__(self) -> str:
        return "\n".join(map(str, self._problems))


def together(problems: Iterable[ConfigError]) -> ConfigError:
    """One error that says all that was found, each once. There must be something."""
    found = list({str(one): one for problem in problems for one in problem.problems}.values())
    return found[0] if len(found) == 1 else ConfigErrors(found)
