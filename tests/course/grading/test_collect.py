"""Whatever is handed in ends in one form, and every guess on the way is written down."""

import io
import json
import os
import stat
import struct
import tarfile
import zipfile
from dataclasses import replace

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from submissions import (
    NOTHING,
    PDF,
    RECORD,
    added,
    cell_of,
    code,
    colab,
    deleted,
    duplicated,
    edited,
    edited_check,
    files,
    filled,
    large_outputs,
    report,
    run,
    submission,
    without_id,
    without_metadata,
    zipped,
)

from labkit.course import blanks, labs, release
from labkit.course.answers import solution
from labkit.course.edition import Edition
from labkit.course.grading import archives
from labkit.course.grading import collect as collecting
from labkit.course.grading.archives import Member
from labkit.course.grading.repair import repair

LAB = labs.named(1)
BLANKS = blanks.of(LAB)
EDITION = Edition("pruning_lab1_{student}", "[A-Za-z0-9]{4,16}")
STUDENT = "b1234567"
ARCHIVE = f"pruning_lab1_{STUDENT}.zip"
COUNT = sum(cell.cell_type == "code" for cell in release.released_notebooks(LAB)["01_sparsity_training"].cells)
FIRST, THIRD, LAST = "01_sparsity_training", "03_channel_pruning", "05_report"


@pytest.fixture(scope="session")
def released():
    return release.released_notebooks(LAB)


@pytest.fixture
def collected(tmp_path, monkeypatch, released):
    """``collected({path: content})`` -> what was collected from such an export, by student."""
    monkeypatch.setattr(collecting, "released_notebooks", lambda lab, edition: released)

    def collected(export: dict, edition=EDITION) -> dict[str, dict]:
        for path, content in export.items():
            target = tmp_path / "export" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        found = collecting.collect(tmp_path / "export", tmp_path, edition, LAB)
        for one in found:
            folder = tmp_path / "collected" / LAB.name / one["student"]
            assert json.loads((folder / "submission.json").read_text(encoding="utf-8")) == one
            in_order({p.stem: nbformat.read(p, 4) for p in sorted((folder / "notebooks").iterdir())}, released)
        return {one["student"]: one for one in found}

    return collected


def in_order(notebooks, released):
    """Five valid notebooks, each grade_id once, on the cell of that id, with the released metadata."""
    assert list(notebooks) == list(released)
    for name, notebook in notebooks.items():
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        expected = {cell.id: cell.metadata.nbgrader for cell in released[name].cells if "nbgrader" in cell.metadata}
        found = [(c.metadata.nbgrader.grade_id, c) for c in notebook.cells if "nbgrader" in c.metadata]
        assert sorted(grade_id for grade_id, _ in found) == sorted(expected)
        assert {cell.id: cell.metadata.nbgrader for _, cell in found} == expected
        assert all(cell.id == grade_id for grade_id, cell in found)


@pytest.fixture
def repaired(released):
    """``repaired(*changes, bodies)`` -> a hand-in's notebooks, spoilt by ``changes`` and repaired."""

    def repaired(*changes, bodies=(), names=None):
        notebooks = run(filled(released, dict(bodies)))
        for change in changes:
            change(notebooks)
        contents = files(STUDENT, notebooks, names=names)
        result = repair([Member(path, "", data) for path, data in contents.items()], released, BLANKS)
        in_order(result.notebooks, released)
        return result

    return repaired


def said(notes, *parts):
    """Exactly one of the notes holds all the parts."""
    return sum(all(part in note for part in parts) for note in notes) == 1


def place(notebook, name):
    return [cell.id for cell in notebook.cells].index(name)


# A whole hand-in


def test_a_clean_hand_in_has_everything_and_no_notes(collected, released, tmp_path):
    content = submission(STUDENT, {}, released)
    (found,) = collected({ARCHIVE: content}).values()
    assert found["notes"] == [] and found["refused"] is None
    assert (found["student"], found["archive"]) == (STUDENT, ARCHIVE)
    assert found["sha256"] == archives.hashlib.sha256(content).hexdigest()
    assert list(found["blanks"]) == list(BLANKS)
    for name, blank in found["blanks"].items():
        assert blank == {"source": solution(name).strip(), "found": "id"}
    assert list(found["code"]) == list(released)
    assert len(found["code"][FIRST]) == sum(cell.cell_type == "code" for cell in released[FIRST].cells)
    assert found["records"] == ["sparsity-lambda0"] and found["report"] is True
    folder = tmp_path / "collected" / LAB.name / STUDENT
    assert (folder / "report.pdf").read_bytes() == PDF
    assert (folder / "records/sparsity-lambda0/record.json").read_bytes() == RECORD
    assert sorted(p.name for p in folder.iterdir()) == ["notebooks", "records", "report.pdf", "submission.json"]
    handed = run(filled(released, {}))
    for name, notebook in handed.items():
        assert nbformat.read(folder / f"notebooks/{name}.ipynb", 4).cells == notebook.cells
    assert "1 hand-ins: 0 refused, 0 with notes, 1 without notes." in (tmp_path / "collected/lab1/notes.md").read_text()


def test_an_empty_hand_in_is_complete_too(repaired, released):
    result = repaired(bodies=NOTHING)
    assert result.notes == []
    assert all(blank["found"] == "id" for blank in result.blanks.values())
    assert result.blanks["subgradient"]["source"] == cell_of(released, "blank-subgradient").source


def test_a_mistake_comes_through_as_it_is(repaired):
    result = repaired(bodies={"kept_channels": "return mask"})
    assert result.blanks["kept-channels"]["source"] == "def kept_channels(mask):\n    return mask"
    assert result.notes == []


def test_any_text_in_a_blank_comes_through(repaired):
    hostile = "import os\nos.system('x')\n\x00`</script>"
    result = repaired(edited("blank-linear-bias", hostile))
    assert result.blanks["linear-bias"] == {"source": hostile, "found": "id"}
    assert said(result.notes, "blank-linear-bias", "does not define copy_linear_bias")


def test_collecting_again_changes_no_byte_and_forgets_what_is_gone(collected, released, tmp_path, tree):
    export = {ARCHIVE: submission(STUDENT, {}, released), "pruning_lab1_b7654321.zip": b"no zip"}
    collected(export)
    before, written = (
        tree(tmp_path / "collected"),
        os.stat(tmp_path / "collected" / LAB.name / STUDENT / "report.pdf").st_mtime_ns,
    )
    collected(export)
    assert tree(tmp_path / "collected") == before
    assert os.stat(tmp_path / "collected" / LAB.name / STUDENT / "report.pdf").st_mtime_ns == written
    collected({ARCHIVE: submission(STUDENT, {}, released, names={"report.pdf": None})})
    assert not (tmp_path / "collected" / LAB.name / STUDENT / "report.pdf").exists()


def test_notes_are_one_page_refused_first_and_quote_nothing_that_is_formatted(collected, released, tmp_path):
    name = "notebooks/`<script>\n# 01_sparsity_training.ipynb"
    clean, odd = submission(STUDENT, {}, released), submission("aaaa", {}, released, extra={name: b"{}"})
    collected({ARCHIVE: clean, "pruning_lab1_aaaa.zip": odd, "pruning_lab1_zzzz.zip": b"no zip"})
    page = (tmp_path / "collected/lab1/notes.md").read_text()
    assert "3 hand-ins: 1 refused, 1 with notes, 1 without notes." in page
    assert page.index("## zzzz (refused)") < page.index("## aaaa") and STUDENT not in page
    assert "- `notebooks/?<script>?# 01_sparsity_training.ipynb` is no notebook" in page


