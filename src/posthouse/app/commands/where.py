"""Which server a command speaks of: its configuration file, or just its data folder."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from posthouse.app.config.loading import DEFAULT_FILE, Config, load

AsJson = Annotated[bool, Parameter(name="--json", help="Write one JSON document instead of text for people.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], help="Do not ask back.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """The options that name a server."""

    config: Annotated[
        Path | None,
        Parameter(name=["--config", "-c"], help=f"The configuration file (otherwise {DEFAULT_FILE}, if there)."),
    ] = None
    data: Annotated[Path | None, Parameter(help="The server's data folder, instead of the configured one.")] = None

    def load(self, *, secrets: bool = False) -> Config:
        """Read the configuration. With only a data folder named, no file is read: the folder says it all.

        `secrets`: passwords are needed; else files of them that cannot be read do no harm.
        """
        file = self.config or _named_file()
        if file is None and self.data is None and DEFAULT_FILE.exists():
            file = DEFAULT_FILE
        loaded = load(file, os.environ, secrets=secrets)
        if self.data is None:
            return loaded
        server = dataclasses.replace(loaded.settings.server, data=self.data)
        settings = dataclasses.replace(loaded.settings, server=server)
        origins = {**loaded.origins, "server.data": "--data"}
        given = {key: entry for key, entry in loaded.given.items() if key != ("server", "data")}
        return dataclasses.replace(loaded, settings=settings, origins=origins, given=given)


def _named_file() -> Path | None:
    named = os.environ.get("POSTHOUSE_CONFIG")
    return Path(named) if named else None


NOWHERE = Where()
