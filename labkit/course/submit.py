"""Pack the one archive that a student hands in, and say what is in it.

Everything is looked at before anything is written: what would be sent back later is refused now,
with a sentence. Works offline, on any platform and in Colab, where the notebooks lie in Drive.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import labkit
from labkit import models, records, settings
from labkit.course import edition, practice, probe
from labkit.course.judge import Verdict, judge
from labkit.methods.slimming import experiments as studies
from labkit.settings import LabError

NOTEBOOKS = ("01_sparsity_training", "02_scaling_factors", "03_channel_pruning", "04_fine_tuning", "05_report")
COLAB = Path("/content/drive/MyDrive/Colab Notebooks")
PLACEHOLDER = "your student id"  # what STUDENT holds in the notebook as it is given out
MEGABYTE = 10**6
MOST_EXTRA, MOST_ALL, MOST_IMAGES = 10 * MEGABYTE, 50 * MEGABYTE, 99
SECONDS = 60  # for all blanks together
REFUSED = {
    "weights": ".pt .pth .safetensors .ckpt .h5 .hdf5 .onnx .bin .pkl .pickle",
    "data": ".npz .npy .zip .tar .gz .tgz .bz2 .xz .7z .rar .parquet",
}
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Receipt:
    """What was handed in: ``files`` holds bytes by path in the archive, ``notes`` what the student
    should look at, ``verdicts`` the blanks on the visible examples, None where one was not tried."""

    path: Path
    size: int
    sha256: str
    files: dict[str, int]
    notes: list[str] = field(default_factory=list)
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)

    def __str__(self) -> str:
        groups: dict[str, list[str]] = {}
        for path in self.files:
            group, _, rest = path.partition("/")
            groups.setdefault(group, []).append(rest.removesuffix("/record.json"))
        contents = [f"  {group:13s} {', '.join(filter(None, names))}".rstrip() for group, names in groups.items()]
        lines = [f"{self.path}: {self.size / 1000:,.0f} kB, sha256 {self.sha256}", *contents]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), *self._points()])

    def _points(self) -> list[str]:
        lines = ["Points on the visible examples:"]
        for name, verdict in self.verdicts.items():
            material = practice.visible()[name]
            result = f"{verdict.points:g} of {verdict.of:g}" if verdict else "could not be tried"
            lines.append(f"  {material['title'].partition(' · ')[0]}  {result}")
            lines += [f"           {sentence}" for sentence in (verdict.sentences if verdict else [])]
        if any(verdict and not verdict.right for verdict in self.verdicts.values()):
            lines.append(
                "  (If the check says otherwise, the function uses something that its notebook does not define.)"
            )
        points = sum(verdict.points for verdict in self.verdicts.values() if verdict)
        of = sum(material["points"] for material in practice.visible().values())
        return [
            *lines,
            f"  together {points:g} of {of:g}. The grade is given on other inputs; plots and report are read.",
        ]


def add_commands(commands) -> None:
    hand = commands.add_parser("submit", help="make the one archive to hand in, and say what is in it")
    hand.add_argument("student", metavar="STUDENT_ID")
    hand.add_argument("extra", nargs="*", type=Path, metavar="EXTRA", help="further files, such as a figure")
    hand.add_argument(
        "--notebooks", type=Path, metavar="DIR", help="where the notebooks lie (default: found from here)"
    )
    hand.add_argument("--out", type=Path, metavar="DIR", help="where the archive goes (default: here)")
    hand.set_defaults(command=lambda o: print(from_here(o.student, o.extra, o.notebooks, o.out)))


def hand_in(student: str) -> None:
    """What the last cell of notebook 05 calls: hand in from here, or say why not and what to do."""
    if student.strip() in ("", PLACEHOLDER):
        print(
            "Nothing is handed in yet: write your id into STUDENT at the top, run the notebook again, "
            "save all notebooks, and run this cell again."
        )
        return
    try:
        print(from_here(student.strip()))
    except LabError as error:
        print(f"Not handed in. {error}")


def from_here(student: str, extra: tuple = (), notebooks: Path | None = None, out: Path | None = None) -> Receipt:
    """``submit`` with this process's runs and, if no folders are given, the notebooks that lie here
    (in Colab: in Drive) and an archive in the current folder, or beside ``notebooks`` from inside it."""
    places = (COLAB, Path("notebooks"), Path("."))
    nearest = next((place for place in places if any(_candidates(place, name) for name in NOTEBOOKS)), places[1])
    here = Path.cwd().parent if Path.cwd().name == "notebooks" else Path.cwd()
    return submit(student, notebooks or nearest, settings.current().folder, out or here, extra)


def submit(
    student: str, notebooks: Path, runs: Path, out: Path, extra: tuple = (), made: datetime | None = None
) -> Receipt:
    """Put ``student``'s archive into the folder ``out``: the five ``notebooks`` as they were saved,
    the report and the records in ``runs``, labkit's models.py, and ``extra`` files. Equal content
    and equal ``made`` (default: now) give equal bytes.

    Raises ``LabError``, with nothing written, for an id of another class, for a notebook that is
    missing, damaged, or not run from top to bottom, for a missing report, and for extra files that
    are too large or no part of a hand-in.
    """
    this, moment = edition.current(), made or datetime.now().astimezone()
    target = Path(out) / this.archive_name(student)
    files, cells, notes = {}, {}, []
    for name in NOTEBOOKS:
        path, note = _found(Path(notebooks), name)
        files[f"notebooks/{name}.ipynb"] = content = _read(path)
        cells[name] = code_cells(content, path)
        refuse_unrun(cells[name], path)
        notes += note + _errors(cells[name], path) + _as_given_out(cells[name], path)
    files["report.pdf"] = _report(Path(runs) / "report.pdf")
    refuse_unsaved(student, cells[NOTEBOOKS[-1]], path, Path(runs) / "report.pdf")
    files["labkit/models.py"] = _read(Path(models.__file__))
    kept = records.load_all(runs)
    files |= {f"records/{r.name}/record.json": _read(r.folder / "record.json") for r in kept}
    if not any(record.kind == "sparsity" for record in kept):
        notes.append(f"no training of your own is in {runs}: the records of notebooks 01 to 04 are missing.")
    notes += _outdated(kept)
    files |= {f"extra/{name}": content for name, content in _extras([Path(path) for path in extra]).items()}
    if (total := sum(map(len, files.values()))) > MOST_ALL:
        largest = max(files, key=lambda name: len(files[name]))
        raise LabError(
            f"The hand-in would have {total / MEGABYTE:.0f} MB, at most {MOST_ALL // MEGABYTE} are taken: "
            f"make {largest} smaller ({len(files[largest]) / MEGABYTE:.0f} MB)."
        )
    receipt = {
        "student": student,
        "edition": this.ref,
        "labkit": labkit.__version__,
        "made": moment.isoformat(timespec="seconds"),
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    }
    files["receipt.json"] = (json.dumps(receipt, ensure_ascii=False, indent=1) + "\n").encode()
    archive = _zip(files)
    with records.replacing(target) as temporary:
        temporary.write_bytes(archive)
    verdicts, trouble = visible_points(cells)
    sizes = {path: len(content) for path, content in files.items()}
    digest = hashlib.sha256(archive).hexdigest()
    return Receipt(target.resolve(), len(archive), digest, sizes, notes + trouble, verdicts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror}): close it elsewhere, and hand in again.") from error


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip without anything that changes from one time or machine to another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _candidates(folder: Path, name: str) -> list[Path]:
    """Files of a notebook, such as "Copy of NAME.ipynb" or "NAME (1).ipynb", the newest first."""
    files = [path for path in folder.glob("*.ipynb") if name in path.stem and path.name[0] != "." and path.is_file()]
    return sorted(files, key=lambda path: (-path.stat().st_mtime_ns, path.stem != name, path.name))


def _found(folder: Path, name: str) -> tuple[Path, list[str]]:
    """A notebook's file, and a line about it if there was a choice."""
    match _candidates(folder, name):
        case []:
            raise LabError(
                f"{name}.ipynb is not in {folder.resolve()}: save it there, or name the right folder with "
                f"--notebooks (in Colab: mount Drive, and save a copy of the notebook in Drive)."
            )
        case [path] if path.stem == name:
            return path, []
        case [path, *others]:
            rest = f", the newest of {len(others) + 1} (not {', '.join(p.name for p in others)})" if others else ""
            return path, [f"for {name}, {path.name} was taken{rest}."]


