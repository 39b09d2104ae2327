"""Run a contender in a process of its own, because its framework cannot be set up in two ways in one."""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contenders import Contender, Problem


def elsewhere(name: str, problem: Problem) -> Contender:
    """Return the contender that ``"module:function"`` makes of `problem`, in a new process on the same core.

    A call goes there and back for many steps at a time, so that it takes no part in their time.
    """
    from contenders import Contender

    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, name, problem), daemon=True)
    process.start()
    there.close()
    atexit.register(process.terminate)

    def ask(*request: Any) -> Any:
        here.send(request)
        answer = here.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    ask("ready")
    return Contender(lambda: ask("many", 1), lambda: ask("weights"), many=lambda number: ask("many", number))


def _serve(pipe: Connection, name: str, problem: Problem) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    import one_core  # noqa: F401 - before numpy

    module, _, function = name.partition(":")
    try:
        contender = getattr(importlib.import_module(module), function)(problem)
    except Exception as error:
        pipe.send(error)
        return
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            return
        if what == "many":
            pipe.send(contender.read(contender.steps(*arguments)))
        else:
            pipe.send([*contender.weights()] if what == "weights" else what)
