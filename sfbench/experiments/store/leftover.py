r"""A rollback journal that lies beside a store: left by a writer that died in mid-commit, or by something else.

SQLite rolls such a journal back before anyone reads, whatever store it belongs to: beside a file that was restored from
a backup, it writes old pages, or those of another database, into intact results. But a transaction leaves traces. The
first page of the file, which every commit changes, is saved in the journal with the file's change counter ``c``; in
mid-commit the file itself has ``c`` or ``c + 1``. And a store's first page names the store. A journal whose counter or
name does not fit was made for other bytes. (https://www.sqlite.org/fileformat.html#the_rollback_journal)
"""

import os
import re
import struct
import uuid
from pathlib import Path

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_STORE_ID = re.compile(rb"/\* store [0-9a-f]{32} \*/")


def rollback_journal(store: Path) -> Path:
    """Where SQLite keeps the journal of a store."""
    return store.with_name(store.name + "-journal")


def belongs_to_another(store: Path) -> bool:
    """Whether a journal lies beside the store that no transaction on these bytes can have left; False if in doubt.

    No connection of this process may be in a transaction: closing a file drops its locks.
    """
    try:
        journal = rollback_journal(store).read_bytes()
        with store.open("rb") as f:
            page = f.read(65536)
        if rollback_journal(store).read_bytes() != journal:  # a writer is at work
            return False
    except OSError:
        return False
    saved = _first_page(journal)
    if saved is None:
        return False
    old, new = (int.from_bytes(data[24:28], "big") for data in (saved, page))
    return (new - old) % 2**32 > 1 or _STORE_ID.findall(saved) != _STORE_ID.findall(page[: len(saved)])


def _first_page(journal: bytes) -> bytes | None:
    """The first page of the database, as one of the journal's segments saved it."""
    at = 0
    while journal[at : at + 8] == _MAGIC:
        n, _, _, sector, size = struct.unpack_from(">5I", journal, at + 8)
        if not (sector and size):
            break
        first, step = at + sector, size + 8
        n = n if 0 < n < 0xFFFFFFFF else (len(journal) - first) // step  # not written yet, or never
        for record in range(first, min(first + n * step, len(journal) - step + 1), step):
            if journal[record : record + 4] == b"\0\0\0\1":
                return journal[record + 4 : record + 4 + size]
        at = -(-(first + n * step) // sector) * sector
    return None


def set_aside_if_of_another(store: Path) -> None:
    """Give a journal that is not the store's another name."""
    journal = rollback_journal(store)
    if journal.exists() and belongs_to_another(store):
        os.replace(journal, journal.with_name(f"{journal.name}.of-another-{uuid.uuid4().hex[:8]}"))
