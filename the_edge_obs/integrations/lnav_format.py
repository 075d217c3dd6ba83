"""The log format for lnav (https://lnav.org), and where lnav looks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from .. import ConfigurationError
from ..files import write_atomically

SOURCE: Final = Path(__file__).with_name("lnav") / "tea_obs.json"
_PLACE: Final = Path("formats", "the_edge_obs", SOURCE.name)


class Installed(NamedTuple):
    """The result of an installation.

    Attributes:
        path: The file with the format.
        result: ``installed``, ``updated``, or ``up to date`` if nothing had to be done.
    """

    path: Path
    result: str


def install() -> Installed:
    """Copy the format to where lnav looks for formats, unless the same file is already there.

    Raises:
        ConfigurationError: the home directory is not known.
        ExportError: the file cannot be written.
    """
    path = config_folder() / _PLACE
    wanted = SOURCE.read_text(encoding="utf-8")
    try:
        present = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        present = None
    if present == wanted:
        return Installed(path, "up to date")
    write_atomically(path, [wanted])
    return Installed(path, "installed" if present is None else "updated")


def config_folder() -> Path:
    """Return lnav's own folder, as lnav finds it: ``~/.lnav`` if it exists, otherwise ``lnav`` in the configuration folder.

    Raises:
        ConfigurationError: the home directory is not known.
    """
    home = Path(os.environ.get("HOME") or Path.home())
    if not home.is_dir():
        raise ConfigurationError(f"home directory {str(home)!r} does not exist; set HOME to the folder in which lnav keeps .lnav")
    if (home / ".lnav").is_dir():
        return home / ".lnav"
    for configurations in (os.environ.get("XDG_CONFIG_HOME"), home / ".config"):
        if configurations and Path(configurations).is_dir():
            return Path(configurations) / "lnav"
    return home / ".lnav"
