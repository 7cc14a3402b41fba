"""Hostile files as plain data: archives as members, notebooks as cells.

Nothing is unpacked onto the disk, imported or executed. Sizes are counted while reading, since what a
header says about them is the sender's word. What cannot be read raises ``Unreadable``.
"""

import gzip
import hashlib
import io
import json
import math
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

MOST_BYTES, MOST_BYTES_A_FILE, MOST_ENTRIES = 200_000_000, 100_000_000, 2000
MOST_VALUES, MOST_LEVELS, MOST_CELLS, MOST_TEXT = 4_000_000, 64, 1000, 2_000_000
CHUNK = 1 << 18
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2", ".rar", ".7z")
HEAVY = (".safetensors", ".pt", ".pth", ".npz", ".npy", ".ckpt", ".bin", ".h5", ".onnx", ".pkl", ".pickle")
KEPT = (".ipynb", ".pdf", "record.json", "receipt.json")
IGNORED = {"__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "__pycache__"}
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, OSError, EOFError, RuntimeError)
DAMAGED += (ValueError, OverflowError, LookupError)
V3_MIME = dict(text="text/plain", html="text/html", png="image/png", jpeg="image/jpeg", svg="image/svg+xml")


class Unreadable(Exception):
    """Why a file or an archive was not read: half a sentence that goes on after its name."""


@dataclass(frozen=True)
class Member:
    """A file of a hand-in. ``data`` is None where only the hash matters, ``sha256`` where it was not read."""

    path: str
    sha256: str | None = None
    data: bytes | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass
class Cell:
    """A cell as handed in. ``keys`` are all ids by which it says which cell it is, its own ``id`` among them."""

    kind: str
    source: str
    id: str = ""
    keys: frozenset[str] = frozenset()
    count: int | None = None
    outputs: list[dict] = field(default_factory=list)
    attachments: dict = field(default_factory=dict)


def shown(name: str, most: int = 80) -> str:
    """A foreign name, safe to print: one line, no formatting, quoted."""
    text = "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in name)
    return f"`{text if len(text) <= most else text[:most] + '…'}`"


