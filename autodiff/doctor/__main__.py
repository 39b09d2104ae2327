"""The doctor from a shell: ``python -m autodiff.doctor my_net.py --call "net.train(X, y, 1)"``."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodiff.doctor.examine import examine
from autodiff.doctor.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine a file and print the report; return 0 when all is right, 1 when not, 2 when it cannot run."""
    options = _parser().parse_args(arguments)
    path = Path(options.file)
    if not path.is_file():
        print(f"{path}: there is no such file", file=sys.stderr)
        return 2
    try:
        report = _examined(path, options)
    except _Unusable as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    elif options.html:
        Path(options.html).write_text(
            f"<!doctype html><meta charset=utf-8><title>Doctor</title>{report.html()}", "utf-8"
        )
        print(f"{report.summary}\nwrote {options.html}")
    else:
        print(report)
    return 0 if report.ok else 1


class _Unusable(Exception):  # noqa: N818 - it says what
    """What was asked for cannot be run; the message says why."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m autodiff.doctor",
        description="Say which line of a hand-written backward pass is wrong, and why.",
    )
    parser.add_argument("file", help="a Python file with a network in plain numpy")
    parser.add_argument("--call", help='one training call, such as "net.train(X, y, 1)"; the whole script unless given')
    parser.add_argument("--loss", help="the name of the loss, or bce, ce, mse where the code computes none")
    parser.add_argument("--lr", type=float, help="the learning rate, where the update does not show it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page")
    return parser


def _examined(path: Path, options: argparse.Namespace) -> Report:
    source = path.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path), "__builtins__": __builtins__}
    try:
        code = compile(source, str(path), "exec")
    except SyntaxError as error:
        raise _Unusable(f"{path} line {error.lineno}: {error.msg}") from error
    with warnings.catch_warnings(), _among(path):
        warnings.simplefilter("ignore")
        if options.call is None:

            def script() -> None:
                exec(code, names)

            return examine(script, loss=options.loss, lr=options.lr)
        failure = _loaded(code, names)
        function, args, kwargs = _call(options.call, names, path, failure)
        return examine(function, *args, loss=options.loss, lr=options.lr, **kwargs)


@contextlib.contextmanager
def _among(path: Path) -> Any:
    """Let a file import its neighbours, and see no arguments of ours."""
    before, sys.argv = sys.argv, [str(path)]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    finally:
        sys.argv = before
        sys.path.pop(0)


def _loaded(code: Any, names: dict[str, Any]) -> str | None:
    """Run a file; return what it raised, which matters only if the call's names are not there by then."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(code, names)
        except (Exception, SystemExit) as error:
            frames = traceback.extract_tb(error.__traceback__)
            return f"line {frames[-1].lineno}: {type(error).__name__}: {error}"
    return None


def _call(text: str, names: dict[str, Any], path: Path, failure: str | None) -> tuple[Any, list[Any], dict[str, Any]]:
    """Take a call apart into what is called and its arguments."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _Unusable(f"--call {text!r} is not Python: {error.msg}") from error
    if not isinstance(tree, ast.Call):
        raise _Unusable(f'--call takes a whole call, as "net.train(X, y, 1)"; got {text!r}')

    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<call>", "eval"), names)

    try:
        function = value(tree.func)
        args = [
            item for arg in tree.args for item in (value(arg.value) if isinstance(arg, ast.Starred) else [value(arg)])
        ]
        return function, args, {word.arg or "": value(word.value) for word in tree.keywords}
    except Exception as error:
        stopped = f"; the file itself stopped on {failure}" if failure else ""
        raise _Unusable(f"--call {text!r}: {error} in {path.name}{stopped}") from error


if __name__ == "__main__":
    sys.exit(main())
