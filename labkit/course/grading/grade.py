"""Mark the blanks of a class: hidden inputs go into the sandbox, plain values come out, and are compared here.

Grading again gives the same marks: the class's hidden seed is drawn once and kept in its folder.
What is there already is kept, unless the submission or the table of blanks has changed.
"""

import hashlib
import json
import os
import secrets
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from labkit import foreign, settings
from labkit.course import answers, blanks, edition
from labkit.course.grading import findings, sandbox
from labkit.course.labs import Lab
from labkit.course.practice.judge import Fault, Verdict, judge
from labkit.files import write_text
from labkit.settings import LabError

STUB = "raise NotImplementedError"
CODE = Path(__file__).resolve().parents[1]  # of the course


def grade(
    course: Path, lab: Lab, way: sandbox.Warm | sandbox.OneByOne, workers: int | None = None, progress=None
) -> list[dict]:
    """Grade every collected submission of ``lab`` in the class folder ``course``, several at a time; the results,
    by student. ``way`` runs their code (``sandbox.opened()``); ``progress`` is called with each
    result as it comes. Raises ``LabError`` if nothing was collected or no sandbox can start."""
    collected, out = course / "collected" / lab.name, course / "graded" / lab.name
    folders = sorted(path.parent for path in collected.glob("*/submission.json"))
    if not folders:
        raise LabError(f"{collected} holds no submissions: run labkit collect first.")
    materials = hidden_materials(lab, hidden_seed(course))
    results, own = [], findings.own_variants(folders, edition.current())
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        waiting = [pool.submit(graded, folder, out, lab, materials, way, own[folder]) for folder in folders]
        try:
            for future in as_completed(waiting):
                results.append(future.result())
                if progress:
                    progress(results[-1])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results.sort(key=lambda result: result["student"])
    submissions = [json.loads((folder / "submission.json").read_text(encoding="utf-8")) for folder in folders]
    alike = twins(lab, results, submissions)
    for student, sentences in copies(folders, own_seeds=any(own.values())).items():
        alike[student] += sentences
    write_text(out / "notes.md", notes_page(results, alike))
    return results


def hidden_seed(course: Path) -> str:
    """The seed of this class's hidden inputs, drawn when it is first needed."""
    file = course / "hidden_seed"
    if not file.exists():
        write_text(file, secrets.token_hex(16) + "\n")
        file.chmod(0o600)
    return file.read_text(encoding="utf-8").strip()


def hidden_materials(lab: Lab, seed: str) -> dict[str, dict]:
    return {name: answers.material(name, f"hidden {seed}") for name in blanks.of(lab)}


