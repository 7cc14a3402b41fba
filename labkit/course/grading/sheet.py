"""A CSV file of somebody else's, of which single cells are changed: every other byte stays as it was."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from labkit.settings import LabError

MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"": "utf-8"}
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Sheet:
    """``cells`` are as they stand in the file, with their quotes, by row; ``ends`` how each row ends; ``mark`` is
    the byte order mark."""

    cells: tuple[tuple[str, ...], ...]
    ends: tuple[str, ...]
    delimiter: str
    mark: bytes

    @cached_property
    def rows(self) -> list[list[str]]:
        """The text of every cell."""
        return [[unquoted(cell) for cell in row] for row in self.cells]

    @property
    def format(self) -> str:
        """Encoding and delimiter in words, as the forms of the systems ask for them."""
        return f"{MARKS[self.mark].upper().removesuffix('-LE').removesuffix('-BE')}, {DELIMITERS[self.delimiter]}"

    def changed(self, cells: Mapping[tuple[int, int], str]) -> "Sheet":
        """The same sheet with other texts in ``cells``, by row and column."""
        rows = [list(row) for row in self.cells]
        for (row, column), text in cells.items():
            rows[row][column] = quoted(text, self.delimiter, always=rows[row][column].startswith('"'))
        return replace(self, cells=tuple(map(tuple, rows)))

    def only(self, columns: Collection[int]) -> "Sheet":
        """The same sheet without other columns."""
        rows = ((cell for at, cell in enumerate(row) if at in columns) for row in self.cells)
        return replace(self, cells=tuple(map(tuple, rows)))

    def bytes(self) -> bytes:
        text = "".join(self.delimiter.join(row) + end for row, end in zip(self.cells, self.ends))
        return self.mark + text.encode(MARKS[self.mark])


def unquoted(cell: str) -> str:
    whole = len(cell) > 1 and cell.startswith('"') and cell.endswith('"')
    return cell[1:-1].replace('""', '"') if whole else cell


def quoted(text: str, delimiter: str, always: bool = False) -> str:
    always = always or any(letter in text for letter in (delimiter, '"', "\r", "\n"))
    return '"' + text.replace('"', '""') + '"' if always else text


def read(file: Path) -> Sheet:
    """The sheet in ``file``: in UTF-8 or, with a byte order mark, UTF-16; commas, semicolons or tabs between cells.
    Raises ``LabError`` where it is none."""
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise LabError(f"{file} cannot be read ({error.strerror}): give the file that you downloaded.") from None
    mark = next(mark for mark in MARKS if data.startswith(mark))
    try:
        text = data.removeprefix(mark).decode(MARKS[mark])
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise LabError(f"{file} is no text in UTF-8 or UTF-16: download it again, and do not save it in a spreadsheet.")
    tables = [split(text, delimiter, mark) for delimiter in DELIMITERS]
    whole = [sheet for sheet in tables if len({len(row) for row in sheet.cells if row != ("",)}) == 1]
    sheet = max(whole, key=lambda sheet: len(sheet.cells[0]), default=None)
    if sheet is None or len(sheet.cells[0]) < 2:
        raise LabError(f"{file} is no table: its rows have different numbers of cells; download it again.")
    return sheet


def split(text: str, delimiter: str, mark: bytes) -> Sheet:
    """``text`` cut at ``delimiter``. A quote that is never closed is an ordinary letter."""
    cell = re.compile(rf'("(?:[^"]|"")*"|[^{delimiter}\r\n]*)({delimiter}|\r\n|\r|\n|\Z)')
    rows, ends, place = [[]], [], 0
    while True:
        found = cell.match(text, place)
        rows[-1].append(found[1])
        place = found.end()
        if found[2] != delimiter:
            ends.append(found[2])
            if not found[2]:
                return Sheet(tuple(map(tuple, rows)), tuple(ends), delimiter, mark)
            rows.append([])
