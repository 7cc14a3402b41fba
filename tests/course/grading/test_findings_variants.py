"""What is said of records in a class in which every student has a seed and images of their own."""

import json
from dataclasses import replace

import pytest

from labkit import data, records, settings
from labkit.course import edition, labs
from labkit.course.grading import findings, grade, lab2, lab4
from labkit.records import Record

LAB = labs.named(1)
CLASS = replace(edition.current(), variants="a class")
MINE, THEIRS, LATE = "ab1234", "cd5678", "ef9012"
TRAINING = "manual-report-training"
REFERENCE = settings.REFERENCE / "quick-shapes-seed1" / LAB.name


@pytest.fixture(scope="module")
def images():
    """What a record says of a student's images, by seed; None: of those that all have."""
    usual = data.load("shapes", settings.REPOSITORY)
    own = {seed: data.own_shapes(usual, seed) for seed in map(CLASS.seed_of, (MINE, THEIRS))}
    return {None: usual.describe()} | {seed: dataset.describe() for seed, dataset in own.items()}


def of_variant(seed, described):
    """The course's runs of a seed as if they were those of a variant; times and digits differ a little."""
    contents, identities = {}, {}
    shipped = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(REFERENCE.glob("*/record.json"))]
    names = [path.parent.name for path in sorted(REFERENCE.glob("*/record.json"))]
    order = sorted(zip(names, shipped), key=lambda pair: (pair[1]["kind"] != "sparsity", pair[1]["kind"] != "pruning"))
    for name, content in order:
        before = records.identity(Record(**content))
        content["config"] |= {"seed": seed, "data": described}
        if (parent := content["config"].get("parent_config")) in identities:
            content["config"]["parent_config"] = identities[parent]
        for entry in content["history"]:
            entry["loss"] *= 1 + seed * 1e-12
        if "seconds" in content["results"]:
            content["results"]["seconds"] *= 1 + seed * 1e-12
        identities[before] = records.identity(Record(**content))
        contents[name] = content
    return contents


