"""Reading tables: what is right becomes numbers, what is wrong becomes one sentence that says where."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.table import Table, TableError, read_csv, write_csv

Make = Callable[[str | bytes], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def table(make: Make) -> Table:
    return read_csv(make("age,dose,ill\n30, 1.5 ,yes\n-4e1,0,no\n.5,1e-3,no\n"))


def test_a_table_becomes_features_and_a_target(table: Table) -> None:
    assert table.columns == ("age", "dose", "ill")
    assert len(table) == 3
    names, X = table.features(exclude="ill")
    assert names == ("age", "dose")
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, np.array([[30, 1.5], [-40, 0], [0.5, 0.001]]))
    y, labels = table.target("ill")
    np.testing.assert_array_equal(y, np.array([1.0, 0, 0]))
    assert labels == ("no", "yes")


def test_features_may_be_asked_for_in_an_order(table: Table) -> None:
    names, X = table.features(columns=["dose", "age"])
    assert names == ("dose", "age")
    np.testing.assert_array_equal(X[0], np.array([1.5, 30]))


@pytest.mark.parametrize(
    ("cells", "values", "labels"),
    [
        (["0", "1", "0"], [0, 1, 0], ("0", "1")),
        (["10", "9", "9.0"], [1, 0, 0], ("9", "10")),  # by value: by alphabet 10 comes before 9
        (["2", "-1", "2"], [1, 0, 1], ("-1", "2")),
        (["malignant", "benign", " benign"], [1, 0, 0], ("benign", "malignant")),
        (["1", "yes", "1"], [0, 1, 0], ("1", "yes")),
        (["+", "-", "+"], [0, 1, 0], ("+", "-")),
        (["none", "some", "some"], [0, 1, 1], ("none", "some")),
    ],
)
def test_two_values_of_any_kind_make_a_target(
    make: Make, cells: list[str], values: list[int], labels: tuple[str, str]
) -> None:
    y, found = read_csv(make("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))).target("y")
    np.testing.assert_array_equal(y, np.array(values, float))
    assert found == labels


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n3,4\r\n",
        "a,b\r1,2\r3,4\r",
        "\ufeffa,b\n1,2\n3,4\n",
        "\n  \na,b\n\n1,2\n   \n3,4\n\n\n",
        ' a , "b"\n"1", "2"\n3 ,4\n',
    ],
    ids=["no last newline", "Windows", "old Mac", "BOM", "blank lines", "quotes and blanks"],
)
def test_spellings_of_the_same_table(make: Make, content: str) -> None:
    names, X = read_csv(make(content)).features()
    assert names == ("a", "b")
    np.testing.assert_array_equal(X, np.array([[1.0, 2], [3, 4]]))


# Python's csv writer did not quote a lone carriage return before 3.13, so there is none here.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(
    lambda name: name == name.strip() != "" and "\ufeff" not in name
)


@settings(deadline=None)
@given(
    columns=st.lists(names, min_size=2, max_size=4, unique=True),
    rows=st.lists(st.lists(st.floats(-1e300, 1e300), min_size=4, max_size=4), min_size=1, max_size=5),
)
def test_what_csv_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], rows: list[list[float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    X = np.array(rows)[:, : len(columns)]
    write_csv(path, {name: X[:, i] for i, name in enumerate(columns)})
    found = read_csv(path).features()
    assert found.names == tuple(columns)
    np.testing.assert_array_equal(found.values, X)


WRONG = {
    "empty": (b"", "line 1: the file is empty"),
    "blank": (b"\n \n", "line 1: the file is empty"),
    "header only": (b"a,b\n\n", "line 1: there is a header of 2 columns and no row below it"),
    "no names": (b",,\n1,2,3\n", "line 1: column 1 of 3 has no name"),
    "empty name": (b"a,,c\n1,2,3\n", "line 1: column 2 of 3 has no name"),
    "doubled name": (b"a,b,a \n1,2,3\n", "line 1, column 'a': columns 1 and 3 have the same name"),
    "semicolons": (b"a;b\n1;2\n", "line 1: the header is separated by semicolons, expected commas"),
    "tabs": (b"a\tb\n1\t2\n", "line 1: the header is separated by tabs, expected commas"),
    "short row": (b"a,b,c\n1,2,3\n4,5\n", "line 3, column 'c': the row ends after 2 of 3 values"),
    "long row": (
        b"a,b\n1,2\n3,4,5\n",
        "line 3, column 'b': the row has 3 values, expected 2: '5' follows the last",
    ),
    "after quoted lines": (b'a,b\n"x\ny\nz",2\n\n3\n', "line 6, column 'b': the row ends after 1 of 2"),
    "not UTF-8": (b"a,b\n1,2\n3,caf\xe9\n", "line 3: the byte 0xe9 is not UTF-8"),
    "not UTF-8 after a BOM": (b"\xef\xbb\xbfa,b\r\n1,\xff\n", "line 2: the byte 0xff is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "line 1: this is UTF-16, expected UTF-8"),
    "NUL": (b"a,b\n1,2\n3,\0\n", "line 3: a NUL character"),
    "open quote": (b'a,b\n1,2\n"3,4\n5,6\n', "line 3: a quote is opened and never closed"),
    "text after a quote": (b'a,b\n1,"2"x\n', "line 2: the quotes are wrong"),
    "long field": (b"a,b\n1," + b"2" * 200_000, "line 2: a field is longer than 131072 characters"),
    "one column, one gap": (b"a\n1\n\n3\n", "line 3, column 'a': the value is missing"),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_table_is_refused(make: Make, content: bytes, words: str) -> None:
    path = make(content)
    with pytest.raises(TableError, match=f"^{re.escape(f'{path}, {words}')}") as caught:
        read_csv(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "the value is missing"),
        ("  ", "the value is missing"),
        ("NA", "the value is missing ('NA')"),
        ("nan", "the value is missing ('nan')"),
        ("?", "the value is missing ('?')"),
        ("inf", "expected a finite number, found 'inf'"),
        ("-1e999", "expected a finite number, found '-1e999'"),
        ("abc", "expected a number, found 'abc'"),
        ("1_000", "expected a number, found '1_000'"),
        ("0x10", "expected a number, found '0x10'"),
        ('"1,5"', "expected a number, found '1,5'"),
        ("x" * 100, f"expected a number, found '{'x' * 39}…'"),
        ('"two\nlines"', "expected a number, found 'two\\nlines'"),
    ],
)
def test_a_cell_that_is_no_number_is_named(make: Make, cell: str, words: str) -> None:
    path = make(f'a,b,y\n1,"2",0\n"3",{cell},1\n5,oops,0\n')
    message = f"{path}, line 3, column 'b': {words}"
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        read_csv(path).features(exclude="y")


def test_a_column_that_is_not_asked_for_may_hold_anything(make: Make) -> None:
    table = read_csv(make("a,name,y\n1,x,0\n2,,1\n"))
    np.testing.assert_array_equal(table.features(columns=["a"]).values, np.array([[1.0], [2]]))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["no", "no", "no"], "column 'y': every row holds 'no', expected exactly two different values"),
        (["1", "1.0", "1e0"], "column 'y': every row holds '1', expected exactly two different values"),
        (["0", "", "1"], "line 3, column 'y': the value is missing"),
        (["0", "inf", "0"], "line 3, column 'y': expected a finite number or a label, found 'inf'"),
        (["no", "-nan", "no"], "line 3, column 'y': expected a finite number or a label, found '-nan'"),
        (["0", "1", "NaN"], "line 4, column 'y': the value is missing ('NaN')"),
        (
            ["a", "b", "c"],
            "line 4, column 'y': 'c' is a third value, expected exactly two different ones "
            "(the column holds 3 different values)",
        ),
        (
            ["0.1", "0.2", "0.3", "0.4"],
            "line 4, column 'y': '0.3' is a third value, expected exactly two "
            "different ones (the column holds 4 different numbers)",
        ),
    ],
)
def test_a_target_without_two_classes_is_refused(make: Make, cells: list[str], words: str) -> None:
    path = make("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    with pytest.raises(TableError, match=f"^{re.escape(str(path))}, {re.escape(words)}$"):
        read_csv(path).target("y")


@pytest.mark.parametrize(
    ("column", "hint"),
    [("diagnosys", ", did you mean 'Diagnosis'?"), ("DIAGNOSIS", ", did you mean 'Diagnosis'?"), ("zzz", "")],
)
def test_an_unknown_column_is_refused_with_the_closest(make: Make, column: str, hint: str) -> None:
    path = make("Diagnosis,mean radius\n0,1\n")
    words = f"{path}, line 1: there is no column '{column}'{hint} (the header has 'Diagnosis', 'mean radius')"
    table = read_csv(path)
    for call in (table.target, table.text, table.numbers, table.features):
        with pytest.raises(TableError, match=f"^{re.escape(words)}$"):
            call(column)
    with pytest.raises(TableError, match=f"^{re.escape(words)}$"):
        table.features(columns=[column])


def test_a_long_header_is_not_repeated_in_full(make: Make) -> None:
    path = make(",".join(f"c{i}" for i in range(30)) + "\n" + ",".join("1" * 30) + "\n")
    with pytest.raises(TableError, match="'c7' and 22 more"):
        read_csv(path).target("target")


def test_a_target_alone_leaves_nothing_to_learn_from(make: Make) -> None:
    with pytest.raises(TableError, match="line 1: there is no column but 'y', expected at least one feature"):
        read_csv(make("y\n0\n1\n")).features(exclude="y")


def test_a_file_that_cannot_be_read_is_a_table_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TableError, match=r"none\.csv: cannot be read: No such file or directory$"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(TableError, match=r"cannot be read: Is a directory$"):
        read_csv(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(TableError, match=r"cannot be read: Permission denied$"):
        read_csv(tmp_path / "secret.csv")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(st.sampled_from(list('ab,"\n\r\t;01. \0é\ufeff')), max_size=40).map(str.encode),
    )
)
def test_any_bytes_are_a_table_or_a_table_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        table = read_csv(path)
        assert all(len(row) == len(table.columns) for row in table.rows)
        table.target(table.columns[0])
        table.features()
    except TableError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


def test_predictions_are_written_with_all_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_csv(path, {"row": [2, 3], "p, of 1": np.array([0.1, 1 / 3]), "label": ["no", 'a "b"\nc']})
    assert path.read_text() == 'row,"p, of 1",label\n2,0.1,no\n3,0.3333333333333333,"a ""b""\nc"\n'
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert float(rows[2][1]) == 1 / 3
    assert os.listdir(tmp_path) == ["out.csv"]


def test_columns_of_different_lengths_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lengths \{'a': 1, 'b': 2\}, expected one and the same"):
        write_csv(tmp_path / "out.csv", {"a": [1], "b": [1, 2]})
    assert os.listdir(tmp_path) == []