def graded(folder: Path, out: Path, lab: Lab, materials: dict[str, dict], way, own: findings.Own | None = None) -> dict:
    """The result of one submission, kept as ``out/<student>.json``."""
    content = (folder / "submission.json").read_bytes()
    submission = json.loads(content)
    work = hashlib.sha256(content + _digest(folder) + json.dumps(materials).encode() + repr(own).encode()).hexdigest()
    target = out / f"{folder.name}.json"
    if target.exists() and (before := json.loads(target.read_text(encoding="utf-8")))["work"] == work:
        return before
    refused, verdicts, notes = submission["refused"], {}, []
    if not refused:
        try:
            verdicts, notes = mark(submission, materials, way)
        except LabError:
            raise
        except Exception as error:  # one submission must never stop a class from being graded
            refused = f"It could not be marked ({type(error).__name__}): look at it by hand."
    result = {
        "student": submission["student"],
        "submission": hashlib.sha256(content).hexdigest(),
        "work": None if any(sandbox.LOST in note for note in notes) else work,  # try again next time
        "refused": refused,
        "blanks": {
            name: {"points": found.points, "of": found.of, "sentences": found.sentences}
            for name, found in verdicts.items()
        },
        "points": None if refused else sum(found.points for found in verdicts.values()),
        "of": sum(material["points"] for material in materials.values()),
        "notes": [*submission["notes"], *notes],
        "findings": [] if refused else findings.findings(folder / "records", lab, own=own),
    }
    write_text(target, json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    return result


def _digest(folder: Path) -> bytes:
    """What else a result depends on: the submission's records, and the course's code."""
    digest = hashlib.sha256()
    for path in [*sorted((folder / "records").glob("*/record.json")), *sorted(CODE.rglob("*.py"))]:
        digest.update(path.parent.name.encode() + path.read_bytes())
    return digest.digest()


def mark(submission: dict, materials: dict[str, dict], way) -> tuple[dict[str, Verdict], list[str]]:
    """The verdict on every blank, and what the TA should know of how its code behaved."""
    found = {name: blank["source"] for name, blank in submission["blanks"].items() if blank["source"]}
    jobs = {name: _job(materials[name], submission, source) for name, source in found.items()}
    outcomes = sandbox.run(jobs, way) if jobs else {}
    verdicts, notes = {}, []
    for name, material in materials.items():
        if name not in outcomes:
            verdicts[name] = Verdict(
                name, 0, material["points"], (Fault("This blank is not in the submission."),), True
            )
            continue
        verdicts[name] = verdict_of(material, outcomes[name])
        if outcomes[name].end != sandbox.DONE:
            notes.append(f"{material['title']}: {outcomes[name].end}.")
    return verdicts, notes


def verdict_of(material: dict, outcome: sandbox.Outcome) -> Verdict:
    """The verdict on what came out of the sandbox for one blank."""
    if outcome.end != sandbox.DONE:
        return Verdict(material["name"], 0, material["points"], (Fault(f"The code was stopped: {outcome.end}."),))
    return judge(material, outcome.observed, private=True)


def _job(material: dict, submission: dict, source: str) -> dict:
    """What the sandbox gets to know of a blank: code and arguments, no expected value."""
    return {
        "sources": [*submission["code"].get(material["notebook"], []), source],
        "functions": {
            function: {"watched": part["watched"], "cases": [{"arguments": c["arguments"]} for c in part["cases"]]}
            for function, part in material["functions"].items()
        },
    }


def twins(lab: Lab, results: list[dict], submissions: list[dict]) -> dict[str, list[str]]:
    """By student, a sentence for each blank whose code is no known mistake and is the same, letter for
    letter, as another student's: a common way to be wrong, or a common source."""
    known = {mistake.sentence for blank in blanks.of(lab).values() for mistake in blank.mistakes}
    alike = defaultdict(list)
    sources = {submission["student"]: submission["blanks"] for submission in submissions}
    for result in results:
        for name, found in result["blanks"].items():
            code = (sources[result["student"]][name]["source"] or "").strip()
            if found["points"] == 0 and code and STUB not in code and not known & set(found["sentences"]):
                alike[name, code].append(result["student"])
    notes = defaultdict(list)
    for (name, _), students in alike.items():
        for student in students if len(students) > 1 else []:
            others = ", ".join(other for other in students if other != student)
            notes[student].append(f"blank-{name}: the same unusual code as {others}.")
    return notes


COPY, HISTORY = "is byte for byte that of", "has most epochs of its history, to the last digit, from a record of"


def copies(folders: list[Path], own_seeds: bool = False) -> dict[str, list[str]]:
    """By student, a sentence on each report and record that is byte for byte another student's and, where students have
    their ``own_seeds``, on each that has most epochs of another's history; records that are the course's reference
    runs are findings already. How lines end does not count."""
    shipped = {_digest_of(path) for path in settings.REFERENCE.glob("*/*/*/record.json")}
    owners, epochs = defaultdict(dict), {}
    for folder in folders:
        for path in (*sorted(folder.glob("*.pdf")), *sorted(folder.glob("records/*/record.json"))):
            digest = _digest_of(path)
            if digest in shipped:
                continue
            place = path.relative_to(folder).as_posix()
            owners[digest][folder.name] = place
            epochs[folder.name, place] = _epochs(path) if own_seeds else set()
    found = defaultdict(dict)
    for places in owners.values():
        for student, place in places.items():
            if others := ", ".join(other for other in places if other != student):
                found[student][place] = f"{place} {COPY} {others}."
    for (student, place), others in _sharing_most(epochs).items():
        found[student].setdefault(place, f"{place} {HISTORY} {', '.join(others)}.")
    return {student: list(sentences.values()) for student, sentences in found.items()}


def _sharing_most(epochs: dict[tuple[str, str], set[bytes]]) -> dict[tuple[str, str], list[str]]:
    """By student and place, the other students who have more than half of the ``epochs`` of this record as well."""
    holders = defaultdict(set)
    for (student, _), own in epochs.items():
        for epoch in own:
            holders[epoch].add(student)
    found = {}
    for (student, place), own in epochs.items():
        shared = Counter(other for epoch in own for other in holders[epoch] - {student})
        if others := sorted(other for other, count in shared.items() if 2 * count > len(own)):
            found[student, place] = others
    return found


def _digest_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest()


def _epochs(path: Path) -> set[bytes]:
    """A digest of each epoch of a record's history; none of what has no history."""
    try:
        history = foreign.content(path)["history"] if path.suffix == ".json" else []
    except (ValueError, LookupError, TypeError):  # no record: said elsewhere
        return set()
    rows = history if isinstance(history, list) else []
    return {hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest() for row in rows}


def notes_page(results: list[dict], alike: dict[str, list[str]]) -> str:
    """The TA's list after grading, as Markdown: notes, what the records contradict, code that is alike."""
    lines = ["# Notes on the graded hand-ins", "", "✗: records and course disagree. A question to ask, not an answer."]
    for result in sorted(results, key=lambda result: (not result["refused"], result["student"])):
        doubts = [f"✗ {finding['cell']}: {finding['text']}" for finding in result["findings"] if not finding["well"]]
        notes = [*filter(None, [result["refused"]]), *result["notes"], *alike.get(result["student"], []), *doubts]
        if notes:
            lines += ["", f"## {result['student']}{' (refused)' * bool(result['refused'])}", ""]
            lines += [f"- {sentence}" for sentence in notes]
    return "\n".join(lines) + "\n"
