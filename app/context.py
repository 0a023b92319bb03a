"""Where one works: home, database, whether it may be written; how commands and screens get at it, to read or to write."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.destinations import InUse
    from storage.home import Home


@dataclass(frozen=True)
class Context:
    """What stands before a command's name; the screens have it from `innate` alone."""

    home: Home
    database: Path
    read_only: bool
    colour: bool
    quiet: bool
    verbose: bool

    @classmethod
    def of(cls, home: str | None, db: str | None, *, colour: bool, quiet: bool, verbose: bool) -> Context:
        """From `--home` and `--db` as they were given. Raises BadInput for what can be no path."""
        from core.paths import given
        from storage.home import locate

        place = locate(home)
        database = place.database
        if db is not None:
            given(db, "--db")
            database = Path(db).expanduser()
        return cls(place, database, db is not None, colour, quiet, verbose)

    @property
    def lived_in(self) -> Home:
        """The home of the database that is read: its lock and its logs are those beside it, under `--db` too."""
        from storage.home import Home

        return Home(self.database.resolve().parent) if self.read_only else self.home

    @property
    def option(self) -> str:
        """The global option with which another command works in the same place; "" where it does so by itself."""
        from storage.home import locate

        with contextlib.suppress(BadInput):  # what --home stands in for may be no home at all
            if not self.read_only and locate(None) == self.home:
                return ""
        return shlex.join(self.options)

    @property
    def options(self) -> tuple[str, str]:
        """The global option that names this place."""
        return ("--db", str(self.database.resolve())) if self.read_only else ("--home", str(self.home.root))

    @property
    def in_use(self) -> InUse:
        """What no file that is written for the user may be: the home's database, that of `--db`, and what is theirs."""
        from storage.destinations import in_use

        return in_use(self.home, self.database)

    def refusal(self, dest: Path) -> str | None:
        """Why nothing may be written to `dest`, for a screen that says so before it is asked to."""
        from storage.destinations import refuse_in_use

        try:
            refuse_in_use(dest, self.in_use)
        except BadInput as error:
            return str(error)
        return None

    def reading(self, *, hint: bool = True) -> Database:
        """The database for a listing; an empty one where there is none yet, so that a fresh home lists nothing.

        `hint`: then say how to start, unless the command has something to say of it itself.
        """
        from storage.database import connect, empty
        from storage.one_file import is_blank

        if not self.read_only and not self.database.exists():
            if hint:
                self.say("nothing here yet; start with: innate run quick")
            return empty()
        if not self.read_only and is_blank(self.database):
            if hint:
                self.say(
                    f"{self.database} has no tables, so nothing is here yet; if it is a copy, copy with "
                    "`innate export sqlite DEST`, which does so at any time"
                )
            return empty()
        # Somebody else's home, or one on a read-only disk, can still be read.
        return connect(self.database, read_only=self.read_only or not os.access(self.database, os.W_OK))

    def reading_only(self) -> Database:
        """As `reading`, by a connection that cannot write: for SQL that is not ours."""
        from storage.database import connect

        db = self.reading()
        if self.read_only or not self.database.exists():
            return db
        db.close()
        return connect(self.database, read_only=True)

    def writing(self) -> Database:
        """The database for a change; raises BadInput under `--db`."""
        from storage.database import connect
        from storage.home import prepare

        if self.read_only:
            raise BadInput("--db opens a database to read only; this command writes: use --home DIR")
        prepare(self.home)
        return connect(self.database)

    def say(self, text: str) -> None:
        """Narration, on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)
