"""Pack the one archive of a lab that a student hands in, and say what is in it.

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
from labkit.course import edition, labs
from labkit.course.labs import Lab
from labkit.course.practice import check, probe, saved, variant
from labkit.course.practice.judge import Verdict, judge
from labkit.course.practice.variant import PLACEHOLDER
from labkit.files import replacing
from labkit.settings import LabError

COLAB = Path("/content/drive/MyDrive/Colab Notebooks")
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
        if not self.verdicts:
            return []
        lines = ["Points on the visible examples:"]
        for name, verdict in self.verdicts.items():
            material = check.visible()[name]
            result = f"{verdict.points:g} of {verdict.of:g}" if verdict else "could not be tried"
            lines.append(f"  {material['title'].partition(' · ')[0]}  {result}")
            lines += [f"           {sentence}" for sentence in (verdict.sentences if verdict else [])]
        if any(verdict and not verdict.right for verdict in self.verdicts.values()):
            lines.append("  (If the check says otherwise, the function uses what its notebook does not define.)")
        points = sum(verdict.points for verdict in self.verdicts.values() if verdict)
        of = sum(check.visible()[name]["points"] for name in self.verdicts)
        return [*lines, f"  together {points:g} of {of:g}. The grade is given on other inputs; the rest is read."]


def add_commands(commands) -> None:
    hand = commands.add_parser("submit", help="make the one archive to hand in, and say what is in it")
    hand.add_argument("student", metavar="STUDENT_ID")
    # without its default argparse would say that EXTRA is required
    hand.add_argument(
        "extra", nargs="*", type=Path, default=[], metavar="EXTRA", help="further files, such as a figure"
    )
    hand.add_argument("--lab", default="1", metavar="N", help="which lab (default: 1)")
    hand.add_argument("--notebooks", type=Path, metavar="DIR", help="where they lie (default: found from here)")
    hand.add_argument("--out", type=Path, metavar="DIR", help="where the archive goes (default: here)")
    hand.set_defaults(command=lambda o: print(from_here(o.student, labs.named(o.lab), o.extra, o.notebooks, o.out)))


def hand_in(student: str, lab: int = 1) -> None:
    """What the last cell of the notebook that writes a lab's report calls: hand in from here, or say why not and what to do."""
    if student.strip() in ("", PLACEHOLDER):
        again = "all notebooks" if edition.current().variants else "the notebook"
        print(
            f"Nothing is handed in yet: write your id into STUDENT at the top, run {again} again, "
            "save all notebooks, and run this cell again."
        )
        return
    try:
        print(from_here(student.strip(), labs.named(lab)))
    except LabError as error:
        print(f"Not handed in. {error}")


def report_name(student: str, lab: int) -> str:
    """What the PDF of a lab has to be called for this student."""
    return edition.current().report_name(student.strip(), labs.named(lab))


def from_here(
    student: str, lab: Lab, extra: tuple = (), notebooks: Path | None = None, out: Path | None = None
) -> Receipt:
    """``submit`` with this process's runs and, if no folders are given, the notebooks that lie here
    (in Colab: in Drive) and an archive in the current folder, or beside ``notebooks`` from inside it."""
    places = (COLAB, Path("notebooks"), Path("."))
    nearest = next(
        (place for place in places if any(saved.candidates(place, name) for name in lab.notebooks)), places[1]
    )
    here = Path.cwd().parent if Path.cwd().name == "notebooks" else Path.cwd()
    variant.refuse_another(student)
    return submit(student, lab, notebooks or nearest, settings.current(lab=lab.number).folder, out or here, extra)


