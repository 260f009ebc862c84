r"""A rollback journal that lies beside a store: left by a writer that died in mid-commit, or by something else.

SQLite rolls such a journal back before anyone reads, whatever store it belongs to: beside a file that was restored from
a backup, it writes old pages, or those of another database, into intact results. But a transaction leaves traces. The
first page of the file, which every commit changes, is saved in the journal with the file's change counter ``c``; in
mid-commit the file itself has ``c`` or ``c + 1``. And a store's first page names the store. A journal whose counter or
name does not fit was made for other bytes.

The format is that of https://www.sqlite.org/fileformat.html#the_rollback_journal.
"""

import os
import re
import uuid
from pathlib import Path

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_STORE_ID = re.compile(rb"/\* store [0-9a-f]{32} \*/")


def rollback_journal(store: Path) -> Path:
    """Where SQLite keeps the journal of a store."""
    return store.with_name(store.name + "-journal")


def belongs_to_another(store: Path) -> bool:
    """Whether a journal lies beside the store that no transaction on these bytes can have left.

    False if in doubt: then SQLite decides, as for every database. No connection of this process may be in a transaction
    (closing a file drops its locks).
    """
    journal = rollback_journal(store)
    try:
        before = journal.read_bytes()
        with store.open("rb") as f:
            page = f.read(65536)
        if journal.read_bytes() != before:  # a writer is at work
            return False
    except OSError:
        return False
    saved = _first_page(before)
    if saved is None:
        return False
    old, new = (int.from_bytes(data[24:28], "big") for data in (saved, page))
    return (new - old) % 2**32 > 1 or _STORE_ID.findall(saved) != _STORE_ID.findall(page[: len(saved)])


def set_aside_if_of_another(store: Path) -> None:
    """Give a journal that is not the store's another name."""
    journal = rollback_journal(store)
    if journal.exists() and belongs_to_another(store):
        os.replace(journal, journal.with_name(f"{journal.name}.of-another-{uuid.uuid4().hex[:8]}"))


def _first_page(journal: bytes) -> bytes | None:
    """The first page of the database as a journal saved it."""
    if len(journal) < 28 or not journal.startswith(_MAGIC):
        return None
    sector, size = (int.from_bytes(journal[at : at + 4], "big") for at in (20, 24))
    if sector < 28 or size < 512:
        return None
    for at in range(sector, len(journal) - size - 7, size + 8):
        if journal[at : at + 4] == b"\0\0\0\1":
            return journal[at + 4 : at + 4 + size]
    return None