def test_an_export_without_hand_ins_is_refused(tmp_path, refused):
    with refused("nowhere", "does not exist"):
        collecting.collect(tmp_path / "nowhere", tmp_path, EDITION, LAB)
    (tmp_path / "letter.txt").write_text("hello")
    with refused("class folder itself"):
        collecting.collect(tmp_path, tmp_path, EDITION, LAB)
    with refused("no archive"):
        collecting.collect(tmp_path, tmp_path / "course", EDITION, LAB)


# Whose it is, and where it lies in the export


@pytest.mark.parametrize(
    "path",
    [
        ARCHIVE,
        f"pruning_lab1_{STUDENT} (1).zip",
        f"pruning_lab1_{STUDENT}-2.zip",
        f"Copy of pruning_lab1_{STUDENT}.zip",
        f"lastnamefirst_12345_67890_pruning_lab1_{STUDENT}-1.zip",
        f"lastnamefirst_LATE_12345_67890_pruning_lab1_{STUDENT}.zip",
        f"Lastname Firstname_12345_assignsubmission_file_/pruning_lab1_{STUDENT}.zip",
        f"Lab 1/Lastname Firstname_12345_assignsubmission_file_/pruning_lab1_{STUDENT}.zip",
        f"Firstname Lastname/pruning_lab1_{STUDENT}.ZIP",
    ],
)
def test_the_student_is_known_from_the_name(collected, released, path):
    (found,) = collected({path: submission(STUDENT, {}, released)}).values()
    assert (found["student"], found["archive"], found["notes"]) == (STUDENT, path, [])


