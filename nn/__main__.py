"""The command line: ``python -m nn``, and ``fit``, ``predict`` and ``draw``."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from nn.command.options import CommandError, parse
from nn.table import TableError
from nn.train.diagnosis import TrainingDiverged


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    It is 0, or 2 for what the person can put right (one sentence on stderr says what), 130 after Ctrl-C, and 141 when
    the reader of standard output went away.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that this terminal cannot spell is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(arguments)
        import_module(f"nn.command.{options.command}").run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes standard output once more as it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _refuse("stopped by Ctrl-C", 130)
    except (CommandError, TableError, TrainingDiverged) as error:
        return _refuse(str(error))
    except MemoryError as error:
        return _refuse(f"there is not enough memory for this: {error}".rstrip(": "))
    except OSError as error:
        return _refuse(f"{error.filename or 'output'}: {error.strerror or error}")
    return 0


def _refuse(sentence: str, status: int = 2) -> int:
    print(f"python -m nn: {' '.join(sentence.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