def listed(names, most: int = 5) -> str:
    """The first few of several foreign names."""
    names = list(names)
    return ", ".join(map(shown, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def is_archive(path: str) -> bool:
    return path.lower().endswith(ARCHIVES)


def is_notebook(path: str) -> bool:
    return path.lower().endswith(".ipynb")


def is_ignored(path: str) -> bool:
    """Whether the operating system or Jupyter put the file there, not the student."""
    parts = path.split("/")
    return not IGNORED.isdisjoint(parts) or parts[-1].startswith("._")


def inner_path(name: str) -> str:
    """A member's path, normalised. Raises ``Unreadable`` where it leads out of the archive."""
    path = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode()).replace("\\", "/")
    if path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        raise Unreadable(f"holds {shown(name)}, a path that leads out of the archive")
    return "/".join(part for part in path.split("/") if part not in ("", "."))


class Budget:
    """What one hand-in may still unpack to, nested archives included."""

    def __init__(self):
        self.bytes, self.entries = MOST_BYTES, MOST_ENTRIES

    def enter(self) -> None:
        self.entries -= 1
        if self.entries < 0:
            raise Unreadable(f"holds more than {MOST_ENTRIES} files")

    def member(self, path: str, stream: BinaryIO) -> Member:
        """Read ``stream`` to its end; raises ``Unreadable`` at a limit. What nobody needs is only hashed."""
        digest, chunks, size = hashlib.sha256(), [], 0
        keep = path.lower().endswith(KEPT) or is_archive(path)
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            self.bytes -= len(chunk)
            if size > MOST_BYTES_A_FILE:
                raise Unreadable(f"holds {shown(path)}, which is larger than {MOST_BYTES_A_FILE // 10**6} MB")
            if self.bytes < 0:
                raise Unreadable(f"unpacks to more than {MOST_BYTES // 10**6} MB")
            digest.update(chunk)
            if keep:
                chunks.append(chunk)
        return Member(path, digest.hexdigest(), b"".join(chunks) if keep else None)


def zip_name(info: zipfile.ZipInfo) -> str:
    """The entry's name; some systems write UTF-8 without saying so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _zip_entries(file: BinaryIO, budget: Budget) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    # zipfile holds the whole directory in memory, so entries are counted before it is opened.
    file.seek(0)
    signatures, tail = 0, b""
    while chunk := file.read(CHUNK):
        signatures += (tail + chunk).count(b"PK\x01\x02")
        tail = chunk[-3:]
        if signatures > 2 * MOST_ENTRIES:
            raise Unreadable(f"holds more than {MOST_ENTRIES} files")
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            budget.enter()
            path, kind = inner_path(zip_name(info)), stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Unreadable(f"holds {shown(path)}, which is a link or a device and no file")
            if info.flag_bits & 0x41:
                raise Unreadable("is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable(f"is compressed by method {info.compress_type}, not by that of an ordinary zip")
            if not info.is_dir() and path:
                yield path, lambda info=info: archive.open(info)


class _Limited(io.RawIOBase):
    """A stream that ends with ``Unreadable`` where more than ``MOST_BYTES`` come out of it."""

    def __init__(self, stream):
        self.stream, self.left = stream, MOST_BYTES

    def read(self, size=-1):
        data = self.stream.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self.left -= len(data)
        if self.left < 0:
            raise Unreadable(f"unpacks to more than {MOST_BYTES // 10**6} MB")
        return data


def _tar_entries(file: BinaryIO, budget: Budget, opened) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    file.seek(0)
    with tarfile.open(fileobj=_Limited(opened(file)), mode="r|") as archive:
        for info in archive:
            budget.enter()
            path = inner_path(info.name)
            if not (info.isreg() or info.isdir()):
                raise Unreadable(f"holds {shown(path)}, which is a link or a device and no file")
            if info.isreg() and path:
                yield path, lambda info=info: archive.extractfile(info)


def _entries(file: BinaryIO, budget: Budget):
    file.seek(0)
    start = file.read(262)
    if start.startswith(b"PK"):
        return _zip_entries(file, budget)
    if start.startswith(b"\x1f\x8b"):
        return _tar_entries(file, budget, gzip.open)
    if start[257:] == b"ustar":
        return _tar_entries(file, budget, lambda file: file)
    raise Unreadable("is neither a zip nor a tar.gz archive" if start else "is empty")


def read_archive(file: BinaryIO) -> tuple[list[Member], list[str]]:
    """The members of a hand-in and notes on it. Notebooks, records, receipt and PDFs are kept in memory,
    other files are only hashed, weights and data not even that. Where no notebook lies in the archive
    itself, archives inside it are opened too (one level). Raises ``Unreadable``."""
    budget, members, inner = Budget(), [], []
    for member in _members(file, budget, nested=True):
        (inner if member.data is not None and is_archive(member.path) else members).append(member)
    for archive in inner:
        try:
            members += _members(io.BytesIO(archive.data), budget, nested=False)
        except Unreadable as reason:
            raise Unreadable(f"holds {shown(archive.path)}, which {reason}") from None
    paths = [archive.path for archive in inner]
    return members, [f"The hand-in lies in an archive inside the archive: {listed(paths)}."] if inner else []


def _members(file: BinaryIO, budget: Budget, nested: bool) -> list[Member]:
    members = []
    try:
        paths = [path for path, _ in _entries(file, Budget()) if not is_ignored(path)]
        nested = nested and not any(map(is_notebook, paths))
        for path, opened in _entries(file, budget):
            if path.lower().endswith(HEAVY) or (is_archive(path) and not nested):
                members.append(Member(path))
            elif not is_ignored(path):
                with opened() as stream:
                    members.append(budget.member(path, stream))
    except DAMAGED as error:
        raise Unreadable(f"is damaged ({shown(f'{type(error).__name__}: {error}')})") from None
    return [member for member in members if not is_ignored(member.path)]


def plain_json(data: bytes):
    """What JSON bytes hold, numbers that JSON has no sign for as None. Raises ``Unreadable`` where they are
    no JSON, nested more than ``MOST_LEVELS`` deep or of so many values that memory would suffer."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') <= 2 * MOST_VALUES:
        bare = b"".join(bare.split(b'"')[::2])
    if sum(map(bare.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise Unreadable(f"holds more than {MOST_VALUES:,} values")
    del bare
    try:
        content = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    except ValueError as error:
        raise Unreadable("is empty" if not text.strip() else f"is no JSON ({shown(str(error))})") from None
    if not _within(content, MOST_LEVELS):
        raise Unreadable("is nested too deeply")
    return content


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _within(value, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_within(child, levels - 1) for child in children if isinstance(child, (dict, list)))


def read_notebook(data: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook of any format, fields of a wrong type as if they were empty, and what was
    wrong with them. Raises ``Unreadable`` where it is no notebook."""
    content = _dict(plain_json(data))
    sheets = as_list(content.get("worksheets")) or [content]  # format 3 has cells one level further down
    raw = [cell for sheet in sheets for cell in as_list(_dict(sheet).get("cells"))]
    if not raw:
        raise Unreadable("is no notebook: it has no cells")
    if len(raw) > MOST_CELLS:
        raise Unreadable(f"has more than {MOST_CELLS} cells")
    cells = [_cell(item) for item in raw]
    if sum(len(cell.source) for cell in cells) > MOST_TEXT:
        raise Unreadable(f"holds more than {MOST_TEXT:,} letters of text")
    odd = [n for n, (item, cell) in enumerate(zip(raw, cells), 1) if not _well_formed(item, cell)]
    where = f"cell{'s' * (len(odd) > 1)} {', '.join(map(str, odd[:5]))}{', …' * (len(odd) > 5)}"
    return cells, [f"holds fields of a wrong type, which were taken as empty ({where})"] if odd else []


def _well_formed(item, cell: Cell) -> bool:
    item = _dict(item)
    source, outputs = item.get("source", item.get("input")), item.get("outputs")
    texts = source if isinstance(source, list) else [source]
    whole = isinstance(outputs, list) and len(outputs) == len(cell.outputs)
    return all(isinstance(text, str) for text in texts) and (whole or cell.kind != "code")


def _cell(item) -> Cell:
    item = _dict(item)
    kind, metadata = item.get("cell_type"), _dict(item.get("metadata"))
    source = _text(item.get("source", item.get("input")))
    if kind == "heading":  # format 3
        level = item.get("level")
        source = "#" * (level if level in (1, 2, 3, 4, 5, 6) else 1) + " " + source
    kind = kind if kind in ("code", "raw") else "markdown"
    ids = [item.get("id"), metadata.get("id"), _dict(metadata.get("nbgrader")).get("grade_id")]  # Colab's is the second
    keys = [key for key in ids if key and isinstance(key, str)]
    cell = Cell(kind, source, keys[0] if keys else "", frozenset(keys))
    if kind == "code":
        cell.count = _count(item.get("execution_count", item.get("prompt_number")))
        cell.outputs = [output for output in map(_output, as_list(item.get("outputs"))) if output]
    else:
        cell.attachments = {_text(name): _bundle(data) for name, data in _dict(item.get("attachments")).items()}
    return cell


def _output(item) -> dict | None:
    """An output as format 4 has it, or None where it is none."""
    item = _dict(item)
    match item.get("output_type"):
        case "stream":
            name = "stderr" if item.get("name", item.get("stream")) == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": _text(item.get("text"))}
        case "error" | "pyerr":
            lines = [_text(line) for line in as_list(item.get("traceback"))]
            names = {key: _text(item.get(key)) for key in ("ename", "evalue")}
            return {"output_type": "error", **names, "traceback": lines}
        case "display_data" | "execute_result" | "pyout" as kind:
            old = {mime: item[key] for key, mime in V3_MIME.items() if key in item}
            shown_as = {"data": _bundle(item.get("data", old)), "metadata": {}}
            if kind == "display_data":
                return {"output_type": kind, **shown_as}
            count = _count(item.get("execution_count", item.get("prompt_number")))
            return {"output_type": "execute_result", **shown_as, "execution_count": count}
    return None


def _bundle(data) -> dict:
    """Contents by type: text, or any JSON where the type says so."""
    bundle = {}
    for mime, content in _dict(data).items():
        if re.fullmatch(r"application/(.*\+)?json", mime):
            bundle[mime] = content
        elif isinstance(content, (str, list)):
            bundle[_text(mime)] = _text(content)
    return bundle


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


def as_list(value) -> list:
    return value if isinstance(value, list) else []


def _text(value) -> str:
    """Text, or a list of its lines; line ends as here, halves of characters as question marks."""
    text = "".join(part for part in value if isinstance(part, str)) if isinstance(value, list) else value
    if not isinstance(text, str):
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\r\n", "\n")


def _count(value) -> int | None:
    return value if type(value) is int and 0 <= value < 10**9 else None
