"""Read a CSV table with a header, and refuse in one sentence what cannot be learned from."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nn.io.atomic import atomic_write

#: Spellings of "nothing here", in lower case. Fewer in a target, where "none" or "-" may well be a label.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
MISSING_LABEL = frozenset({"", "na", "n/a", "nan", "null"})


class TableError(ValueError):
    """What is wrong with a table, in one sentence that names file, line and column."""


class Features(NamedTuple):
    """The columns to learn from: their names and a float64 array of shape (rows, columns)."""

    names: tuple[str, ...]
    values: NDArray[np.float64]


class Target(NamedTuple):
    """The column to predict: an array of 0.0 and 1.0, of shape (rows,), and the labels they stand for."""

    values: NDArray[np.float64]
    labels: tuple[str, str]


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text; `features` and `target` turn them into numbers.

    Attributes
    ----------
    path
        The file, as it was named.
    columns
        Names in the header, in order.
    rows
        Cells of each row, stripped of blanks at both ends, as many as there are columns.
    lines
        For each row the line of the file on which it begins, the first being 1.
    """

    path: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def features(self, exclude: str | None = None, columns: Sequence[str] | None = None) -> Features:
        """Return the numbers in `columns`, in that order; by default in all columns but `exclude`.

        Raises
        ------
        TableError
            When a column is unknown or none is left, or a cell is missing, not a number, or not finite.
        """
        if exclude is not None:
            self._position(exclude)
        names = tuple(name for name in (self.columns if columns is None else columns) if name != exclude)
        if not names:
            raise self._error(f"there is no column but {exclude!r}, expected at least one feature", line=1)
        values = np.empty((len(self.rows), len(names)))
        for index, name in enumerate(names):
            values[:, index] = self.numbers(name)
        return Features(names, values)

    def target(self, column: str) -> Target:
        """Return the classes in `column`, which must hold exactly two different values, numbers or text.

        The smaller one, by value for numbers and by alphabet for text, becomes 0 and the other 1.

        Raises
        ------
        TableError
            When the column is unknown, a cell is missing, or there are not exactly two different values.
        """
        cells = self.text(column)
        for cell, line in zip(cells, self.lines, strict=True):
            if cell.lower() in MISSING_LABEL:
                raise self._missing(cell, line, column)
            if not math.isfinite(_number(cell) or 0):
                raise self._error(f"expected a finite number or a label, found {_quote(cell)}", line, column)
        numeric = [number for number in map(_number, cells) if number is not None]
        keys: list[Any] = numeric if len(numeric) == len(cells) else cells
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        if len(first) == 1:
            raise self._error(
                f"every row holds {_quote(cells[0])}, expected exactly two different values", column=column
            )
        if len(first) > 2:
            third = sorted(first.values())[2]
            kind = "numbers" if keys is numeric else "values"
            raise self._error(
                f"{_quote(cells[third])} is a third value, expected exactly two different ones "
                f"(the column holds {len(first)} different {kind})",
                self.lines[third],
                column,
            )
        low, high = sorted(first)
        return Target(np.array([float(key == high) for key in keys]), (cells[first[low]], cells[first[high]]))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return one column as float64, of shape (rows,); TableError on the first cell that is no number."""
        values = np.empty(len(self.rows))
        for row, cell in enumerate(self.text(column)):
            number = _number(cell)
            if number is None or not math.isfinite(number):
                if cell.lower() in MISSING:
                    raise self._missing(cell, self.lines[row], column)
                kind = "number" if number is None else "finite number"
                raise self._error(f"expected a {kind}, found {_quote(cell)}", self.lines[row], column)
            values[row] = number
        return values

    def text(self, column: str) -> list[str]:
        """Return the cells of one column as they stand; TableError when there is no such column."""
        position = self._position(column)
        return [row[position] for row in self.rows]

    def _position(self, column: str) -> int:
        if column in self.columns:
            return self.columns.index(column)
        folded = {name.casefold(): name for name in reversed(self.columns)}
        close = difflib.get_close_matches(column.casefold(), folded, n=1)
        hint = f", did you mean {folded[close[0]]!r}?" if close else ""
        shown = ", ".join(map(_quote, self.columns[:8]))
        more = f" and {len(self.columns) - 8} more" if len(self.columns) > 8 else ""
        raise self._error(f"there is no column {_quote(column)}{hint} (the header has {shown}{more})", line=1)

    def _missing(self, cell: str, line: int, column: str) -> TableError:
        return self._error(f"the value is missing{f' ({cell!r})' if cell else ''}", line, column)

    def _error(self, problem: str, line: int | None = None, column: str | None = None) -> TableError:
        return _error(self.path, problem, line, column)


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Read a table from a CSV file: UTF-8, comma-separated, one header line with the names of the columns.

    Blank lines are passed over.

    Raises
    ------
    TableError
        When the file is missing, unreadable, empty or not such a table; the one sentence says where and why.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise _error(name, f"cannot be read: {error.strerror}") from None
    records = _records(name, _decode(name, data))
    first, cells = next((record for record in records if record[1] not in ([], [""])), (1, []))
    if not cells:
        raise _error(name, "the file is empty, expected a header and rows of numbers", 1)
    columns = _header(name, first, cells)
    table = Table(name, columns, [], [])
    blank = 0
    for line, cells in records:
        if not cells or (cells == [""] and len(columns) > 1):
            blank = blank or line
            continue
        if blank and len(columns) == 1:  # where a row is one value, an empty line is a missing one
            raise _error(name, "the value is missing", blank, columns[0])
        if len(cells) != len(columns):
            raise _ragged(name, line, cells, columns)
        table.rows.append([cell.strip() for cell in cells])
        table.lines.append(line)
    if not table.rows:
        raise _error(name, f"there is a header of {len(columns)} columns and no row below it", first)
    return table


def write_csv(path: str | os.PathLike[str], columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write columns of one length under their names, whole or not at all; floats keep all their digits.

    Raises
    ------
    ValueError
        When the columns differ in length.
    OSError
        When the file cannot be written.
    """
    cells = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    if len({len(column) for column in cells}) > 1:
        lengths = {name: len(column) for name, column in zip(columns, cells, strict=True)}
        raise ValueError(f"the columns have the lengths {lengths}, expected one and the same")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*cells, strict=True))
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _decode(name: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _error(name, "this is UTF-16, expected UTF-8: save it again as 'CSV UTF-8'", 1)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        problem = f"the byte 0x{data[error.start]:02x} is not UTF-8: save the file again as 'CSV UTF-8'"
        raise _error(name, problem, _line(data[: error.start].decode())) from None
    nul = text.find("\0")
    if nul >= 0:
        raise _error(name, "a NUL character: this is no CSV file, or a damaged one", _line(text[:nul]))
    return text


def _line(before: str) -> int:
    """Number of the line that follows the text `before`, counted as csv does."""
    return before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


def _records(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                problem = f"a field is longer than {csv.field_size_limit()} characters: is a quote left open?"
            elif "end of data" in str(error):
                problem = "a quote is opened and never closed"
            else:
                problem = f"the quotes are wrong ({error})"
            raise _error(name, problem, line) from None
        yield line, cells


def _header(name: str, line: int, cells: list[str]) -> tuple[str, ...]:
    columns = tuple(cell.strip() for cell in cells)
    for delimiter, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and delimiter in columns[0]:
            raise _error(name, f"the header is separated by {word}, expected commas", line)
    for position, column in enumerate(columns, 1):
        if not column:
            raise _error(name, f"column {position} of {len(columns)} has no name", line)
        if columns.index(column) < position - 1:
            problem = f"columns {columns.index(column) + 1} and {position} have the same name"
            raise _error(name, problem, line, column)
    return columns


def _ragged(name: str, line: int, cells: list[str], columns: tuple[str, ...]) -> TableError:
    found, expected = len(cells), len(columns)
    if found < expected:
        return _error(name, f"the row ends after {found} of {expected} values", line, columns[found])
    problem = f"the row has {found} values, expected {expected}: {_quote(cells[expected])} follows the last"
    return _error(name, problem, line, columns[-1])


def _number(cell: str) -> float | None:
    """The number that a cell spells, None if it spells none."""
    try:
        return float(cell) if "_" not in cell else None  # Python takes 1_000 for a number, no CSV means it
    except ValueError:
        return None


def _quote(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:39] + "…")


def _error(path: str, problem: str, line: int | None = None, column: str | None = None) -> TableError:
    where = path if line is None else f"{path}, line {line}"
    where = where if column is None else f"{where}, column {_quote(column)}"
    return TableError(f"{where}: {problem}")