@pytest.mark.parametrize("kind", ["archives", "folders", "Moodle", "loose"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_exports_of_every_shape(collected, released, tmp_path, kind, as_zip):
    students = ("aaaa1111", "bbbb2222")
    hand_ins = {student: submission(student, {}, released) for student in students}
    if kind == "archives":
        export = {f"pruning_lab1_{student}.zip": content for student, content in hand_ins.items()}
    elif kind == "folders":
        export = {f"Class/Jane {student}/work.zip": content for student, content in hand_ins.items()}
    elif kind == "Moodle":
        export = {f"Doe J{s}_12_assignsubmission_file_/lab.zip": content for s, content in hand_ins.items()}
    else:
        export = {}
        for student, content in hand_ins.items():
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                export |= {f"Jane {student}/{name}": archive.read(name) for name in archive.namelist()}
    found = collected({"class.zip": zipped(export)} if as_zip else export)
    assert sorted(found) == list(students)
    for submitted in found.values():
        assert submitted["archive"].startswith("class.zip/") == as_zip
        assert submitted["blanks"]["penalty"]["found"] == "id" and submitted["report"]
        assert [n for n in submitted["notes"] if "holds no student id; the receipt's is taken" not in n] == []
        assert len(submitted["notes"]) == (kind != "archives")
    if as_zip:
        again = collecting.collect(tmp_path / "export/class.zip", tmp_path, EDITION, LAB)
        assert {s["student"]: s for s in again} == found


def test_people_without_ids_are_told_apart_by_their_folders(collected, released):
    hand_in = submission("", {}, released, receipt=False)
    found = collected({"Class/Ann/lab.zip": hand_in, "Class/Bob/lab.zip": hand_in})
    assert sorted(found) == ["Ann", "Bob"] and found["Ann"]["archive"] == "Class/Ann/lab.zip"


def test_a_name_that_only_begins_like_an_id_is_none(collected, released):
    (found,) = collected({"pruning_lab1_" + 20 * "b" + ".zip": submission(STUDENT, {}, released)}).values()
    assert found["student"] == STUDENT and said(found["notes"], "holds no student id")


def test_who_uploaded_is_kept_for_the_way_back(collected, released):
    content = submission(STUDENT, {}, released)
    (found,) = collected({f"LATE_anon_aB3dE_67890_{ARCHIVE}": content}).values()
    anonymous = {"system": "canvas", "id": "anon_aB3dE", "name": "", "path": f"LATE_anon_aB3dE_67890_{ARCHIVE}"}
    assert found["uploaders"] == [anonymous] and found["notes"] == []
    (found,) = collected({f"Default group_assignsubmission_file/z {ARCHIVE}": content}).values()
    assert [one["name"] for one in found["uploaders"]] == ["Default group", ""] and found["student"] == STUDENT
    (found,) = collected({f"Ann/{ARCHIVE[:-4]} (9).zip": content}).values()
    assert len(found["uploaders"]) == 2


def test_a_single_hand_in_is_not_taken_for_a_class(collected, released):
    found = collected({"mine.zip": submission(STUDENT, {}, released, extra={"old/01_sparsity_training.ipynb": b"{}"})})
    assert list(found) == [STUDENT] and found[STUDENT]["archive"] == "mine.zip"


def test_canvas_renames_loose_notebooks(collected, released):
    notebooks = files(STUDENT, run(filled(released, {})), receipt=False)
    export = {f"doejane_12_{n}_{path.split('/')[-1]}": data for n, (path, data) in enumerate(notebooks.items())}
    (found,) = collected(export).values()
    assert found["student"] == "doejane_12" and found["report"]
    assert all(blank["found"] == "id" for blank in found["blanks"].values())
    assert len(found["notes"]) == 2 and said(found["notes"], "no receipt") and said(found["notes"], "No student id")


def test_without_an_id_the_receipt_counts_then_the_upload_s_name(collected, released):
    export = {
        "one.zip": submission("cccc3333", {}, released),
        "Müller Jürgen_77_assignsubmission_file_/two.zip": submission("", {}, released, receipt=False),
    }
    found = collected(export)
    assert sorted(found) == ["Müller-Jürgen_77", "cccc3333"]
    assert said(found["cccc3333"]["notes"], "`one.zip` holds no student id", "receipt")
    assert said(found["Müller-Jürgen_77"]["notes"], "No student id was found", "Müller-Jürgen_77")


def test_name_and_receipt_that_disagree_are_noted(collected, released):
    (found,) = collected({ARCHIVE: submission("dddd4444", {}, released)}).values()
    assert found["student"] == STUDENT
    assert found["notes"] == ["The name says `b1234567`, the receipt says `dddd4444`; the name counts."]


@pytest.mark.parametrize("student", ["../../etc", "", "a\nb", "/etc/passwd", "a" * 300, "..", "notes.md", "x\x00y"])
def test_an_id_that_is_no_name_never_becomes_a_path(collected, released, tmp_path, student):
    lax = Edition("pruning_lab1_{student}", "(?s:.*)")
    (found,) = collected({"Ève Ω_5_assignsubmission_file_/x.zip": submission(student, {}, released)}, lax).values()
    assert found["student"] == "Ève-Ω_5"
    assert said(found["notes"], "The receipt's student id", "is none of this class")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["collected", "export"]
    assert sorted(p.name for p in (tmp_path / "collected" / LAB.name).iterdir()) == ["notes.md", "Ève-Ω_5"]


def test_a_file_named_like_a_path_never_becomes_one(collected, released, tmp_path):
    lax = Edition("pruning_lab1_{student}", ".*")
    (found,) = collected({"pruning_lab1_...zip": submission("..", {}, released)}, lax).values()
    assert found["student"] == "pruning_lab1" and (tmp_path / "collected/lab1/pruning_lab1/submission.json").exists()


def test_names_in_other_alphabets(collected, released):
    unicode = Edition("lab_{student}", r"\w+")
    decomposed = "lab_Zu\u0308rich.zip"
    (found,) = collected({decomposed: submission("Zürich", {}, released)}, unicode).values()
    assert (found["student"], found["notes"]) == ("Zürich", [])


@pytest.mark.parametrize(
    ("paths", "made", "counts", "why"),
    [
        ((ARCHIVE, f"pruning_lab1_{STUDENT} (1).zip"), ("2030-01-02", "2030-01-01"), 0, "receipt is the latest"),
        ((ARCHIVE, f"pruning_lab1_{STUDENT} (1).zip"), (None, "2030-01-01"), 1, "highest number"),
        ((f"pruning_lab1_{STUDENT}-2.zip", ARCHIVE), ("garbage", "2030-01-01"), 0, "highest number"),
        ((f"a/{ARCHIVE}", f"b/{ARCHIVE}"), (None, None), 0, "newest file"),
        ((ARCHIVE, f"pruning_lab1_{STUDENT}-1.zip"), ("2030-01-01", "damage"), 0, "only one that can be read"),
    ],
)
def test_of_two_archives_the_later_counts(collected, released, tmp_path, paths, made, counts, why):
    for n, (path, time) in enumerate(zip(paths, made)):
        target = tmp_path / "export" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        content = submission(STUDENT, {}, released, receipt=time is not None, made=time)
        target.write_bytes(b"PK damaged" if time == "damage" else content)
        os.utime(target, (2e9 - n, 2e9 - n))
    (found,) = collected({}).values()
    assert found["archive"] == paths[counts]
    assert said(found["notes"], "2 hand-ins", f"`{paths[counts]}` counts", why, f"left out: `{paths[1 - counts]}`")
    assert said(found["notes"], "different people") == ("/" in paths[0])


# Archives


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def with_entry(released, info, content=b"x") -> bytes:
    buffer = io.BytesIO(submission(STUDENT, {}, released))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode="w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_entry(name: str, kind=tarfile.REGTYPE, link="") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def lying_header(released) -> bytes:
    """The directory and the header promise one byte, the data holds a million."""
    content = bytearray(with_entry(released, entry("lie.txt"), bytes(10**6)))
    for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = content.rindex(signature)
        content[start + at : start + at + 4] = struct.pack("<I", 1)
    return bytes(content)


def encrypted(released) -> bytes:
    content = bytearray(submission(STUDENT, {}, released))
    start = content.rindex(b"PK\x01\x02")
    content[start + 8] |= 1
    return bytes(content)


HOSTILE = {
    "leads out of the archive": lambda r: with_entry(r, entry("../../evil.ipynb")),
    "`/etc/passwd`": lambda r: with_entry(r, entry("/etc/passwd")),
    "`..?evil/../../x`": lambda r: with_entry(r, entry("..\nevil/../../x")),
    "`..\\evil.ipynb`": lambda r: with_entry(r, entry("..\\evil.ipynb")),
    "`C:\\evil.ipynb`": lambda r: with_entry(r, entry("C:\\evil.ipynb")),
    "a link or a device": lambda r: with_entry(r, entry("link.ipynb", stat.S_IFLNK | 0o777), b"/etc/passwd"),
    "device and no": lambda r: with_entry(r, entry("null", stat.S_IFCHR | 0o666)),
    "is encrypted": encrypted,
    "damaged": lambda r: submission(STUDENT, {}, r)[:-200],
    "`BadZipFile": lying_header,
    "compressed by method 14": lambda r: _with_method(r, 14),
    "is neither a zip nor a tar.gz archive": lambda r: b"Rar!\x1a\x07\x01\x00" + bytes(100),
    "is empty": lambda r: b"",
    "which is a link": lambda r: tarred((tar_entry("a.ipynb", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "no file": lambda r: tarred((tar_entry("a.ipynb", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "or a device and": lambda r: tarred((tar_entry("a", tarfile.CHRTYPE), b"")),
    "`../a.ipynb`": lambda r: tarred((tar_entry("../a.ipynb"), b"{}")),
    "EOFError": lambda r: tarred((tar_entry("a.ipynb"), os.urandom(5000)))[:-1000],
    "`inner.zip`, which is damaged": lambda r: zipped({"inner.zip": b"PK" + bytes(50)}),
}


def _with_method(released, method: int) -> bytes:
    content = bytearray(submission(STUDENT, {}, released))
    start = content.rindex(b"PK\x01\x02")
    content[start + 10] = method
    return bytes(content)


@pytest.mark.parametrize("sentence", HOSTILE)
def test_archives_that_are_refused(collected, released, tmp_path, sentence):
    (found,) = collected({ARCHIVE: HOSTILE[sentence](released)}).values()
    assert sentence in found["refused"] and found["refused"].endswith("ask for the hand-in again.")
    assert (found["student"], found["records"], found["report"]) == (STUDENT, [], False)
    assert all(blank == {"source": None, "found": "missing"} for blank in found["blanks"].values())
    assert set(map(len, found["code"].values())) == {0}
    folder = tmp_path / "collected" / LAB.name / STUDENT / "notebooks"
    for name, notebook in released.items():
        assert nbformat.read(folder / f"{name}.ipynb", 4).cells == notebook.cells
    assert sorted(p.name for p in tmp_path.iterdir()) == ["collected", "export"]


@pytest.mark.parametrize("packed", [zipped, lambda c: tarred(*((tar_entry(n), d) for n, d in c.items()))])
@pytest.mark.parametrize(
    ("limit", "value", "contents", "sentence"),
    [
        ("MOST_BYTES", 3_000_000, {"a.txt": bytes(2_000_000), "b.txt": bytes(2_000_000)}, "more than 3 MB"),
        ("MOST_BYTES_A_FILE", 1_000_000, {"notebooks/a.ipynb": bytes(1_100_000)}, "larger than 1 MB"),
        ("MOST_ENTRIES", 10, {f"{n}.txt": b"" for n in range(11)}, "more than 10 files"),
        ("MOST_ENTRIES", 10, {f"{n}.txt": b"" for n in range(50)}, "more than 10 files"),
    ],
)
def test_bombs_are_refused_while_they_are_read(monkeypatch, packed, limit, value, contents, sentence):
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(archives.Unreadable, match=sentence):
        archives.read_archive(io.BytesIO(packed(contents)))
    monkeypatch.undo()
    assert len(archives.read_archive(io.BytesIO(packed(contents)))[0]) == len(contents)


def test_what_is_skipped_in_a_tar_is_unpacked_all_the_same_and_counts(monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 1_000_000)
    with pytest.raises(archives.Unreadable, match="unpacks to more than 1 MB"):
        archives.read_archive(io.BytesIO(tarred((tar_entry("weights.pt"), bytes(1_100_000)))))


def test_a_directory_of_millions_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(archives, "MOST_ENTRIES", 10)
    content = zipped({f"{n}.txt": b"" for n in range(50)})
    monkeypatch.delattr(zipfile, "ZipFile")
    with pytest.raises(archives.Unreadable, match="more than 10 files"):
        archives.read_archive(io.BytesIO(content))


def test_a_bomb_inside_an_archive_inside_the_archive_counts_too(monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 1_000_000)
    with pytest.raises(archives.Unreadable, match="`b.zip`, which unpacks to more than 1 MB"):
        archives.read_archive(io.BytesIO(zipped({"b.zip": zipped({"a.txt": bytes(1_100_000)})})))


def test_archives_in_other_forms(collected, released):
    contents = files("aaaa1111", run(filled(released, {})))
    inside = {f"pruning lab/{path}": data for path, data in contents.items()}
    found = collected(
        {
            "pruning_lab1_aaaa1111.tar.gz": tarred(*((tar_entry(name), data) for name, data in contents.items())),
            "pruning_lab1_bbbb2222.zip": zipped({"hand-in.zip": submission("bbbb2222", {}, released)}),
            "pruning_lab1_cccc3333.tar": tarred(*((tar_entry(n), d) for n, d in inside.items()), mode="w"),
            "pruning_lab1_dddd4444.zip": zipped({"a.zip": zipped({"b.zip": submission("dddd4444", {}, released)})}),
            "pruning_lab1_eeee5555.ipynb": contents[f"notebooks/{FIRST}.ipynb"],
        }
    )
    assert found["aaaa1111"]["notes"] == [] and found["aaaa1111"]["report"]
    assert found["bbbb2222"]["notes"] == ["The hand-in lies in an archive inside the archive: `hand-in.zip`."]
    assert found["cccc3333"]["notes"] == ["The name says `cccc3333`, the receipt says `aaaa1111`; the name counts."]
    assert said(found["dddd4444"]["notes"], "were left there", "`b.zip`")
    assert found["dddd4444"]["blanks"]["penalty"]["found"] == "missing"
    assert said(
        found["eeee5555"]["notes"], "`pruning_lab1_eeee5555.ipynb` is taken for 01_sparsity_training, by its content"
    )
    assert found["eeee5555"]["blanks"]["penalty"]["found"] == "id"


def test_weights_and_data_stay_in_the_archive(collected, released, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 5_000_000)
    heavy = {f"records/x/weights{end}": bytes(2_000_000) for end in (".safetensors", ".pt", ".npz", ".ckpt")}
    (found,) = collected({ARCHIVE: submission(STUDENT, {}, released, extra=heavy)}).values()
    assert len(found["notes"]) == 1 and "weights.safetensors" in found["notes"][0]
    assert found["refused"] is None and not list((tmp_path / "collected").rglob("weights*"))


def test_what_the_system_puts_into_archives_is_ignored(collected, released):
    junk = {
        f"__MACOSX/notebooks/._{FIRST}.ipynb": b"\x00",
        f"notebooks/.ipynb_checkpoints/{FIRST}-checkpoint.ipynb": b"{}",
    }
    (found,) = collected({ARCHIVE: submission(STUDENT, {}, released, after=junk | {".DS_Store": b""})}).values()
    assert found["notes"] == []


def test_receipts_are_compared_with_the_files(collected, released):
    changed = files(STUDENT, run(filled(released, {"kept_channels": "return 1"})))[f"notebooks/{THIRD}.ipynb"]
    after = {f"notebooks/{THIRD}.ipynb": changed}
    export = {
        ARCHIVE: submission(STUDENT, {}, released, after=after),
        "pruning_lab1_gone.zip": submission("gone", {}, released, extra={"extra/a": b""}).replace(
            b"extra/a", b"extra/b"
        ),
        "pruning_lab1_none.zip": submission("none", {}, released, receipt=False),
        "pruning_lab1_odd1.zip": submission("odd1", {}, released, after={"receipt.json": b'{"files": 3}'}),
    }
    found = collected(export)
    assert found[STUDENT]["notes"] == [f"Changed after the receipt was written: `notebooks/{THIRD}.ipynb`."]
    assert found["none"]["notes"] == ["It holds no receipt.json: it was not made by labkit submit."]
    assert found["odd1"]["notes"] == ["`receipt.json` is no receipt."]
    assert found["gone"]["notes"] == [
        "On the receipt, but not there: `extra/a`.",
        "Extra files are in the archive only: `extra/b`.",
    ]


def test_records_and_reports_that_are_odd(collected, released, tmp_path):
    extra = {
        "records/a b/record.json": RECORD,
        "records/good/record.json": RECORD,
        "copy/records/good/record.json": RECORD,
        "records/damaged/record.json": b"{",
        "records/list/record.json": b"[]",
        "plots.pdf": PDF,
    }
    one = submission(STUDENT, {}, released, extra=extra)
    two = submission("aaaa", {}, released, extra={"essay.pdf": PDF}, names={"report.pdf": None})
    three = submission("cccc", {}, released, extra={"report.pdf": b"<html>"})
    found = collected({ARCHIVE: one, "pruning_lab1_aaaa.zip": two, "pruning_lab1_cccc.zip": three})
    assert found[STUDENT]["records"] == ["good", "sparsity-lambda0"] and found[STUDENT]["report"]
    assert sorted(p.name for p in (tmp_path / "collected" / LAB.name / STUDENT / "records").iterdir()) == [
        "good",
        "sparsity-lambda0",
    ]
    for path in ("records/a b/", "copy/records/good/", "records/damaged/", "records/list/"):
        assert said(found[STUDENT]["notes"], f"`{path}record.json`", "left out")
    assert len(found[STUDENT]["notes"]) == 4
    assert found["aaaa"]["report"] and said(found["aaaa"]["notes"], "`essay.pdf` is taken for the report")
    assert not found["cccc"]["report"] and said(found["cccc"]["notes"], "`report.pdf` is no PDF")


PERSONAL, PERSONAL_NAME = replace(LAB, report="{archive}.pdf"), f"pruning_lab1_{STUDENT}.pdf"


@pytest.mark.parametrize(
    ("path", "content", "kept", "words"),
    [
        (PERSONAL_NAME, report(STUDENT), True, ()),
        (f"inside/{PERSONAL_NAME}", report(STUDENT), True, ()),
        ("report.pdf", report(STUDENT), False, ("No PDF is called", "`report.pdf`, left in the archive")),
        ("pruning_lab1_cd5678.pdf", report(STUDENT), False, ("No PDF is called", "`pruning_lab1_cd5678.pdf`")),
        (f"extra/{PERSONAL_NAME}", report(STUDENT), False, ("under another name no report is graded.",)),
        (PERSONAL_NAME, report("cd5678"), True, ("carries the id `cd5678`",)),
        (PERSONAL_NAME, report("`\u202e"), True, ("carries the id `??`",)),
        (PERSONAL_NAME, b"<html>", False, ("is no PDF; it is left out",)),
    ],
)
def test_a_report_with_the_students_id_in_its_name_counts_under_no_other(path, content, kept, words):
    assert EDITION.report_name(STUDENT, PERSONAL) == PERSONAL_NAME
    found, notes = collecting.report_of((Member(path, "", content),), PERSONAL_NAME, STUDENT, PERSONAL)
    assert found == ({PERSONAL_NAME: content} if kept else {})
    assert len(notes) == bool(words) and all(word in notes[0] for word in words)


def test_of_two_reports_the_one_with_the_right_name_counts():
    members = (Member("a/report.pdf", "", report("cd5678")), Member(f"b/{PERSONAL_NAME}", "", report(STUDENT)))
    found, notes = collecting.report_of(members, PERSONAL_NAME, STUDENT, PERSONAL)
    assert found == {PERSONAL_NAME: report(STUDENT)} and notes == []


# Which notebook a file is


@pytest.mark.parametrize(
    ("path", "how"),
    [
        (f"notebooks/Copy of {FIRST}.ipynb", "name"),
        (f"notebooks/{FIRST} (1).ipynb", "name"),
        ("notebooks/01-Sparsity Training-final.ipynb", "name"),
        ("lab1.ipynb", "content"),
        ("notebooks/Ünïcode ü.ipynb", "content"),
        (f"notebooks/{THIRD}x/Untitled.ipynb", "content"),
        (f"deep/in/folders/{FIRST}.ipynb", None),
    ],
)
def test_renamed_notebooks_are_found(repaired, path, how):
    result = repaired(names={f"notebooks/{FIRST}.ipynb": path})
    assert result.notes == ([f"`{path}` is taken for {FIRST}, by its {how}."] if how else [])
    assert result.blanks["penalty"]["found"] == "id"


def test_content_outweighs_a_wrong_name(repaired):
    result = repaired(
        names={f"notebooks/{a}.ipynb": f"notebooks/{b}.ipynb" for a, b in ((FIRST, THIRD), (THIRD, FIRST))}
    )
    assert said(result.notes, f"{FIRST}.ipynb` is taken for {THIRD}, by its content")
    assert said(result.notes, f"{THIRD}.ipynb` is taken for {FIRST}, by its content")
    assert result.blanks["kept-channels"]["source"] == solution("kept-channels").strip()


def test_a_notebook_is_known_by_its_functions_alone(repaired):
    def only_functions(notebooks):
        without_metadata(notebooks)
        notebooks[FIRST].cells = [cell for cell in notebooks[FIRST].cells if cell.source.startswith("def penalty")]

    result = repaired(only_functions, names={f"notebooks/{FIRST}.ipynb": "work.ipynb"})
    assert said(result.notes, "`work.ipynb` is taken for 01_sparsity_training, by its content")
    assert result.blanks["subgradient"] == {"source": solution("subgradient").strip(), "found": "name"}
    assert said(result.notes, "blank-penalty: no cell defines sparsity_penalty or lambda_for")


def test_of_two_versions_the_exact_name_counts_else_the_one_run_further(released):
    def sheet(body, path, ran=True):
        notebooks = filled(released, {"penalty_gradient": body})
        return Member(path, "", nbformat.v4.writes((run(notebooks) if ran else notebooks)[FIRST]).encode())

    exact = repair(
        [sheet("return 1", f"{FIRST}.ipynb", ran=False), sheet("return 2", f"{FIRST} (1).ipynb")], released, BLANKS
    )
    assert exact.blanks["subgradient"]["source"].endswith("return 1")
    assert said(exact.notes, f"{FIRST}: `{FIRST}.ipynb` counts", f"`{FIRST} (1).ipynb`")
    further = repair([sheet("return 1", "a.ipynb", ran=False), sheet("return 2", "b.ipynb")], released, BLANKS)
    assert further.blanks["subgradient"]["source"].endswith("return 2")
    assert said(further.notes, f"{FIRST}: `b.ipynb` counts", "`a.ipynb`")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<!DOCTYPE html><html>", "is no JSON"),
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"a": 1}', "is no notebook"),
        (b"[]", "is no notebook"),
        (b"3", "is no notebook"),
        (b'{"cells": {}}', "is no notebook"),
        (b'{"cells": []}', "has no cells"),
        (b'{"worksheets": [3, {"cells": 4}]}', "has no cells"),
        (b'{"cells": [' + b"[" * 100_000, "nested too deeply"),
        (b'{"cells": [' + b"[" * 100 + b"]" * 100 + b"]}", "nested too deeply"),
        (b'{"cells": [' + b"1" * 10_000 + b"]}", "is no JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"cells": [' + b"1," * 1000 + b"1]}", "more than 1000 cells"),
        (b'{"cells": [' + b"1," * 5_000_000 + b"1]}", "more than 4,000,000 values"),
        (b'{"cells": [{"cell_type": "code", "source": "' + b"x" * 2_000_001 + b'"}]}', "letters of text"),
    ],
)
def test_files_that_are_no_notebooks_count_as_missing(released, content, why):
    result = repair([Member(f"notebooks/{FIRST}.ipynb", "", content)], released, BLANKS)
    in_order(result.notebooks, released)
    assert said(result.notes, f"`notebooks/{FIRST}.ipynb`", why, "it counts as missing")
    assert said(result.notes, f"{FIRST} is missing.")
    assert result.blanks["penalty"] == {"source": None, "found": "missing"}
    assert result.notebooks[FIRST].cells == released[FIRST].cells and result.code[FIRST] == []


def test_a_bonus_notebook_that_is_missing_is_not_complained_of(released):
    assert said(repair([], released, BLANKS).notes, f"{FIRST} is missing.")
    result = repair([], released, BLANKS, (FIRST,))
    assert not said(result.notes, FIRST) and said(result.notes, f"{THIRD} is missing.")
    assert result.code[FIRST] == []


def test_a_foreign_notebook_is_said_to_be_none(repaired):
    def diary(notebooks):
        notebooks["diary"] = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Diary", id="a")])

    assert repaired(diary).notes == ["`notebooks/diary.ipynb` is none of the course's notebooks."]


# Formats, and fields that are not what they should be


def test_a_round_trip_through_colab_loses_nothing(repaired):
    result = repaired(colab)
    assert result.notes == []
    assert result.blanks == repaired().blanks and result.notebooks == repaired().notebooks


def test_ids_alone_are_enough(repaired):
    def no_nbgrader(notebooks):
        for notebook in notebooks.values():
            for cell in notebook.cells:
                cell.metadata.pop("nbgrader", None)

    assert repaired(no_nbgrader).notes == []
    assert repaired(no_nbgrader, colab).notes == []


def test_what_json_and_utf_8_have_no_sign_for_is_replaced(released):
    content = json.loads(nbformat.v4.writes(run(filled(released, {}))[FIRST]))
    cells = {cell["id"]: cell for cell in content["cells"]}
    cells["blank-subgradient"]["source"] += "# \ud800"
    odd = {"application/json": [float("nan"), float("inf")], "text/plain": "\udfff"}
    cells["01-02"]["outputs"] = [{"output_type": "display_data", "data": odd, "metadata": {}}]
    data = json.dumps(content).replace("Infinity", "1e999").encode()
    result = repair([Member(f"{FIRST}.ipynb", "", data)], released, BLANKS)
    assert result.blanks["subgradient"]["source"].endswith("# ?") and result.code[FIRST]
    expected = {"application/json": [None, None], "text/plain": "?"}
    assert cell_of(result.notebooks, "01-02").outputs[0].data == expected


def test_lost_metadata_is_all_found_again_and_said(repaired):
    result = repaired(without_metadata)
    assert {name: b["source"] for name, b in result.blanks.items()} == {n: solution(n).strip() for n in BLANKS}
    assert {b["found"] for b in result.blanks.values()} == {"name"}
    assert len(result.notes) == 4 and all("found by content or place, not by id" in note for note in result.notes)
    for cell in [
        cell for notebook in result.notebooks.values() for cell in notebook.cells if "nbgrader" in cell.metadata
    ]:
        assert any(cell.id in note for note in result.notes)
    assert result.notebooks == repaired().notebooks


def test_lost_metadata_of_an_empty_hand_in(repaired):
    result = repaired(without_metadata, bodies=NOTHING)
    assert len(result.notes) == 4 and result.notebooks == repaired(bodies=NOTHING).notebooks


def test_the_cells_that_colab_gets_from_the_edition_are_known(tmp_path):
    """Folded away as they are: run, unfolded, with the box for Drive taken out, and saved by Colab."""
    edition = Edition("pruning_lab1_{student}", "[A-Za-z0-9]{4,16}", "school/lab", "v1")
    given = release.released_notebooks(LAB, edition)

    def elsewhere(notebooks):
        for notebook in notebooks.values():
            cell = cell_of({"": notebook}, "setup")
            cell.source = cell.source.replace("KEEP_IN_DRIVE = True", "KEEP_IN_DRIVE = False")
            cell.metadata = {}

    for student, changes in {"aaaa": [], "bbbb": [colab], "cccc": [elsewhere], "dddd": [elsewhere, colab]}.items():
        (tmp_path / f"pruning_lab1_{student}.zip").write_bytes(submission(student, {}, given, changes=changes))
    for known in (edition, EDITION):  # the class folder may lie in the export
        found = collecting.collect(tmp_path, tmp_path / "grading", known, LAB)
        assert len(found) == 4 and all(one["notes"] == [] for one in found)


def test_so_many_notebooks_are_not_all_read(released):
    first, third = (nbformat.v4.writes(run(filled(released, {}))[name]).encode() for name in (FIRST, THIRD))
    result = repair([Member(f"{n:03}.ipynb", "", first if n < 59 else third) for n in range(60)], released, BLANKS)
    assert said(result.notes, "Of 60 notebooks only 40 are read, not `040.ipynb`")
    assert result.blanks["penalty"]["found"] == "id" and said(result.notes, f"{THIRD} is missing")


def test_format_3_is_read(released):
    def old(cell):
        if cell.cell_type == "code":
            picture = {"output_type": "pyout", "prompt_number": 4, "text": ["a"], "png": "AAAA", "metadata": {}}
            stream = {"output_type": "stream", "stream": "stderr", "text": "warning"}
            error = {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]}
            outputs = [picture, stream, error]
            return {
                "cell_type": "code",
                "input": cell.source,
                "prompt_number": 4,
                "outputs": outputs,
                "language": "python",
            }
        if cell.source.startswith("## ") and "\n" not in cell.source:
            return {"cell_type": "heading", "level": 2, "source": cell.source[3:]}
        return {"cell_type": "markdown", "source": cell.source}

    cells = [old(cell) for cell in filled(released, {})[THIRD].cells]
    content = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
    result = repair([Member(f"{THIRD}.ipynb", "", json.dumps(content).encode())], released, BLANKS)
    in_order(result.notebooks, released)
    assert result.blanks["kept-channels"] == {"source": solution("kept-channels").strip(), "found": "name"}
    cell = cell_of(result.notebooks, "manual-prune-90")
    assert cell.source == "print('work for manual-prune-90')" and cell.execution_count == 4
    assert [output.output_type for output in cell.outputs] == ["execute_result", "stream", "error"]
    assert cell.outputs[0].data == {"text/plain": "a", "image/png": "AAAA"} and cell.outputs[1].name == "stderr"


def test_sources_as_lists_and_foreign_line_ends_are_the_same(repaired, released):
    def lists(notebooks):
        for notebook in notebooks.values():
            for cell in notebook.cells:
                cell.source = [line.replace("\n", "\r\n") for line in cell.source.splitlines(True)]

    assert repaired(lists).notes == [] and repaired(lists).blanks == repaired().blanks


def test_fields_of_wrong_types_count_as_empty(released):
    notebooks = run(filled(released, {}))
    content = json.loads(nbformat.v4.writes(notebooks[FIRST]))
    code_cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"][:4]
    code_cells[0]["source"] = 5
    code_cells[1]["outputs"] = {"not": "a list"}
    code_cells[2]["outputs"] = [3, {"output_type": "stream", "text": {}}, {"output_type": "magic"}]
    code_cells[3].update(execution_count="first", metadata={"nbgrader": [], "tags": "x,y", "collapsed": 3}, id=["x"])
    odd = [content["cells"].index(cell) + 1 for cell in code_cells[:3]]
    content["cells"].append(None)
    result = repair([Member(f"{FIRST}.ipynb", "", json.dumps(content).encode())], released, BLANKS)
    in_order(result.notebooks, released)
    where = ", ".join(map(str, [*odd, len(content["cells"])]))
    assert said(result.notes, f"fields of a wrong type, which were taken as empty (cells {where})")
    assert said(result.notes, f"{FIRST}: 1 of {COUNT - 1} code cells were not run")
    assert result.blanks["penalty"]["found"] == "id"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["code", "blank-penalty"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "cells cell_type source metadata outputs output_type data id nbgrader grade_id execution_count text "
                "traceback attachments application/json text/plain worksheets".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    junk=JSON,
    where=st.integers(0, 29),
    key=st.sampled_from(["source", "metadata", "outputs", "id", "cell_type", "cell"]),
)
def test_no_junk_in_a_cell_breaks_anything(released, junk, where, key):
    content = json.loads(json.dumps(run(filled(released, {}))[FIRST]))
    if key == "cell":
        content["cells"][where] = junk
    else:
        content["cells"][where][key] = junk
    result = repair([Member(f"{FIRST}.ipynb", "", json.dumps(content).encode())], released, BLANKS)
    in_order(result.notebooks, released)
    nbformat.v4.writes(result.notebooks[FIRST]).encode("utf-8", "replace")


@given(junk=JSON)
def test_no_junk_as_a_notebook_breaks_anything(released, junk):
    result = repair([Member(f"{FIRST}.ipynb", "", json.dumps(junk).encode())], released, BLANKS)
    in_order(result.notebooks, released)


def test_large_outputs_are_left_out_the_largest_first(repaired):
    result = repaired(large_outputs("01-02", 50), large_outputs("01-06", 1), large_outputs("01-08", 1.5))
    assert result.notes == [f"`notebooks/{FIRST}.ipynb`: outputs too large to keep were left out (2)."]
    assert len(nbformat.v4.writes(result.notebooks[FIRST])) < 2_100_000
    kept = {name: cell_of(result.notebooks, name).outputs for name in ("01-02", "01-06", "01-08")}
    assert [len(outputs) for outputs in kept.values()] == [2, 2, 2]
    assert "50.0 MB" in kept["01-02"][-1].text and "1.5 MB" in kept["01-08"][-1].text
    assert "image/png" in kept["01-06"][-1].data


# Blanks


def test_a_blank_typed_into_a_new_cell_is_found_by_its_function(repaired):
    result = repaired(without_id("blank-kept-channels"))
    assert result.blanks["kept-channels"] == {"source": solution("kept-channels").strip(), "found": "name"}
    assert result.notes == [f"{THIRD}: blank-kept-channels found by content or place, not by id."]


def test_a_blank_moved_to_another_cell_than_its_own(repaired):
    new = code("def kept_channels(mask):\n    return 7", name="mine")
    result = repaired(edited("blank-kept-channels", "# see below"), added("check-kept-channels", new))
    assert result.blanks["kept-channels"] == {"source": new.source, "found": "name"}
    assert said(
        result.notes, "blank-kept-channels: not the cell with this id counts, but one that defines its function"
    )
    notebook = result.notebooks[THIRD]
    assert place(notebook, "blank-kept-channels") == place(notebook, "check-kept-channels") + 1
    assert [cell.source for cell in notebook.cells].count("# see below") == 1


@pytest.mark.parametrize(
    ("own", "twin", "counts", "which"),
    [
        ((9, "return 1"), (8, "return 2"), 0, "the one that was run last"),
        ((9, "return 1"), (30, "return 2"), 1, "the one that was run last"),
        ((None, "return 1"), (None, "return 2"), 1, "the last one"),
        ((4, "return 1"), (30, "raise NotImplementedError"), 0, "the one that is filled in"),
        ((30, "raise NotImplementedError"), (None, "return 2"), 1, "the one that is filled in"),
    ],
)
def test_of_two_cells_the_one_run_last_counts_if_it_is_filled_in(repaired, own, twin, counts, which):
    sources = [f"def kept_channels(mask):\n    {body}" for _, body in (own, twin)]
    result = repaired(
        edited("blank-kept-channels", sources[0]),
        lambda notebooks: cell_of(notebooks, "blank-kept-channels").update(execution_count=own[0]),
        duplicated("blank-kept-channels", source=sources[1], execution_count=twin[0]),
    )
    assert result.blanks["kept-channels"] == {"source": sources[counts], "found": "id"}
    assert said(result.notes, f"blank-kept-channels: 2 cells define kept_channels; {which} is taken.")
    assert cell_of(result.notebooks, "blank-kept-channels").source == sources[counts]
    assert sorted(cell.source for cell in result.notebooks[THIRD].cells if cell.source in sources) == sorted(sources)


ONE, TWO = "def sparsity_penalty(gammas, lam):\n    return 1", "def lambda_for(a, b, c):\n    return 2"
STUB = "def lambda_for(a, b, c):\n    raise NotImplementedError"


def test_a_blank_of_two_functions_in_two_cells_is_joined(repaired):
    result = repaired(edited("blank-penalty", ONE), added("blank-penalty", code(TWO, 40)))
    assert result.blanks["penalty"] == {"source": f"{ONE}\n\n\n{TWO}", "found": "name"}
    assert said(result.notes, "blank-penalty: its functions stand in 2 cells, which are joined")
    notebook = result.notebooks[FIRST]
    assert sum("def lambda_for" in cell.source for cell in notebook.cells) == 1
    assert place(notebook, "check-penalty") == place(notebook, "blank-penalty") + 1


@pytest.mark.parametrize("below", ["01-12", "check-penalty"])
def test_in_a_joined_blank_the_filled_in_function_comes_last(repaired, below):
    result = repaired(edited("blank-penalty", f"{ONE}\n\n\n{STUB}"), added(below, code(TWO, 40)))
    assert result.blanks["penalty"]["source"] == f"{ONE}\n\n\n{STUB}\n\n\n{TWO}"
    assert said(result.notes, "2 cells define lambda_for; the one that is filled in")


def test_several_blanks_in_one_cell(repaired):
    both = "\n\n\n".join(solution(name).strip() for name in ("kept-channels", "linear-bias"))
    result = repaired(edited("blank-kept-channels", both), deleted("blank-linear-bias"))
    assert result.blanks["kept-channels"] == {"source": both, "found": "id"}
    assert result.blanks["linear-bias"] == {"source": both, "found": "name"}
    assert result.notes == [f"{THIRD}: blank-linear-bias found by content or place, not by id."]


def test_a_function_in_the_cell_of_another_blank_leaves_that_cell_its_name(repaired):
    both = "\n\n\n".join(solution(name).strip() for name in ("kept-channels", "linear-bias"))
    result = repaired(deleted("blank-kept-channels"), edited("blank-linear-bias", both))
    assert result.blanks["kept-channels"] == {"source": both, "found": "name"}
    assert result.blanks["linear-bias"] == {"source": both, "found": "id"}
    assert cell_of(result.notebooks, "blank-linear-bias").outputs[0].text == "output of blank-linear-bias\n"


def test_a_blank_solved_in_another_notebook_is_found_there(repaired):
    source = solution("subgradient").strip()
    result = repaired(added("03-01", code(source, 40)), bodies={"penalty_gradient": None})
    assert result.blanks["subgradient"] == {"source": source, "found": "name"}
    assert said(result.notes, f"blank-subgradient: penalty_gradient is taken from `notebooks/{THIRD}.ipynb`")
    assert cell_of(result.notebooks, "blank-subgradient").source == source


def test_a_blank_of_a_missing_notebook_is_found_in_another(repaired):
    source = solution("subgradient").strip()
    result = repaired(added("03-01", code(source, 40)), names={f"notebooks/{FIRST}.ipynb": None})
    assert result.blanks["subgradient"] == {"source": source, "found": "name"}
    assert result.blanks["penalty"] == {"source": None, "found": "missing"}
    assert cell_of(result.notebooks, "blank-subgradient").source == source


def test_a_deleted_blank_is_missing_and_put_back_empty(repaired, released):
    result = repaired(deleted("blank-linear-weight"))
    assert result.blanks["linear-weight"] == {"source": None, "found": "missing"}
    assert said(result.notes, "blank-linear-weight: no cell defines copy_linear_weight")
    assert cell_of(result.notebooks, "blank-linear-weight") == cell_of(released, "blank-linear-weight")
    notebook = result.notebooks[THIRD]
    assert place(notebook, "check-linear-weight") == place(notebook, "blank-linear-weight") + 1


def test_a_function_made_without_def_keeps_its_cell(repaired):
    result = repaired(edited("blank-subgradient", "penalty_gradient = lambda gamma, lam: lam * gamma.sign()"))
    assert result.blanks["subgradient"]["found"] == "id" and "lambda gamma" in result.blanks["subgradient"]["source"]
    assert said(result.notes, "blank-subgradient: its cell does not define penalty_gradient")


# Checks and manual cells


def test_an_edited_check_is_put_back(repaired, released):
    result = repaired(edited_check("penalty"))
    assert result.notes == ["check-penalty was edited; it is put back as it was released."]
    cell = cell_of(result.notebooks, "check-penalty")
    assert cell.source == cell_of(released, "check-penalty").source and cell.execution_count
    assert "assert True" in result.code[FIRST]


def test_a_deleted_check_is_put_back_below_its_blank(repaired):
    result = repaired(deleted("check-batchnorm-affine"))
    assert result.notes == ["check-batchnorm-affine was deleted; it is put back below its blank."]
    notebook = result.notebooks[THIRD]
    assert place(notebook, "check-batchnorm-affine") == place(notebook, "blank-batchnorm-affine") + 1


def test_a_check_that_stands_twice_counts_as_it_was_released(repaired, released):
    result = repaired(duplicated("check-penalty", execution_count=50), edited_check("penalty"))
    assert said(result.notes, "check-penalty stands in 2 cells")
    assert not said(result.notes, "was edited")
    assert sum(cell.source == "assert True" for cell in result.notebooks[FIRST].cells) == 1


def test_answers_are_found_by_their_name(repaired):
    result = repaired(without_id("manual-report-problem"))
    assert result.notes == [f"{LAST}: manual-report-problem found by content or place, not by id."]
    assert "Seen." in cell_of(result.notebooks, "manual-report-problem").source


def test_an_answer_in_another_answer_s_cell_is_pointed_at(repaired):
    both = 'answers["half"] = "a"\nanswers["ninety"] = "b"'
    result = repaired(edited("manual-report-prune-50", both), deleted("manual-report-prune-90"))
    expected = "manual-report-prune-90 has no cell of its own: its answer stands in the cell of manual-report-prune-50."
    assert result.notes == [expected]


def test_plots_are_found_by_their_place_and_joined(repaired):
    work = [code("a = 1", 50), code("plt.hist(a)", 51)]
    work[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="drawn")]
    result = repaired(deleted("manual-scaling-factor-visualization"), added("02-05", *work))
    assert said(result.notes, "manual-scaling-factor-visualization found by content or place")
    assert said(result.notes, "manual-scaling-factor-visualization: the 2 cells in its place are joined")
    cell = cell_of(result.notebooks, "manual-scaling-factor-visualization")
    assert cell.source == "a = 1\n\nplt.hist(a)" and cell.execution_count == 51
    assert [output.text for output in cell.outputs] == ["drawn"]
    assert sum("plt.hist(a)" in other.source for other in result.notebooks["02_scaling_factors"].cells) == 1


def test_a_heading_is_a_landmark_though_its_text_was_changed(repaired, released):
    heading = cell_of(released, "02-05").source.partition("\n")[0]
    changes = added("02-04", code("scratch = 1", 60)), edited("02-05", heading + "\nmine"), without_metadata
    work = cell_of(repaired(*changes).notebooks, "manual-scaling-factor-visualization")
    assert work.source == "print('work for manual-scaling-factor-visualization')"


def test_work_beside_an_empty_manual_cell_is_taken(repaired):
    result = repaired(edited("manual-prune-50", "# Your code here.\n"), added("manual-prune-50", code("mine = 1", 99)))
    assert cell_of(result.notebooks, "manual-prune-50").source == "mine = 1"
    assert said(result.notes, "manual-prune-50 found by content or place")


def test_two_manual_cells_between_the_same_neighbours(repaired):
    result = repaired(without_id("manual-prune-50"), without_id("manual-prune-90"), deleted("03-36"))
    for name in ("manual-prune-50", "manual-prune-90"):
        assert cell_of(result.notebooks, name).source == f"print('work for {name}')"
    assert said(result.notes, "manual-prune-50, manual-prune-90 found by content or place")


def test_a_deleted_manual_cell_is_put_back_empty(repaired, released):
    result = repaired(deleted("manual-prune-90"), deleted("manual-report-lambda"))
    assert result.notes == [
        f"{name} was deleted; it is put back empty." for name in ("manual-prune-90", "manual-report-lambda")
    ]
    for name in ("manual-prune-90", "manual-report-lambda"):
        assert cell_of(result.notebooks, name) == cell_of(released, name)
    assert place(result.notebooks[THIRD], "manual-prune-90") == place(result.notebooks[THIRD], "03-36") + 1


def test_the_students_own_cells_stay_where_they_are(repaired):
    own = [code("x = 1", 90, name="mine"), code("y = 2", 91, name="mine-too")]
    result = repaired(added("03-04", own[0], nbformat.v4.new_markdown_cell("note", id="01-03")), added("03-09", own[1]))
    ids = [cell.id for cell in result.notebooks[THIRD].cells]
    assert ids[ids.index("03-04") + 1 : ids.index("03-04b")] == ["mine", "01-03"]
    assert ids[ids.index("03-09") + 1] == "mine-too"
    assert result.notes == [f"{THIRD}: its cells were not run in order."]


def test_a_cell_that_claims_to_be_two_is_one_of_them(repaired):
    def both(notebooks):
        cell_of(notebooks, "manual-prune-50").metadata.nbgrader.grade_id = "manual-prune-90"

    assert repaired(both).notes == []  # the other one has a cell that claims nothing else
    for changes in ((both, deleted("manual-prune-90")), (both, deleted("manual-prune-90"), deleted("03-36"))):
        for bodies in ({}, NOTHING):
            assert said(repaired(*changes, bodies=bodies).notes, "manual-prune-90 was deleted")


def test_an_empty_manual_cell_in_another_s_place_stays_its_own(repaired):
    moved = without_id("manual-prune-50"), deleted("03-36"), deleted("03-38"), deleted("manual-prune-90")
    result = repaired(*moved, added("03-39", code("# Your code here.", 30, name="manual-prune-90")), bodies=NOTHING)
    assert place(result.notebooks[THIRD], "manual-prune-50") == place(result.notebooks[THIRD], "03-34c") + 1


def test_what_is_put_back_stands_below_its_neighbour_wherever_others_were_moved(repaired):
    def move(notebooks):
        cells = notebooks[THIRD].cells
        cells.append(cells.pop(place(notebooks[THIRD], "03-13")))

    notebook = repaired(move, deleted("check-linear-weight")).notebooks[THIRD]
    assert place(notebook, "check-linear-weight") == place(notebook, "blank-linear-weight") + 1
    assert notebook.cells[-1].id == "03-13"


def test_twins_of_ids_become_unique(repaired):
    result = repaired(added("03-04", code("x = 1", 99, name="03-05"), code("y = 1", 99, name="03-04")))
    ids = [cell.id for cell in result.notebooks[THIRD].cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        ({"01-02": None}, f"1 of {COUNT} code cells were not run."),
        ({"01-02": 40}, "its cells were not run in order."),
        ({"01-01": 2}, "its cells were not run in order."),
    ],
)
def test_cells_that_were_not_run_or_not_in_order_are_noted(repaired, counts, note):
    def change(notebooks):
        for name, count in counts.items():
            cell_of(notebooks, name).execution_count = count

    assert repaired(change).notes == [f"{FIRST}: {note}"]


def test_the_cell_that_hands_in_need_not_have_run(repaired):
    assert repaired(added("05-22", code("submit.hand_in(STUDENT)"))).notes == []


def test_one_hand_in_that_breaks_the_repair_does_not_stop_the_class(collected, released, monkeypatch):
    def breaks(members, released, declared, bonus=()):
        if members:
            raise KeyError("never seen before")
        return repair(members, released, BLANKS)

    monkeypatch.setattr(collecting, "repair", breaks)
    (found,) = collected({ARCHIVE: submission(STUDENT, {}, released)}).values()
    assert "could not be repaired (KeyError)" in found["refused"]
