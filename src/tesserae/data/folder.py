"""A user's own images: one folder per class, with any names (docs/own_data.md)."""

from dataclasses import dataclass

from tesserae.data.class_folders import ClassFolders


@dataclass(frozen=True, kw_only=True)
class Folder(ClassFolders):
    """A tree train/<class>/* and val/<class>/*; the folders' names are the names of the classes."""

    name = "folder"
    layout = "a folder with train/<class>/* and val/<class>/*"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.found