@pytest.fixture
def collected(tmp_path):
    """``collected({student: contents})`` -> the folders of the class."""

    def write(by_student):
        for student, contents in by_student.items():
            for name, content in contents.items():
                folder = tmp_path / student / "records" / name
                folder.mkdir(parents=True)
                (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
        return [tmp_path / student for student in by_student]

    return write


def wrong(folders, course=CLASS):
    """By student and cell, what is wrong."""
    found = {}
    for folder, own in findings.own_variants(folders, course).items():
        said = findings.findings(folder / "records", LAB, folder / "no reference", own)
        texts = {}
        for finding in said:
            if not finding["well"]:
                texts.setdefault(finding["cell"], []).append(finding["text"])
        found[folder.name] = texts
    return found


def test_honest_runs_of_every_variant_are_consistent(collected, images):
    seeds = [CLASS.seed_of(student) for student in (MINE, THEIRS)]
    folders = collected({student: of_variant(seed, images[seed]) for student, seed in zip((MINE, THEIRS), seeds)})
    assert wrong(folders) == {MINE: {}, THEIRS: {}}
    assert grade.copies(folders, own_seeds=True) == {}


def test_records_of_another_student_are_named(collected, images):
    seed = CLASS.seed_of(THEIRS)
    theirs = of_variant(seed, images[seed])
    folders = collected({MINE: theirs, THEIRS: theirs})
    found = wrong(folders)
    assert found[THEIRS] == {}
    (text,) = found[MINE][TRAINING]
    assert f"seed {seed} is not this student's ({CLASS.seed_of(MINE)}): it is {THEIRS}'s." in text
    assert f"records/summary/record.json is byte for byte that of {THEIRS}." in grade.copies(folders, True)[MINE]


def test_one_record_among_ones_own_is_named(collected, images):
    mine, theirs = (of_variant(seed, images[seed]) for seed in map(CLASS.seed_of, (MINE, THEIRS)))
    folders = collected({MINE: mine | {"from-scratch-90": theirs["from-scratch-90"]}, THEIRS: theirs})
    texts = wrong(folders)[MINE][TRAINING]
    splits = [f"'shapes' of split {CLASS.seed_of(student)}" for student in (MINE, THEIRS)]
    assert f"The records are on different data: {', '.join(sorted(splits))}." in texts
    assert any(text.startswith("from-scratch-90: seed") and text.endswith(f"it is {THEIRS}'s.") for text in texts)


def test_the_seed_of_somebody_who_handed_in_nothing_is_a_stranger(collected, images):
    seed = CLASS.seed_of(THEIRS)
    (text,) = wrong(collected({MINE: of_variant(seed, images[seed])}))[MINE][TRAINING]
    assert text.endswith(f"seed {seed} is not this student's ({CLASS.seed_of(MINE)}).")


def test_the_courses_own_seed_is_named(collected):
    shipped = {
        path.parent.name: json.loads(path.read_text("utf-8")) for path in REFERENCE.glob("sparsity*/record.json")
    }
    (folder,) = collected({MINE: shipped})
    own = findings.own_variants([folder], CLASS)[folder]
    texts = [finding["text"] for finding in findings.findings(folder / "records", LAB, own=own)]
    assert any("seed 1 is not" in text and text.endswith("it is one of the course's.") for text in texts)


def test_a_hand_in_without_an_id_is_nobodys_and_is_accused_of_nothing(collected, images):
    theirs = CLASS.seed_of(THEIRS)
    mine = of_variant(theirs, images[theirs])
    folder, _ = folders = collected({"Anna-Maria": mine, THEIRS: {}})
    (text,) = wrong(folders)["Anna-Maria"][TRAINING]
    assert text == "The hand-in carries no student id of this class: whose its seed and split are was not checked."
    (run, *_) = (
        case := findings.case_of(folder / "records", LAB, own=findings.own_variants(folders, CLASS)[folder])
    ).runs
    assert list(findings.is_the_students_own(case, run)) == [], "it counts, as everybody's does"


def changed(contents, **config):
    return {name: content | {"config": content["config"] | config} for name, content in contents.items()}


def test_a_seed_that_was_written_over_does_not_fit_the_images(collected, images):
    mine, theirs = map(CLASS.seed_of, (MINE, THEIRS))
    texts = wrong(collected({MINE: changed(of_variant(theirs, images[theirs]), seed=mine)}))[MINE][TRAINING]
    assert any(f"split {theirs} is not this student's" in text for text in texts)


def test_images_that_were_renamed_are_not_the_students(collected, images):
    mine, theirs = map(CLASS.seed_of, (MINE, THEIRS))
    renamed = images[theirs] | {"split": mine}
    texts = wrong(collected({MINE: changed(of_variant(mine, images[mine]), data=renamed)}))[MINE][TRAINING]
    assert any("another sha256" in text for text in texts)


def test_the_split_that_all_have_is_not_a_students(collected, images):
    mine = CLASS.seed_of(MINE)
    texts = wrong(collected({MINE: of_variant(mine, images[None])}))[MINE][TRAINING]
    assert any("the split that all have is not this student's" in text for text in texts)


def test_a_copy_in_disguise_keeps_its_histories(collected, images):
    mine, theirs = map(CLASS.seed_of, (MINE, THEIRS))
    copied = of_variant(theirs, images[theirs])
    disguised = json.loads(json.dumps(changed(copied, seed=mine, data=images[mine])))
    folders = collected({MINE: disguised, THEIRS: copied})
    said = grade.copies(folders, own_seeds=True)
    assert f"records/sparsity-lambda0/record.json {grade.HISTORY} {THEIRS}." in said[MINE]
    assert f"records/sparsity-lambda0/record.json {grade.HISTORY} {MINE}." in said[THEIRS]
    assert not any("summary" in text for text in said[MINE]), "it has no history"
    assert grade.copies(folders) == {}, "with one seed for all, equal machines may give equal histories"


@pytest.mark.parametrize(("epochs", "is_seen"), [(1, True), (3, True), (4, False)])
def test_a_copy_is_seen_until_half_of_its_epochs_are_written_over(epochs, is_seen, collected, images):
    mine, theirs = map(CLASS.seed_of, (MINE, THEIRS))
    copied = {"sparsity-lambda0": of_variant(theirs, images[theirs])["sparsity-lambda0"]}
    disguised = json.loads(json.dumps(changed(copied, seed=mine, data=images[mine])))
    assert len(disguised["sparsity-lambda0"]["history"]) == 8
    for entry in disguised["sparsity-lambda0"]["history"][:epochs]:
        entry["loss"] += 1e-9
    said = grade.copies(collected({MINE: disguised, THEIRS: copied}), own_seeds=True)
    expected = [f"records/sparsity-lambda0/record.json {grade.HISTORY} {THEIRS}."]
    assert said.get(MINE, []) == (expected if is_seen else [])


def test_where_all_have_the_same_seed_a_split_is_a_question(collected, images):
    mine, usual = CLASS.seed_of(MINE), replace(CLASS, variants="")
    (folder,) = folders = collected({MINE: of_variant(mine, images[mine])})
    assert findings.own_variants(folders, usual) == {folder: None}
    assert any(f"a split of a student's own ({mine})" in text for text in wrong(folders, usual)[MINE][TRAINING])


HOSTILE = [
    '{"history": 3}',
    '{"history": {"a": 1}}',
    "",
    "[]",
    "{}",
    '{"config": 3}',
    '{"config": {"seed": [1], "data": 7}}',
    '{"config": {"seed": true}}',
]


@pytest.mark.parametrize("content", HOSTILE)
def test_records_that_are_none_say_nothing_of_seeds(content, tmp_path):
    folder = tmp_path / MINE
    (folder / "records" / "odd").mkdir(parents=True)
    (folder / "records" / "odd" / "record.json").write_text(content)
    assert findings.own_variants([folder], CLASS)[folder] == findings.Own(CLASS.seed_of(MINE), {})
    assert grade.copies([folder], own_seeds=True) == {}


def test_who_comes_late_changes_nothing_for_the_others(collected, images):
    """So that nobody is graded again when one more hands in."""
    mine, theirs = (CLASS.seed_of(student) for student in (MINE, THEIRS))
    folders = collected({MINE: of_variant(mine, images[mine]), THEIRS: of_variant(theirs, images[theirs]), LATE: {}})
    before, after = findings.own_variants(folders[:2], CLASS), findings.own_variants(folders, CLASS)
    assert {folder: after[folder] for folder in folders[:2]} == before


def test_photographs_of_ones_own_split_are_compared_with_ones_own_dense_network():
    (dense,) = (
        records.load(path.parent) for path in settings.REFERENCE.glob("quick-minicifar-*-seed0/lab4/dense/record.json")
    )
    run = replace(dense, config=dense.config | {"data": dense.config["data"] | {"split": 7}})
    case = findings.Case([], [dense], {})
    assert lab4.baseline(case, dense) is dense and lab4.baseline(case, run) is None


@pytest.mark.parametrize("seed", [1, 7])
def test_policies_count_over_the_front_of_their_own_student_alone(seed):
    """Seed 1 is that of the records, and so would be its split; 7 is somebody else's."""
    folder = settings.REFERENCE / "quick-shapes-seed1" / "lab2"
    usual = findings.case_of(folder, labs.named(2))
    runs = [replace(run, config=run.config | _with_split(run.config, 1)) for run in usual.runs]
    found = lab2.standing(replace(usual, runs=runs, own=findings.Own(seed, {})))
    before = lab2.standing(usual)
    if seed == 1:
        assert (found.points, found.gained, found.area) == (before.points, before.gained, before.area)
    else:
        assert (found.points, found.policies, found.left_out) == (0, {}, len(before.policies))


def _with_split(config, split):
    return {"data": config["data"] | {"split": split}} if "data" in config else {}
