"""Handing in: what is packed, what is refused, and what the receipt says."""

import datetime
import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import submissions as made

import labkit
from labkit import cli, models, records, settings
from labkit.course import answers, blanks, edition, labs
from labkit.course.practice import check, saved, submit
from labkit.course.release import released_notebooks
from labkit.settings import LabError
from labkit.view import report

LAB = labs.named(1)
STUDENT = "ab1234"
MADE = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
REPORT = made.report(STUDENT)
RUNS = ("sparsity-lambda0", "pruning-lambda0.005-50", "summary")


@pytest.fixture(scope="module")
def solved():
    """The five notebooks as a student with all blanks right would have saved them, as plain data."""
    notebooks = {}
    for name, notebook in released_notebooks(LAB).items():
        notebooks[name] = content = json.loads(json.dumps(notebook))
        for count, cell in enumerate((c for c in content["cells"] if c["cell_type"] == "code"), 1):
            cell["execution_count"] = count
            for given, written in (
                ("your student id", STUDENT),
                ("# Your code here.", "1"),
                ('"""\n\n"""', '"""Seen."""'),
            ):
                cell["source"] = cell["source"].replace(given, written)
            if cell["id"].startswith("blank-"):
                cell["source"] = answers.solution(cell["id"].removeprefix("blank-"))
    return notebooks


@pytest.fixture
def desk(solved, tmp_path, monkeypatch):
    """A student's folder, and ways to change it and to hand in. Blanks are tried only where a test asks for it."""
    return Desk(tmp_path, json.loads(json.dumps(solved)), monkeypatch)


class Desk:
    def __init__(self, folder, notebooks, monkeypatch):
        self.folder, self.notebooks, self.runs, self.out = folder, folder / "notebooks", folder / "runs", folder / "out"
        self.content, self.really_tried = notebooks, submit.visible_points
        monkeypatch.setattr(submit, "visible_points", lambda materials, cells: ({}, []))
        self.notebooks.mkdir()
        for name in notebooks:
            self.write(name)
        for run in RUNS:
            (self.runs / run).mkdir(parents=True)
            shutil.copy(settings.REFERENCE / "quick-shapes-seed0" / LAB.name / run / "record.json", self.runs / run)
        (self.runs / "report.pdf").write_bytes(REPORT)
        os.utime(self.runs / "report.pdf", (0, 0))  # the notebooks were saved after they had made it

    def path(self, name):
        return self.notebooks / f"{name}.ipynb"

    def write(self, name):
        self.path(name).write_text(json.dumps(self.content[name], ensure_ascii=False), encoding="utf-8")

    def code(self, name):
        return [cell for cell in self.content[name]["cells"] if cell["cell_type"] == "code"]

    def submit(self, *extra, student=STUDENT, lab=LAB):
        return submit.submit(student, lab, self.notebooks, self.runs, self.out, extra, made=MADE)

    def extra(self, name, content=b"text"):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def add(self, name, source, count=None):
        cell = {"cell_type": "code", "id": "added", "metadata": {}, "outputs": [], "source": source}
        self.content[name]["cells"].append(cell | {"execution_count": count})
        self.write(name)


