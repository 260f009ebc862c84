"""The command line: ``sfbench ...`` and ``python -m sfbench ...``.

Every error is one line on standard error, never a traceback (``SFBENCH_TRACEBACK=1`` shows it). Exit codes: 2 for bad
input, 70 for faults of this program, 130 after Ctrl-C, 141 where the reader of the output has gone.
"""

import os
import sys
import traceback
from contextlib import suppress

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # names that the terminal cannot show do not end a command
                stream.reconfigure(errors="backslashreplace")
        from .app import command  # not before: Ctrl-C may come while libraries are imported

        code = command(args=argv, standalone_mode=False, prog_name="sfbench")
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != 1:
            return int(error.code or 0)  # the shell's completion is done
        # The reader of our output has gone (which rich turns into exit code 1), and with it the place to say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except Exception as error:
        if os.environ.get("SFBENCH_TRACEBACK"):
            raise
        return _failed(*_explained(error))
    return _failed("interrupted", 130) if code == 130 else int(code or 0)  # caught by the library, without a word


def _explained(error: Exception) -> tuple[str, int]:
    """What is said of an error, and the exit code."""
    if type(error).__name__ == "Exit":
        return "", int(getattr(error, "exit_code", 1))
    usage = type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "format_message")
    if usage:  # usage errors of the command-line library carry their own text
        return error.format_message(), 2  # type: ignore[attr-defined]  # just checked
    if "No such file" in str(error) and not _folder_exists():
        return "the working folder has been deleted: change to another one", 2
    if isinstance(error, ValueError | ArithmeticError | ImportError | OSError):
        return str(error), 2
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); ask for fewer samples or dimensions", 2
    place = traceback.extract_tb(error.__traceback__)[-1]  # which may be a part of the user's
    where = f"{place.filename}, line {place.lineno}; SFBENCH_TRACEBACK=1"
    return f"internal error, please report it: {type(error).__name__}: {error} ({where})", 70


def _folder_exists() -> bool:
    with suppress(OSError):
        return bool(os.getcwd())
    return False


def _failed(message: str, code: int) -> int:
    if message:  # none where the command-line library has printed its help
        print("sfbench:", " ".join(message.split()), file=sys.stderr)
    return code
