"""Who handed in, by the names that systems give files: also the rare ones."""

import pytest

from labkit.course.grading.uploads import Entry, Uploader, plain, uploader_of, uploads_of

ZIP = "pruning_lab1_ada1815.zip"


@pytest.mark.parametrize(
    ("path", "system", "number", "name"),
    [
        (f"Ada Lovelace_101_assignsubmission_file/{ZIP}", "moodle", "101", "Ada Lovelace"),
        (f"Ada Lovelace_101_assignsubmission_file_/{ZIP}", "moodle", "101", "Ada Lovelace"),  # before 4.1
        (f"Ada Lovelace_101_assignsubmission_file_{ZIP}", "moodle", "101", "Ada Lovelace"),  # before 3.1
        ("王小明_7_assignsubmission_onlinetext/onlinetext.html", "moodle", "7", "王小明"),
        (f"Default group_assignsubmission_file/{ZIP}", "moodle", "", "Default group"),  # a team without a number
        (f"Default group_assignsubmission_file_{ZIP}", "moodle", "", "Default group"),
        (f"lovelaceada_101_9001_{ZIP}", "canvas", "101", "lovelaceada"),
        (f"lovelaceada_LATE_101_9001_{ZIP}", "canvas", "101", "lovelaceada"),
        (f"anon_aB3dE_9001_{ZIP}", "canvas", "anon_aB3dE", ""),
        (f"LATE_anon_aB3dE_9001_{ZIP}", "canvas", "anon_aB3dE", ""),
        (f"anon_12345_9001_{ZIP}", "canvas", "anon_12345", ""),
    ],
)
def test_a_system_s_name_says_who_and_what(path, system, number, name):
    found = uploader_of(path)
    assert found == Uploader(system, number, name, path.split("/")[0])
    assert plain(path.split("/")[-1]) == ("onlinetext.html" if "onlinetext" in path else ZIP)


@pytest.mark.parametrize(
    "path", [ZIP, f"Jane Doe/{ZIP}", "lab_12.zip", f"anon_9001_{ZIP}", "assignsubmission_file/a.zip"]
)
def test_other_names_are_nobody_s(path):
    assert uploader_of(path) is None


def test_a_file_cannot_name_another_person():
    hostile = f"eve_66_9001_Ada Lovelace_101_assignsubmission_file_{ZIP}"
    assert uploader_of(hostile).owner == "eve_66"
    inside = f"Eve_66_assignsubmission_file/lovelaceada_101_9001_{ZIP}"
    assert uploader_of(inside).owner == "Eve_66"


def uploaded(*paths):
    return uploads_of([Entry(path, 0, None) for path in paths])


def test_an_upload_knows_its_uploader_in_every_layout():
    folders = [f"Class/{name}_assignsubmission_file/{ZIP}" for name in ("Ada Lovelace_101", "Bob_102", "Default group")]
    assert [one.uploader.owner for one in uploaded(*folders)] == ["Ada Lovelace_101", "Bob_102", "Default group"]
    flat = [path.removeprefix("Class/").replace("/", "_") for path in folders]
    found = {one.owner: one for one in uploaded(*flat)}
    assert list(found) == ["Ada Lovelace_101", "Bob_102", "Default group"] and found["Bob_102"].name == ZIP[:-4]
    anonymous = uploaded(f"anon_aB3dE_1_{ZIP}", f"LATE_anon_xY9_2_{ZIP}", "anon_aB3dE_3_01_sparsity_training.ipynb")
    assert [(one.owner, one.uploader.path.split("_")[-1]) for one in anonymous] == [
        ("anon_aB3dE", "ada1815.zip"), ("anon_aB3dE", "training.ipynb"), ("anon_xY9", "ada1815.zip")]  # fmt: skip
    assert [one.uploader for one in uploaded(ZIP, f"Jane Doe/{ZIP}")] == [None, None]
