r"""The seal of a store at rest: the sha256 of every byte of the file, so that no flipped bit stays unseen.

Hashes of rows cover everything that a result depends on, but not the unused bytes between them. While a store is at
rest, a small file beside it therefore holds the hash of the whole file; a writer empties it before each change.
The same file is the lock that writers take in turn (``flock``), so that a seal is never made of a changing file.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from ..errors import OutputError
from .errors import StoreError

LOCK_TIMEOUT_S = 120.0


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@final
@dataclass(frozen=True)
class Seal:
    """The seal file of one store."""

    store: Path

    @property
    def path(self) -> Path:
        """Where the seal is kept."""
        return self.store.with_suffix(".seal")

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the writers' lock; waits for another writer instead of failing.

        Raises
        ------
        StoreError
            If another process holds it for two minutes.
        OutputError
            If the file cannot be made; names the path.
        """
        import fcntl  # of POSIX alone; reading a store works without

        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write {str(self.path)!r}: {error.strerror or error}") from None
        try:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise StoreError(
                            f"another process has held {str(self.store)!r} for {LOCK_TIMEOUT_S:g} s; "
                            "end it or wait for it, then resume"
                        ) from None
                    time.sleep(0.002)
            yield handle
        finally:
            os.close(handle)

    def text(self) -> str:
        """What the seal says; empty if there is none or a writer was at work last."""
        try:
            return self.path.read_bytes().decode("ascii", errors="replace")
        except FileNotFoundError:
            return ""

    def judge(self) -> Literal["intact", "open", "broken"]:
        """Compare the store with its seal; ``open`` means that a writer is, or was when it died, at work."""
        before = self.text()
        if not before:
            return "open"
        actual = _seal_text(self.store)
        if actual == before:
            return "intact"
        return "broken" if self.text() == before else "open"

    def make(self, handle: int) -> None:
        """Seal the store; the caller holds the lock and has no transaction open (closing a file drops its locks)."""
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, _seal_text(self.store).encode(), 0)
        except OSError:  # a full disk: an unsealed store is checked row by row
            os.ftruncate(handle, 0)

    @staticmethod
    def break_open(handle: int) -> None:
        """Empty the seal before the store changes; the caller holds the lock."""
        if os.fstat(handle).st_size:
            os.ftruncate(handle, 0)


@final
class SealingPolicy:
    """Seals a store that is being written as often as costs a fiftieth of the time.

    A killed writer then leaves a sealed store, unless it died within a commit or the store is large.
    """

    _SHARE = 50.0

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._next = 0.0

    def after_commit(self, handle: int) -> None:
        """Seal if it is time; the caller holds the lock and no transaction is open."""
        started = time.monotonic()
        if started < self._next:
            return
        self._seal.make(handle)
        ended = time.monotonic()
        self._next = ended + self._SHARE * (ended - started)


def _seal_text(store: Path) -> str:
    return f"sha256 {file_sha256(store)} {store.stat().st_size}\n"
