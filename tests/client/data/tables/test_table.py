"""Tables as spreadsheets and scripts save them are read to the same cells; what is no table is named by line."""

import codecs
import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.client.data.tables.table import Table, read_table
from medforge.errors import InvalidInput

ROWS = (("image", "Größe, cm", "notes"), ("a 1.png", "1,5", 'said "so"'), ("b;2.png", "", "two\nlines | or\tmore"))


def spelt(rows: tuple[tuple[str, ...], ...], delimiter: str, end: str = "\r\n") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    return text.getvalue()


def read(path: Path, content: bytes) -> Table:
    path.write_bytes(content)
    return read_table(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF8 + codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE + codecs.BOM_UTF16_LE, "utf-16-le"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
        (b"", "cp1252"),
    ],
)
def test_every_delimiter_and_encoding_gives_the_same_cells(
    tmp_path: Path, delimiter: str, mark: bytes, encoding: str
) -> None:
    table = read(tmp_path / "t.csv", mark + spelt(ROWS, delimiter).encode(encoding))
    assert (table.columns, *table.rows) == ROWS
    assert table.lines == (2, 4)
    assert table.column("Größe, cm") == ["1,5", ""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_white_space_empty_lines_and_short_rows(tmp_path: Path, end: str) -> None:
    text = end.join((" image ;label; age", "", 'a.png;"x" ;', ";;", "b.png; y;"))
    table = read(tmp_path / "t.csv", text.encode())
    assert (table.columns, table.rows) == (("image", "label", "age"), (("a.png", "x", ""), ("b.png", "y", "")))
    assert table.lines == (3, 5)
    assert read(tmp_path / "t.csv", b"a,b,c\n1,2\n").rows == (("1", "2", ""),)


def test_excel_s_own_first_line_and_packed_tables(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", b"sep=;\r\nimage;a,b,c\r\nx.png;1\r\n").columns == ("image", "a,b,c")
    packed = read(tmp_path / "t.csv.gz", gzip.compress(b"image,label\nx.png,1\n"))
    assert packed.rows == (("x.png", "1"),)
    cut = gzip.compress(b"image,label\nx.png,1\n")[:-9]
    with pytest.raises(InvalidInput, match="cannot be unpacked"):
        read(tmp_path / "cut.csv.gz", cut)


def test_the_first_line_decides_what_parts_the_cells(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b"image,labels\na.png,A|B|C\nb.png,A|C\n").rows[0] == ("a.png", "A|B|C")
    assert read(tmp_path / "t", b"image\na b, c.png\n").rows == (("a b, c.png",),)
    assert read(tmp_path / "t", b"image name\nx_1.png\n").columns == ("image name",)


def test_spaces_part_cells_and_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    assert read(tmp_path / "t", b'image label\n"a 1.png" x\nb.png y\n').rows == (("a 1.png", "x"), ("b.png", "y"))
    (tmp_path / "t.txt").write_text("p1 a.png covid\np2 b.png normal\n")
    table = read_table(tmp_path / "t.txt", header=False)
    assert (table.columns, table.column("2")) == (("1", "2", "3"), ["a.png", "b.png"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n1,2\n1,2,3\n", "line 3, has 3 cells for 2 columns; put a cell that holds the delimiter"),
        (b"a,b, a\n1,2,3\n", "has two columns 'a'; rename or remove one of them"),
        (b'a,b\n"1,2\n3,4\n', "is no line of a table"),
        (b'a,b\n"5" wide, 2",3\n1,2\n', "line 2, is no line of a table"),
        (b"PK\x03\x04...", "is a workbook or an archive; save its sheet as CSV"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "is a workbook or an archive"),
        (b"a,b\n\0,1\n", "is no text; save the table as CSV in UTF-8"),
        (b"\xff\xfea", "is not the UTF-16-LE that it begins as"),
    ],
)
def test_what_is_no_table_gets_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "t.csv", content)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(f"the table {tmp_path / 't.csv'}")
    assert "\n" not in str(refused.value)


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=8)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_any_cells_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], delimiter: str, encoding: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("image", "label", "age"), *rows])
    table = read(tmp_path_factory.mktemp("t") / "t.csv", text.getvalue().encode(encoding))
    stripped = [tuple(cell.strip() for cell in row) for row in rows]
    assert table.columns == ("image", "label", "age")
    assert list(table.rows) == [row for row in stripped if any(row)]
