"""The one error of the configuration: it names the file, the key and the remedy."""

from pathlib import Path


class ConfigError(Exception):
    """A configuration that cannot be used. `str()` of it is ready to be shown to a user."""

    def __init__(self, file: Path | str, key: str, problem: str, remedy: str):
        self.file, self.key, self.problem, self.remedy = str(file), key, problem, remedy
        where = f"{file}: {key}" if key else str(file)
        super().__init__(f"{where}: {problem}\n  remedy: {remedy}")
