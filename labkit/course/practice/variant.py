"""Whose runs these are, in a class in which every student has a seed and images of their own.

The student's id gives the seed (``edition.Edition.seed_of``). It is kept beside the runs, where ``settings`` finds it:
later notebooks and the command line need not be told again.
"""

import json

from labkit import settings
from labkit.course import edition
from labkit.files import write_text
from labkit.records import Record
from labkit.settings import LabError, Variant

PLACEHOLDER = "your student id"  # what stands in a notebook as it is given out


def begin(student: str = PLACEHOLDER) -> str:
    """What the cell ``student`` of a released notebook calls: from here on the runs are ``student``'s, and which these are
    is said. As given out, the id that was written before counts; without any the notebook goes on with the seed that all
    have. The id, or ``PLACEHOLDER``. Raises ``LabError`` for an id that the class does not use."""
    runs, student = settings.runs_folder(), student.strip()
    before = settings.variant_in(runs)
    if student in ("", PLACEHOLDER):
        if before is None:
            print(
                f"○ No student id yet: write yours into this cell in place of {PLACEHOLDER!r} and run the notebook again. "
                "Until then it runs on the seed that all have, and nothing of that can be handed in."
            )
            return PLACEHOLDER
        student = before.student
    now = variant_of(student)
    if before and before.seed != now.seed:
        print(
            f"The runs so far are {before.student}'s, of seed {before.seed}: they stay in a folder of their own. "
            f"Is {student} the wrong id? Write the right one into this notebook."
        )
    if now != before:
        write_text(runs / settings.VARIANT, json.dumps(vars(now), ensure_ascii=False) + "\n")
    print(f"{student}: seed {now.seed}, for the weights, the batches and the images to train on and to choose on.")
    return student


def variant_of(student: str) -> Variant:
    """The variant of one student. Raises ``LabError`` for an id that the class does not use, and in a class without
    variants."""
    course = edition.current()
    if not course.variants:
        raise LabError("In this edition all students have the same seed: take the cell with begin(...) out.")
    return Variant(student, course.seed_of(course.known(student)))


def of_another_seed(student: str, kept: list[Record]) -> list[str]:
    """A line for each record that is of another seed than this student's, such as of the course's runs, from which a
    notebook went on while a blank was empty."""
    seed = edition.current().seed_of(student)
    return [
        f"{run.name} is of seed {run.config['seed']}, not of yours ({seed}): fill in what its notebook waits for, and run it again."
        for run in kept
        if seed is not None and run.config.get("seed", seed) != seed
    ]


def refuse_left_over() -> None:
    """Raises ``LabError`` where the runs here are of somebody's variant and this class has none: the seed of an earlier
    class would otherwise go on without a word."""
    runs = settings.runs_folder()
    found = None if edition.current().variants else settings.variant_in(runs)
    if found is not None:
        raise LabError(
            f"{runs / settings.VARIANT} gives the runs here seed {found.seed}, {found.student}'s in another class, and in this "
            "one all have the same seed: delete this file, restart the kernel and run the notebooks again."
        )


def refuse_another(student: str) -> None:
    """Raises ``LabError`` where the runs here are not those of this student's variant, or of another class's."""
    refuse_left_over()
    if not edition.current().variants:
        return
    runs = settings.runs_folder()
    found, needed = settings.variant_in(runs), variant_of(student)
    if found is None:
        raise LabError(
            f"Nobody's id is kept in {runs}: write yours into STUDENT at the top of the first notebook and run the "
            "notebooks again."
        )
    if found.seed != needed.seed:
        raise LabError(
            f"The runs in {runs} are {found.student}'s, of seed {found.seed}, and {student} has seed {needed.seed}: hand in as "
            f"{found.student}, or write {student} into STUDENT at the top of the first notebook and run the notebooks again."
        )