def submit(
    student: str, lab: Lab, notebooks: Path, runs: Path, out: Path, extra: tuple = (), made: datetime | None = None
) -> Receipt:
    """Put ``student``'s archive of ``lab`` into the folder ``out``: its ``notebooks`` as they were saved,
    the report and the records in ``runs``, labkit's models, and ``extra`` files. Equal content
    and equal ``made`` (default: now) give equal bytes.

    Raises ``LabError``, with nothing written, for an id of another class, for a notebook that is
    missing, damaged, or not run from top to bottom, for a report that is missing or carries another id,
    and for extra files that are too large or no part of a hand-in.
    """
    this, moment = edition.current(), made or datetime.now().astimezone()
    target, report = Path(out) / this.archive_name(student, lab), Path(runs) / this.report_name(student, lab)
    files, cells, notes = {}, {}, []
    places = Path(notebooks)
    given = [name for name in lab.notebooks if name not in lab.bonus_notebooks or saved.candidates(places, name)]
    paths = {name: saved.found(places, name) for name in given}
    for name, (path, note) in paths.items():
        content = saved.read(path)
        found = saved.code_cells(content, path)
        if name in lab.bonus_notebooks and saved.never_run(found):
            notes.append(f"{name} was never run and is left out: it is worth a bonus, and nothing is lost without it.")
            continue
        files[f"notebooks/{name}.ipynb"], cells[name] = content, found
        saved.refuse_unrun(cells[name], path)
        notes += note + saved.stopped(cells[name], path) + saved.not_written(cells[name], path)
    last, (last_path, _) = lab.last_notebook, paths[lab.last_notebook]
    if lab.report:
        files[report.name] = _report(report, last)
    saved.refuse_another_student(student, cells[last], last_path)
    if lab.report:
        saved.refuse_unsaved(last_path, report)
        saved.refuse_report_of_another(student, report, files[report.name], last)
    files |= {
        f"labkit/models/{path.name}": saved.read(path) for path in sorted(Path(models.__file__).parent.glob("*.py"))
    }
    kept = records.load_all(runs)
    files |= {f"records/{record.name}/record.json": saved.read(record.folder / "record.json") for record in kept}
    if (roots := _roots(lab)) and not roots & {record.kind for record in kept}:
        notes.append(f"no training of your own is in {runs}: the records of the lab's trainings are missing.")
    notes += _outdated(kept) + variant.of_another_seed(student, kept)
    files |= {f"extra/{name}": content for name, content in _extras([Path(path) for path in extra]).items()}
    _refuse_too_large(files)
    receipt = {
        "student": student,
        "lab": lab.number,
        "edition": this.ref,
        "labkit": labkit.__version__,
        "made": moment.isoformat(timespec="seconds"),
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    }
    files["receipt.json"] = (json.dumps(receipt, ensure_ascii=False, indent=1) + "\n").encode()
    archive = zipped(files)
    with replacing(target) as temporary:
        temporary.write_bytes(archive)
    graded = {n: m for n, m in check.visible(lab.name).items() if m["points"] and m["notebook"] in cells}
    verdicts, trouble = visible_points(graded, cells)
    sizes = {path: len(content) for path, content in files.items()}
    digest = hashlib.sha256(archive).hexdigest()
    return Receipt(target.resolve(), len(archive), digest, sizes, notes + trouble, verdicts)


def _refuse_too_large(files: dict[str, bytes]) -> None:
    if (total := sum(map(len, files.values()))) > MOST_ALL:
        largest = max(files, key=lambda name: len(files[name]))
        raise LabError(
            f"The hand-in would have {total / MEGABYTE:.0f} MB, at most {MOST_ALL // MEGABYTE} are taken: "
            f"make {largest} smaller ({len(files[largest]) / MEGABYTE:.0f} MB)."
        )


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip without anything that changes from one time or machine to another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _roots(lab: Lab) -> set[str]:
    """The kinds of the lab's trainings from which other runs are made."""
    shipped = [records.load(folder) for folder in lab.reference_runs()]
    parents = {record.config.get("parent") for record in shipped}
    return {record.kind for record in shipped if record.name in parents and not record.config.get("parent")}


def _outdated(kept: list[records.Record]) -> list[str]:
    """A line for each record that was made from another run than the one of that name that is handed in."""
    configs = {record.name: records.identity(record) for record in kept}
    return [
        f"{record.name} was made from another run than {parent} as it is now: run its notebook again."
        for record in kept
        if (parent := record.config.get("parent")) in configs
        and record.config.get("parent_config", configs[parent]) != configs[parent]
    ]


def _report(path: Path, notebook: str) -> bytes:
    content = saved.read(path) if path.is_file() else b""
    if not content.startswith(b"%PDF"):
        others = sorted(
            other.name for other in path.parent.glob("*") if other.suffix.lower() == ".pdf" and other != path
        )
        found = f" (there is {', '.join(others)}, which is not its name)" if others else ""
        raise LabError(
            f"{path} is {'no PDF' if content else 'missing'}{found}: run notebook {notebook} there, with your id in STUDENT, "
            "and hand in again (where runs are looked for is set by the folder you are in, LABKIT_RUNS and LABKIT_SEED)."
        )
    return content


def _extras(paths: list[Path]) -> dict[str, bytes]:
    """The extra files' content by name. Raises ``LabError`` for what does not belong into a hand-in."""
    found = {}
    for path in paths:
        problem = _problem(path) or ("has the name of another extra file: rename it" if path.name in found else None)
        if problem:
            raise LabError(f"The extra file {str(path)!r} {problem}, and hand in again.")
        found[path.name] = saved.read(path)
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


def visible_points(
    materials: dict[str, dict], cells: dict[str, list[dict]], seconds: float = SECONDS
) -> tuple[dict, list[str]]:
    """The verdict on every blank of the saved notebooks' ``cells`` on the visible examples, from a
    fresh process, so that nothing left over in a kernel helps; None where the process ended before;
    and a sentence if it did."""
    if not materials:
        return {}, []
    blanks = {}
    for name, material in materials.items():
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
    verdicts = {n: judge(m, observed[n]) if n in observed else None for n, m in materials.items()}
    return verdicts, [f"the check of the blanks {trouble}; the archive is complete."] if trouble else []