def inside(receipt):
    with zipfile.ZipFile(receipt.path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_archive_holds_what_was_saved_and_a_receipt_of_it(desk, monkeypatch):
    monkeypatch.setattr(edition, "current", lambda: edition.Edition("lab_{student}", "[a-z0-9]+", "o/r", "v7"))
    (desk.runs / "sparsity-lambda0" / "weights.safetensors").write_bytes(b"weights stay here")
    shutil.copytree(desk.runs / "summary", desk.runs / "summary.replaced-1")
    desk.code("04_fine_tuning")[0]["source"] = "# Σ|γ| · 网络 · 🧪"
    desk.write("04_fine_tuning")
    receipt = desk.submit(desk.extra("idea.txt"))
    files = inside(receipt)
    said = json.loads(files.pop("receipt.json"))
    assert files == {
        **{f"notebooks/{name}.ipynb": desk.path(name).read_bytes() for name in LAB.notebooks},
        "report.pdf": REPORT,
        **{f"labkit/models/{p.name}": p.read_bytes() for p in Path(models.__file__).parent.glob("*.py")},
        **{f"records/{run}/record.json": (desk.runs / run / "record.json").read_bytes() for run in RUNS},
        "extra/idea.txt": b"text",
    }
    assert said == {
        "student": STUDENT,
        "edition": "v7",
        "lab": 1,
        "labkit": labkit.__version__,
        "made": "2024-05-06T07:08:09+00:00",
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    }
    assert receipt.path == (desk.out / "lab_ab1234.zip").resolve()
    assert receipt.sha256 == hashlib.sha256(receipt.path.read_bytes()).hexdigest()
    assert receipt.size == receipt.path.stat().st_size
    for part in (receipt.path, receipt.sha256, "idea.txt", "01_sparsity_training.ipynb", *RUNS):
        assert str(part) in str(receipt)


def test_the_notebooks_of_the_course_are_those_that_are_handed_in():
    assert tuple(released_notebooks(LAB)) == LAB.notebooks


def test_equal_content_gives_equal_bytes_and_other_content_others(desk):
    first = desk.submit().path.read_bytes()
    for path in desk.folder.rglob("*.ipynb"):
        os.utime(path, (1, 1))
    assert desk.submit().path.read_bytes() == first
    desk.code("05_report")[0]["source"] = "# changed"
    desk.write("05_report")
    assert desk.submit().path.read_bytes() != first


def test_a_zip_that_stood_there_is_replaced_and_nothing_else_is_left(desk, tree):
    desk.out.mkdir()
    (desk.out / f"pruning_lab1_{STUDENT}.zip").write_bytes(b"old")
    receipt = desk.submit()
    assert set(tree(desk.out)) == {receipt.path.relative_to(desk.out.resolve())}
    assert zipfile.is_zipfile(receipt.path)


def unrun(desk):
    desk.code("02_scaling_factors")[3]["execution_count"] = None


def unrun_last(desk):
    desk.code("05_report")[-2]["execution_count"] = None


def backwards(desk):
    desk.code("03_channel_pruning")[4]["execution_count"] = 2


def twice(desk):
    desk.code("03_channel_pruning")[4]["execution_count"] = 4


def boolean(desk):
    desk.code("01_sparsity_training")[0]["execution_count"] = True


RUN_WRONG = {
    unrun: ("02_scaling_factors.ipynb: code cell 4 (", "was not run", "Restart and run all"),
    unrun_last: ("05_report.ipynb: code cell ", "was not run", "save"),
    backwards: ("03_channel_pruning.ipynb: code cell 5 (", "was run before code cell 4 (", "Restart and run all"),
    twice: ("code cell 5 (", "was run before code cell 4 ("),
    boolean: ("01_sparsity_training.ipynb: code cell 1 (", "was not run"),
}


@pytest.mark.parametrize("change", RUN_WRONG, ids=lambda change: change.__name__)
def test_a_notebook_that_was_not_run_from_top_to_bottom_is_refused(desk, refused, change):
    if change is unrun_last:
        desk.content["05_report"]["cells"] = [
            c for c in desk.content["05_report"]["cells"] if "hand_in(" not in "".join(c["source"])
        ]
    change(desk)
    for name in desk.content:
        desk.write(name)
    with refused(*RUN_WRONG[change]):
        desk.submit()
    assert not desk.out.exists()


def test_the_cell_is_named_by_its_first_line(desk, refused):
    desk.add("02_scaling_factors", "\n" + 70 * "x" + "\nsecond", count=None)
    number = len(desk.code("02_scaling_factors"))
    with refused(f"code cell {number} ({60 * 'x'}…) was not run"):
        desk.submit()


def test_gaps_empty_cells_and_what_follows_the_hand_in_are_fine(desk):
    name = "05_report"
    for cell in desk.code(name):
        cell["execution_count"] *= 3
    desk.add(name, " \n")
    desk.add(name, 'from labkit.course import submit\nsubmit.hand_in("ab1234")', count=1)
    desk.add(name, "print('after')")
    assert desk.submit().path.exists()


@pytest.mark.parametrize("name", LAB.notebooks)
def test_a_missing_notebook_is_refused(desk, refused, name):
    desk.path(name).unlink()
    with refused(f"{name}.ipynb is not in", desk.notebooks, "--notebooks"):
        desk.submit()
    assert not desk.out.exists()


WITH_BONUS = replace(LAB, bonus_notebooks=("04_fine_tuning",))


def test_a_bonus_notebook_may_be_missing(desk):
    desk.path("04_fine_tuning").unlink()
    assert WITH_BONUS.last_notebook == "05_report"
    receipt = desk.submit(lab=WITH_BONUS)
    assert "notebooks/04_fine_tuning.ipynb" not in receipt.files and not any("04_" in note for note in receipt.notes)


def test_a_bonus_notebook_that_was_never_run_is_left_out_and_said(desk):
    for cell in desk.code("04_fine_tuning"):
        cell["execution_count"] = None
    desk.write("04_fine_tuning")
    receipt = desk.submit(lab=WITH_BONUS)
    assert "notebooks/04_fine_tuning.ipynb" not in receipt.files
    assert any("04_fine_tuning was never run and is left out" in note for note in receipt.notes)


def test_a_bonus_notebook_that_was_begun_is_held_to_the_rules_of_the_others(desk, refused):
    assert "notebooks/04_fine_tuning.ipynb" in desk.submit(lab=WITH_BONUS).files
    desk.code("04_fine_tuning")[3]["execution_count"] = None
    desk.write("04_fine_tuning")
    with refused("04_fine_tuning", "was not run"):
        desk.submit(lab=WITH_BONUS)


NO_NOTEBOOKS = {
    "empty": b"",
    "no JSON": b"<html>",
    "half": b'{"cells": [',
    "list": b"[]",
    "number": b"7",
    "no cells": b"{}",
    "cells of text": b'{"cells": ["x"]}',
    "code without outputs": b'{"cells": [{"cell_type": "code", "metadata": {}, "source": ""}]}',
    "source a number": b'{"cells": [{"cell_type": "code", "metadata": {}, "outputs": [], "source": 3}]}',
    "metadata null": b'{"cells": [{"cell_type": "code", "metadata": null, "outputs": [], "source": ""}]}',
    "not UTF-8": b'{"cells": "\xff\xfe\xfa"}',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("content", NO_NOTEBOOKS.values(), ids=NO_NOTEBOOKS)
def test_a_file_that_is_no_notebook_is_refused(desk, refused, content):
    desk.path("03_channel_pruning").write_bytes(content)
    with refused("03_channel_pruning.ipynb is no notebook", "save it again"):
        desk.submit()
    assert not desk.out.exists()


@pytest.mark.parametrize("student", ["", "ab", "../../etc", "ab 1234", "Ünal1", "ab1234\n", submit.PLACEHOLDER])
def test_a_student_id_of_another_form_is_refused(desk, refused, student):
    with refused("no student id", repr(student)):
        desk.submit(student=student)
    assert not desk.out.exists()


@pytest.mark.parametrize(("content", "word"), [(None, "missing"), (b"", "missing"), (b"<html>", "no PDF")])
def test_a_hand_in_without_a_report_is_refused(desk, refused, content, word):
    (desk.runs / "report.pdf").unlink()
    if content is not None:
        (desk.runs / "report.pdf").write_bytes(content)
    with refused("report.pdf is " + word, "run notebook 05_report"):
        desk.submit()
    assert not desk.out.exists()


def test_a_damaged_record_is_refused(desk, refused):
    (desk.runs / "summary" / "record.json").write_text("{")
    with refused("summary", "damaged", "run its notebook again"):
        desk.submit()
    assert not desk.out.exists()


@pytest.mark.parametrize("suffix", ".pt .PTH .safetensors .ckpt .h5 .onnx .npz .npy .bin .pkl .zip .tar .gz".split())
def test_weights_and_data_are_refused_by_name(desk, refused, suffix):
    with refused(f"thing{suffix}", "looks like", "leave it out"):
        desk.submit(desk.extra(f"thing{suffix}"))
    assert not desk.out.exists()


def link(desk):
    (desk.folder / "alias.txt").symlink_to(desk.extra("real.txt"))
    return [desk.folder / "alias.txt"]


def folder(desk):
    return [desk.runs]


def missing(desk):
    return [desk.folder / "nowhere.txt"]


def pipe(desk):
    os.mkfifo(desk.folder / "pipe.txt")
    return [desk.folder / "pipe.txt"]


def large(desk):
    return [desk.extra("film.txt", bytes(submit.MOST_EXTRA + 1))]


def same_name(desk):
    (desk.folder / "other").mkdir()
    return [desk.extra("a.txt"), desk.extra("other/a.txt")]


def odd_name(desk):
    return [desk.extra("back\\slash.txt")]


def surrogate_name(desk):
    return [desk.extra(os.fsdecode(b"\xff.txt"))]


def images(desk):
    return [desk.extra(f"photo{number}.JPG") for number in range(submit.MOST_IMAGES + 1)]


EXTRAS = {
    link: ("alias.txt", "is a link"),
    folder: ("runs", "is a folder"),
    missing: ("nowhere.txt", "does not exist"),
    pipe: ("pipe.txt", "no plain file"),
    large: ("film.txt", "10.0 MB"),
    same_name: ("a.txt", "rename it"),
    odd_name: ("slash.txt", "rename it"),
    surrogate_name: (".txt", "rename it"),
    images: ("100 extra images", "photo0.JPG"),
}


@pytest.mark.parametrize("make", EXTRAS, ids=lambda make: make.__name__)
def test_other_extra_files_that_are_refused(desk, refused, make):
    with refused(*EXTRAS[make]) as caught:
        desk.submit(*make(desk))
    str(caught.value).encode()  # can be printed
    assert not desk.out.exists()


def test_extra_files_at_the_limits_are_taken(desk, monkeypatch):
    monkeypatch.setattr(submit, "MOST_EXTRA", 4)
    files = inside(desk.submit(desk.extra("four.csv"), desk.extra("Grafik 1.png")))
    assert files["extra/four.csv"] == files["extra/Grafik 1.png"] == b"text"


def test_a_hand_in_that_is_too_large_is_refused_and_names_the_largest_file(desk, refused, monkeypatch):
    monkeypatch.setattr(submit, "MOST_ALL", 3 * submit.MEGABYTE)
    desk.code("01_sparsity_training")[0]["source"] = "#" * 3 * submit.MEGABYTE
    desk.write("01_sparsity_training")
    with refused("would have 3 MB", "at most 3", "notebooks/01_sparsity_training.ipynb"):
        desk.submit()
    assert not desk.out.exists()


def test_a_copy_in_drive_is_found_and_the_newest_is_taken(desk):
    original = desk.path("01_sparsity_training")
    original.rename(copy := desk.notebooks / "Copy of 01_sparsity_training.ipynb")
    older = shutil.copy(copy, desk.notebooks / "01_sparsity_training (1).ipynb")
    os.utime(older, (10, 10))
    os.utime(copy, (20, 20))
    (desk.notebooks / ".01_sparsity_training.ipynb").write_text("not a notebook")
    assert inside(desk.submit())["notebooks/01_sparsity_training.ipynb"] == copy.read_bytes()
    assert "Copy of 01_sparsity_training.ipynb was taken, the newest of 2 (not 01_spar" in str(desk.submit())
    os.utime(older, (30, 30))
    assert "01_sparsity_training (1).ipynb was taken" in str(desk.submit())


def test_errors_are_noted_but_those_of_checks_are_not(desk):
    error = {"output_type": "error", "ename": "AssertionError", "evalue": "", "traceback": []}
    check = next(cell for cell in desk.code("01_sparsity_training") if cell["id"] == "check-penalty")
    check["outputs"] = [error]
    desk.code("01_sparsity_training")[0]["outputs"] = [error | {"ename": "ImportError"}]
    desk.write("01_sparsity_training")
    (note,) = desk.submit().notes
    assert "01_sparsity_training.ipynb: code cell 1 (" in note and "ImportError" in note


def test_a_hand_in_without_trainings_says_so(desk):
    kept = records.load(desk.runs / "sparsity-lambda0")
    shutil.rmtree(kept.folder)
    other = replace(kept, kind="l2", config=kept.config | {"parent": None})  # trained, but nothing was made from it
    records.save(other.with_folder(desk.runs / "l2-lambda0.005"))
    (note,) = desk.submit().notes
    assert "no training of your own" in note


def cells_of(desk):
    return {name: saved.code_cells(desk.path(name).read_bytes(), desk.path(name)) for name in LAB.notebooks}


def test_the_receipt_shows_the_points_on_the_visible_examples(desk, monkeypatch):
    monkeypatch.setattr(submit, "visible_points", desk.really_tried)
    for cell in desk.code("03_channel_pruning"):
        if cell["id"] == "blank-kept-channels":
            cell["id"] = "x1"  # Colab renames cells: the function is found by its name
        if cell["id"] == "blank-linear-bias":
            cell["source"] = (
                "print('noise')\ndef copy_linear_bias(thin_linear, linear):\n    raise NotImplementedError\n"
            )
    desk.write("03_channel_pruning")
    receipt = desk.submit()
    text = str(receipt)
    assert receipt.notes == []
    assert [v.points for v in receipt.verdicts.values()] == [5, 5, 5, 5, 5, 5, 0]
    assert "Blank 3  5 of 5" in text and "Blank 7  0 of 5" in text
    assert "together 30 of 35. The grade is given on other inputs" in text


def test_an_exercise_counts_nowhere_in_the_receipt(desk, monkeypatch):
    monkeypatch.setattr(submit, "visible_points", desk.really_tried)
    (cell,) = (cell for cell in desk.code("03_channel_pruning") if cell["id"] == "exercise-guard")
    cell["source"] = "def guarded_mask(scores, ratio, at_least):\n    import os; os._exit(3)"
    desk.write("03_channel_pruning")
    receipt = desk.submit()
    assert list(receipt.verdicts) == list(blanks.of(LAB)) and receipt.notes == []
    assert "together 35 of 35." in str(receipt) and "Exercise" not in str(receipt)


def with_subgradient(desk, body):
    cell = next(cell for cell in desk.code("01_sparsity_training") if cell["id"] == "blank-subgradient")
    cell["source"] = f"def penalty_gradient(gamma, lam):\n    {body}\n"
    desk.write("01_sparsity_training")
    return cells_of(desk)


def test_a_blank_that_ends_the_check_costs_what_comes_after_it(desk):
    verdicts, (trouble,) = desk.really_tried(check.visible("lab1"), with_subgradient(desk, "import os; os._exit(3)"))
    assert "ended early (status 3); the archive is complete" in trouble
    assert verdicts.pop("penalty").right
    assert set(verdicts.values()) == {None}


def test_a_blank_that_never_ends_is_given_up(desk):
    verdicts, (trouble,) = desk.really_tried(
        check.visible("lab1"), with_subgradient(desk, "while True: pass"), seconds=1
    )
    assert "did not end within 1 seconds; the archive is complete" in trouble
    assert verdicts["subgradient"] is verdicts["linear-bias"] is None


def test_what_could_not_be_tried_is_said(desk, monkeypatch):
    monkeypatch.setattr(submit, "visible_points", lambda materials, cells: (dict.fromkeys(materials), ["it broke."]))
    text = str(desk.submit())
    assert "Note: it broke." in text and "Blank 1  could not be tried" in text and "together 0 of 35" in text


@pytest.fixture
def here(desk, monkeypatch):
    """The current folder is the student's, and its runs are this process's."""
    monkeypatch.chdir(desk.folder)
    shutil.rmtree(settings.current().folder, ignore_errors=True)
    shutil.copytree(desk.runs, settings.current().folder)
    return desk


@pytest.mark.parametrize("inside_notebooks", [False, True])
def test_hand_in_finds_notebooks_and_runs(here, monkeypatch, capsys, inside_notebooks):
    place = here.notebooks if inside_notebooks else here.folder
    monkeypatch.chdir(place)
    submit.hand_in(f" {STUDENT} ")
    assert "sha256" in capsys.readouterr().out
    assert (here.folder / f"pruning_lab1_{STUDENT}.zip").exists()


def test_hand_in_in_colab_takes_the_notebooks_in_drive(here, monkeypatch, capsys):
    drive = here.folder / "Colab Notebooks"
    shutil.copytree(here.notebooks, drive)
    monkeypatch.setattr(submit, "COLAB", drive)
    (drive / "02_scaling_factors.ipynb").rename(drive / "Kopie von 02_scaling_factors.ipynb")
    submit.hand_in(STUDENT)
    assert "Kopie von 02_scaling_factors.ipynb was taken" in capsys.readouterr().out


def test_a_last_notebook_that_was_not_saved_is_refused(desk, refused):
    desk.code("05_report")[0]["source"] = 'STUDENT = "xy9876"'
    desk.write("05_report")
    with refused("05_report.ipynb", "STUDENT = 'xy9876'", STUDENT, "save the notebook"):
        desk.submit()
    desk.code("05_report")[0]["source"] = f'STUDENT = "{STUDENT}"'
    desk.write("05_report")
    desk.submit()
    os.utime(desk.path("05_report"), (1, 1))
    os.utime(desk.runs / "report.pdf", (2, 2))
    with refused("05_report.ipynb", "saved before the report", "save the notebook now"):
        desk.submit()


@pytest.mark.parametrize(
    ("name", "word"), [(submit.PLACEHOLDER, "the id 'your student id'"), ("xy9876", "the id 'xy9876'"), ("", "no id")]
)
def test_a_report_that_does_not_carry_the_id_is_refused(desk, refused, name, word):
    """As when STUDENT is set, and the notebook saved, only after the report's cell ran."""
    made_before = desk.runs / "report.pdf"
    report.export(made_before, title="Network Slimming", student=name, sections=[])
    os.utime(made_before, (0, 0))
    with refused("report.pdf carries", word, repr(STUDENT), "STUDENT", "05_report", "Restart and run all"):
        desk.submit()
    assert not desk.out.exists()
    report.export(made_before, title="Network Slimming", student=STUDENT, sections=[])
    os.utime(made_before, (0, 0))
    assert desk.submit().path.exists()


@pytest.mark.parametrize("line", ['STUDENT = "your student id"', 'STUDENT="xy9876"', "STUDENT  =  'xy9876'"])
def test_a_notebook_that_names_nobody_or_somebody_else_is_refused(desk, refused, line):
    desk.code("05_report")[0]["source"] = line
    desk.write("05_report")
    with refused("05_report.ipynb", "says STUDENT = ", repr(STUDENT), "write your id there"):
        desk.submit()
    assert not desk.out.exists()


def test_what_is_not_written_and_what_does_not_fit_together_is_noted(desk):
    assert desk.submit().notes == []
    desk.code("05_report")[-2]["source"] = 'answers["half"] = f"""  \n """'
    desk.code("02_scaling_factors")[3]["source"] = "figure = None\n# Your code here."
    for name in ("05_report", "02_scaling_factors"):
        desk.write(name)
    record = desk.runs / "sparsity-lambda0.005" / "record.json"
    record.parent.mkdir()
    content = json.loads(
        (settings.REFERENCE / "quick-shapes-seed0" / LAB.name / "sparsity-lambda0.005" / "record.json").read_text()
    )
    content["config"]["seed"] = 5
    record.write_text(json.dumps(content))
    notes = desk.submit().notes
    assert "02_scaling_factors.ipynb: 1 answer is not written yet." in notes
    assert "05_report.ipynb: 1 answer is not written yet." in notes
    assert any("was made from another run than sparsity-lambda0.005 as it is now" in note for note in notes)


def test_hand_in_says_what_to_do_instead_of_raising(here, capsys):
    submit.hand_in(submit.PLACEHOLDER)
    assert "write your id into STUDENT" in capsys.readouterr().out
    here.path("02_scaling_factors").unlink()
    submit.hand_in(STUDENT)
    assert capsys.readouterr().out.startswith("Not handed in. 02_scaling_factors.ipynb is not in ")
    assert not list(here.folder.glob("*.zip"))


def test_from_here_takes_folders_that_are_given(here):
    elsewhere = here.folder / "elsewhere"
    here.notebooks.rename(elsewhere)
    with pytest.raises(LabError, match="01_sparsity_training.ipynb is not in"):
        submit.from_here(STUDENT, LAB)
    receipt = submit.from_here(STUDENT, LAB, (here.extra("a.txt"),), elsewhere, here.folder / "post")
    assert receipt.path.parent == (here.folder / "post").resolve() and "extra/a.txt" in receipt.files


def test_the_command_line_hands_in(here, capsys):
    assert cli.main(["submit", STUDENT, str(here.extra("a.txt")), "--out", "post"]) == 0
    assert "a.txt" in capsys.readouterr().out
    assert (here.folder / "post" / f"pruning_lab1_{STUDENT}.zip").exists()
    assert cli.main(["submit", "?", "--notebooks", "notebooks"]) == 1
    assert "no student id" in capsys.readouterr().err


def test_the_command_line_asks_for_the_student_alone(capsys):
    with pytest.raises(SystemExit):
        cli.main(["submit"])
    assert "required: STUDENT_ID\n" in capsys.readouterr().err


def test_a_lab_that_does_not_exist_cannot_be_handed_in(here, capsys):
    assert cli.main(["submit", STUDENT, "--lab", "77"]) == 1
    assert "There is no lab 77: choose one of 1" in capsys.readouterr().err
    submit.hand_in(STUDENT, lab=77)
    assert "Not handed in. There is no lab 77" in capsys.readouterr().out
