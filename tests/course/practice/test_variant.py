"""A student's id, written once: what it chooses, where it is kept, and who is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import cli, settings
from labkit.course import begin, edition, ready
from labkit.course.practice import submit, variant
from labkit.course.practice.variant import PLACEHOLDER
from labkit.records import Record

CLASS = replace(edition.current(), variants="a class")
ONE, OTHER = "ab1234", "cd5678"


@pytest.fixture(autouse=True)
def the_class(monkeypatch):
    monkeypatch.setattr(edition, "current", lambda: CLASS)


def kept():
    return json.loads((settings.runs_folder() / settings.VARIANT).read_text(encoding="utf-8"))


def test_the_id_chooses_seed_and_images_of_every_lab_from_then_on(capsys):
    assert begin(f" {ONE} ") == ONE
    assert f"{ONE}: seed {CLASS.seed_of(ONE)}" in capsys.readouterr().out
    for lab in (1, 2, 4):
        here = settings.current(lab=lab)
        assert (here.seed, here.data) == (CLASS.seed_of(ONE), f"shapes@{CLASS.seed_of(ONE)}")
        assert here.folder == here.runs / f"quick-shapes-seed{CLASS.seed_of(ONE)}" / f"lab{lab}"
    assert begin(PLACEHOLDER) == begin("") == ONE, "later notebooks need not be told again"


def test_without_an_id_the_notebook_goes_on_with_the_seed_of_all_and_says_so(capsys):
    assert begin(PLACEHOLDER) == PLACEHOLDER
    said = capsys.readouterr().out
    assert "No student id yet" in said and "nothing of that can be handed in" in said
    assert (settings.current().seed, settings.current().data) == (0, "shapes")
    assert not (settings.runs_folder() / settings.VARIANT).exists()


def test_another_id_has_other_runs_and_those_so_far_stay(capsys):
    begin(ONE)
    first = settings.current()
    (first.folder / "run").mkdir(parents=True)
    capsys.readouterr()
    begin(OTHER)
    said = capsys.readouterr().out
    assert f"The runs so far are {ONE}'s, of seed {first.seed}: they stay" in said
    assert f"Is {OTHER} the wrong id? Write the right one into this notebook." in said
    assert settings.current().folder != first.folder and (first.folder / "run").is_dir()
    assert kept() == {"student": OTHER, "seed": CLASS.seed_of(OTHER)}


def test_small_and_capital_letters_are_one_student(capsys):
    begin(ONE)
    capsys.readouterr()
    assert begin(ONE.upper()) == ONE.upper()
    assert "stay" not in capsys.readouterr().out and kept()["seed"] == CLASS.seed_of(ONE)


@pytest.mark.parametrize("odd", ["a b1234", "ab\u200b1234", "аb1234", "ab", "../runs", "ab1234\nx", "=1+1234"])
def test_an_id_that_the_class_does_not_use_is_refused_and_nothing_is_kept(odd, refused):
    with refused(repr(odd), "no student id of this class"):
        begin(odd)
    assert not (settings.runs_folder() / settings.VARIANT).exists()


def test_a_seed_beside_the_id_is_refused_in_one_sentence(monkeypatch, refused):
    begin(ONE)
    monkeypatch.setenv("LABKIT_SEED", "3")
    with refused("LABKIT_SEED is 3", f"{ONE}'s", CLASS.seed_of(ONE), "leave LABKIT_SEED out"):
        settings.current()
    monkeypatch.setenv("LABKIT_SEED", str(CLASS.seed_of(ONE)))
    assert settings.current().seed == CLASS.seed_of(ONE), "as a worker of the notebook gets it"


def test_a_process_of_the_notebook_has_the_same_settings(tmp_path):
    begin(ONE)
    here = settings.current()
    there = settings.current(here.environment())
    elsewhere = settings.current(here.environment() | {"LABKIT_RUNS": str(tmp_path)})
    assert (there.data, there.seed) == (elsewhere.data, elsewhere.seed) == (here.data, here.seed)


def test_other_data_have_the_students_split_as_well(monkeypatch):
    begin(ONE)
    for given, name in (("cifar10", "cifar10"), ("folder:a@b/c:d", "folder")):
        monkeypatch.setenv("LABKIT_DATA", given)
        assert settings.split_of(settings.current().data) == CLASS.seed_of(ONE)
        assert settings.current().data.startswith(f"{name}@")
    monkeypatch.setenv("LABKIT_DATA", "folder:a@b/c:d")
    assert settings.with_split(settings.current().data, None) == "folder:a@b/c:d"


def test_a_split_beside_the_id_is_refused_as_a_seed_is(monkeypatch, refused):
    begin(ONE)
    monkeypatch.setenv("LABKIT_DATA", "shapes@5")
    with refused("LABKIT_DATA is 'shapes@5'", f"{ONE}'s", CLASS.seed_of(ONE), "leave the split out"):
        settings.current()


def test_who_hands_in_without_an_id_is_told_to_run_everything_again(monkeypatch, capsys):
    submit.hand_in(PLACEHOLDER)
    assert "run all notebooks again" in capsys.readouterr().out
    monkeypatch.setattr(edition, "current", lambda: replace(CLASS, variants=""))
    submit.hand_in(PLACEHOLDER)
    assert "run the notebook again" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"student": "x", "seed": "7"}', '{"student": "x", "seed": -1}'])
def test_a_damaged_file_is_named(content, refused):
    path = settings.runs_folder() / settings.VARIANT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    with refused(path, "damaged", "delete it"):
        settings.current()


def test_handing_in_needs_an_id_and_refuses_another(refused, capsys):
    with refused("Nobody's id is kept", "STUDENT"):
        variant.refuse_another(ONE)
    begin(ONE)
    variant.refuse_another(ONE.upper())
    with refused(f"are {ONE}'s", CLASS.seed_of(ONE), f"{OTHER} has seed {CLASS.seed_of(OTHER)}"):
        variant.refuse_another(OTHER)
    assert cli.main(["submit", OTHER]) == 1
    assert f"hand in as {ONE}" in capsys.readouterr().err
    submit.hand_in(OTHER)
    assert f"Not handed in. The runs in {settings.runs_folder()} are {ONE}'s" in capsys.readouterr().out


def test_runs_of_another_word_of_the_class_are_another_variant(monkeypatch, refused):
    begin(ONE)
    monkeypatch.setattr(edition, "current", lambda: replace(CLASS, variants="the class of next year"))
    with refused(f"are {ONE}'s", "run the notebooks again"):
        variant.refuse_another(ONE)
    begin(PLACEHOLDER)
    variant.refuse_another(ONE)


def test_where_all_have_the_same_seed_nothing_is_asked(monkeypatch, refused):
    monkeypatch.setattr(edition, "current", lambda: replace(CLASS, variants=""))
    variant.refuse_another(ONE)
    assert ready()
    with refused("all students have the same seed"):
        begin(ONE)


def test_the_seed_of_an_earlier_class_is_not_taken_over_where_all_have_the_same(monkeypatch, refused):
    begin(ONE)
    monkeypatch.setattr(edition, "current", lambda: replace(CLASS, variants=""))
    for asked in (ready, lambda: variant.refuse_another(ONE)):
        with refused(settings.runs_folder() / settings.VARIANT, CLASS.seed_of(ONE), "delete this file"):
            asked()


def test_records_of_another_seed_are_noted_when_handing_in(monkeypatch):
    kept = [
        Record(kind="sparsity", config={"seed": CLASS.seed_of(ONE)}, network={}).with_folder(Path("own")),
        Record(kind="pruning", config={"seed": 0}, network={}).with_folder(settings.REFERENCE / "pruning-50"),
        Record(kind="amc-search", config={}, network={}).with_folder(Path("search")),
    ]
    (note,) = variant.of_another_seed(ONE, kept)
    assert note.startswith(f"pruning-50 is of seed 0, not of yours ({CLASS.seed_of(ONE)})")
    monkeypatch.setattr(edition, "current", lambda: replace(CLASS, variants=""))
    assert variant.of_another_seed(ONE, kept) == []