def code_cells(content: bytes, path: Path) -> list[dict]:
    """A notebook's code cells that are not empty, in order, down to the hand-in's: ``number`` (among
    the code cells), ``id``, ``source``, ``count`` and ``error`` (a name, or None). Raises ``LabError``."""
    try:
        cells = [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]
        found = [_cell(cell, number) for number, cell in enumerate(cells, 1)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LabError(
            f"{path} is no notebook ({type(error).__name__}: {str(error)[:80]}): open it, save it again, or take "
            "the one that was given out and run it."
        ) from None
    last = next((index for index, cell in enumerate(found) if "hand_in(" in cell["source"]), len(found))
    return [cell for cell in found[:last] if cell["source"].strip()]


def _cell(cell: dict, number: int) -> dict:
    """What is looked at in a cell of the file, in either of the forms that Jupyter and Colab save."""
    grading = cell["metadata"].get("nbgrader", {}).get("grade_id")
    names = [str(output.get("ename")) for output in cell["outputs"] if output["output_type"] == "error"]
    count = cell.get("execution_count")
    return {
        "number": number,
        "id": grading or cell.get("id"),
        "source": "".join(cell["source"]),
        "count": count if type(count) is int else None,
        "error": names[0] if names else None,
    }


def refuse_unrun(cells: list[dict], path: Path) -> None:
    """Raises ``LabError`` for the first cell that was not run, or not after those above it."""
    for before, cell in zip([None, *cells], cells):
        if cell["count"] is None:
            if stopped := next((above for above in cells[: cell["number"]] if above["error"]), None):
                raise LabError(
                    f"{path}: {_named(stopped)} stopped with {stopped['error']}, so nothing below it was run: mend it or "
                    "empty it, choose Restart and run all, save, and hand in again."
                )
            raise LabError(f"{path}: {_named(cell)} was not run: choose Restart and run all, save, and hand in again.")
        if before and cell["count"] <= before["count"]:
            raise LabError(
                f"{path}: {_named(cell)} was run before {_named(before)}, which stands above it: choose Restart and "
                "run all, save, and hand in again."
            )


def refuse_unsaved(student: str, cells: list[dict], path: Path, report: Path) -> None:
    """Raises ``LabError`` if the last notebook, as it was saved, is not the one that made the report."""
    names = [
        found[2] for cell in cells if (found := re.search(r"^STUDENT = (['\"])(.*)\1", cell["source"], re.MULTILINE))
    ]
    if names and names[0].strip() != student:
        raise LabError(
            f"{path}, as it is saved, says STUDENT = {names[0]!r} and not {student!r}: write your id there, run all "
            "cells, save the notebook, and hand in again."
        )
    if path.stat().st_mtime < report.stat().st_mtime:
        raise LabError(f"{path} was saved before the report was made: save the notebook now, and hand in again.")


def _as_given_out(cells: list[dict], path: Path) -> list[str]:
    """A line if answers that are graded by eye are not written yet."""
    empty = re.compile(r'# Your code here\.|^answers\["\w+"\] = f?"""\s*"""', re.MULTILINE)
    count = sum(bool(empty.search(cell["source"])) for cell in cells)
    return [f"{path.name}: {count} answer{'s are' * (count > 1) or ' is'} not written yet."] if count else []


def _outdated(kept: list[records.Record]) -> list[str]:
    """A line for each pruning that was made from another training than the one that is handed in."""
    notes, trained = [], {record.name: record for record in kept}
    for record in kept:
        try:
            if record.kind == "pruning" and record.config.get("parent") in trained:
                studies.made_from(record, trained[record.config["parent"]])
        except LabError as error:
            notes.append(str(error))
    return notes


def _named(cell: dict) -> str:
    line = cell["source"].strip().splitlines()[0]
    return f"code cell {cell['number']} ({line[:60]}{'…' if len(line) > 60 else ''})"


def _errors(cells: list[dict], path: Path) -> list[str]:
    return [
        f"{path.name}: {_named(cell)} stopped with {cell['error']}."
        for cell in cells
        if cell["error"] and not str(cell["id"]).startswith("check-")
    ]


def _report(path: Path) -> bytes:
    content = _read(path) if path.is_file() else b""
    if not content.startswith(b"%PDF"):
        raise LabError(
            f"{path} is {'no PDF' if content else 'missing'}: run notebook 05_report there, and hand in again (where runs "
            "are looked for is set by the folder you are in, LABKIT_RUNS and LABKIT_SEED)."
        )
    return content


def _extras(paths: list[Path]) -> dict[str, bytes]:
    """The extra files' content by name. Raises ``LabError`` for what does not belong into a hand-in."""
    found = {}
    for path in paths:
        problem = _problem(path) or ("has the name of another extra file: rename it" if path.name in found else None)
        if problem:
            raise LabError(f"The extra file {str(path)!r} {problem}, and hand in again.")
        found[path.name] = _read(path)
    images = [name for name in found if name.lower().endswith(IMAGES)]
    if len(images) > MOST_IMAGES:
        raise LabError(
            f"{len(images)} extra images, such as {images[0]}, are a data set: hand in at most {MOST_IMAGES}, those "
            "that you talk about."
        )
    return found


def _problem(path: Path) -> str | None:
    """What is wrong with an extra file, and what to do."""
    if path.is_symlink():
        return "is a link: name the file itself"
    if path.is_dir():
        return "is a folder: name single files"
    if not path.is_file():
        return "does not exist or is no plain file: look at its name"
    if not path.name.isprintable() or set(path.name) & set('\\/:*?"<>|'):
        return "has a name that other systems refuse: rename it"
    for kind, suffixes in REFUSED.items():
        if path.suffix.lower() in suffixes.split():
            return f"looks like {kind} ({path.suffix}), which are not handed in: leave it out"
    if path.stat().st_size > MOST_EXTRA:
        return f"has {path.stat().st_size / MEGABYTE:.1f} MB, at most {MOST_EXTRA // MEGABYTE} are taken: shorten it"
    return None


CHILD = """
import json, os, runpy, sys
request = json.loads(sys.stdin.buffer.read())
sys.path[:] = request["path"]
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a blank prints is no answer
probe = runpy.run_path(request["probe"])
for name, (sources, parts) in request["blanks"].items():
    functions = probe["functions_in"](sources, list(parts))
    observed = probe["observe_all"](functions, parts)
    print(json.dumps([name, observed]), file=answers, flush=True)
"""


def visible_points(cells: dict[str, list[dict]], seconds: float = SECONDS) -> tuple[dict, list[str]]:
    """The verdict on every blank of the saved notebooks' ``cells`` on the visible examples, from a
    fresh process, so that nothing left over in a kernel helps; None where the process ended before;
    and a sentence if it did."""
    blanks = {}
    for name, material in practice.visible().items():
        sources = [cell["source"] for cell in cells[material["notebook"]]]
        itself = [cell["source"] for cell in cells[material["notebook"]] if cell["id"] == f"blank-{name}"]
        blanks[name] = sources + itself, material["functions"]  # the marked cell counts, as in grading
    request = {"path": [p for p in sys.path if p], "probe": probe.__file__, "blanks": blanks}
    command, trouble = [sys.executable, "-I", "-c", CHILD], ""
    try:
        done = subprocess.run(command, input=json.dumps(request).encode(), capture_output=True, timeout=seconds)
        out = done.stdout
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
            trouble = f"ended early ({last or f'status {done.returncode}'})"
    except subprocess.TimeoutExpired as error:
        out, trouble = error.stdout or b"", f"did not end within {seconds:g} seconds"
    except OSError as error:
        out, trouble = b"", f"did not start ({error})"
    observed = dict(map(json.loads, re.findall(rb"^.+(?=\n)", out, re.MULTILINE)))
    verdicts = {n: judge(m, observed[n]) if n in observed else None for n, m in practice.visible().items()}
    return verdicts, [f"the check of the blanks {trouble}; the archive is complete."] if trouble else []
