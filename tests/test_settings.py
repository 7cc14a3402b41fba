"""Where the settings come from, and where an experiment's runs lie."""

from pathlib import Path

import pytest
import torch

from labkit import settings


def test_unknown_profile_is_refused(refused):
    with refused("'fast'", "choose one of quick, half, full"):
        settings.current({"LABKIT_PROFILE": "fast"})


@pytest.mark.parametrize("seed", ["-1", "1.5", "zero", "²", "٣", " ", "1000000000"])
def test_bad_seed_is_refused(refused, seed):
    with refused(repr(seed), "LABKIT_SEED", "whole number"):
        settings.current({"LABKIT_SEED": seed})


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("environment", [{}, {"LABKIT_PROFILE": ""}])
def test_quick_is_the_default_with_a_gpu_as_well(monkeypatch, gpu, environment):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    here = settings.current(environment)
    assert (here.profile.name, here.data, here.seed, here.lab) == ("quick", "shapes", 0, 1)
    assert here.device.type == ("cuda" if gpu else "cpu")
    assert settings.current({"LABKIT_PROFILE": "full"}).profile.name == "full"


@pytest.mark.parametrize("lab", [1, 2, 9])
def test_every_lab_has_folders_of_its_own_in_the_experiments(tmp_path, lab):
    here = settings.current({"LABKIT_RUNS": str(tmp_path), "LABKIT_SEED": "3"}, lab)
    assert here.folder == tmp_path / "quick-shapes-seed3" / f"lab{lab}"
    assert here.reference == settings.REFERENCE / "quick-shapes-seed3" / f"lab{lab}"


def test_another_process_gets_the_same_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"LABKIT_DATA": "folder:photos", "LABKIT_SEED": "7", "LABKIT_RUNS": "here", "LABKIT_DOWNLOADS": "there"}
    here = settings.current(given | {"LABKIT_PROFILE": "half"}, 2)
    assert here.experiment == "half-folder-photos-seed7"
    environment = here.environment()
    monkeypatch.chdir("/")
    there = settings.current(environment, 2)
    assert there.folder == tmp_path / "here" / "half-folder-photos-seed7" / "lab2"
    assert (there.data, there.downloads) == (f"folder:{tmp_path / 'photos'}", tmp_path / "there")


def test_runs_lie_beside_the_notebooks(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        assert settings.current({}).runs == Path(tmp_path / "runs")


@pytest.mark.parametrize(
    ("data", "kind", "split"),
    [
        ("shapes", "shapes", None),
        ("shapes@7", "shapes", 7),
        ("folder@7:a@b/c", "folder:a@b/c", 7),
        ("folder:a@7", "folder:a@7", None),
    ],
)
def test_a_split_stands_behind_the_first_word_of_a_data_set(data, kind, split):
    assert (settings.split_of(data), settings.with_split(data, None)) == (split, kind)
    assert settings.with_split(kind, split) == data
    assert settings.split_of(settings.with_split(data, 9)) == 9


@pytest.mark.parametrize(
    "data", ["shapes@", "shapes@x", "shapes@٣", "shapes@-1", "shapes@1000000000", "folder@:photos", "a@1@2"]
)
def test_a_split_that_is_no_seed_is_refused(data, refused):
    with refused(repr(data), "whole number from 0 to 999999999"):
        settings.split_of(data)


def test_a_split_of_ones_own_goes_on_from_seed_0_where_its_images_are_new(tmp_path):
    def here(**given):
        return settings.current({"LABKIT_RUNS": str(tmp_path)} | given)

    own, usual = here(LABKIT_DATA="shapes@7", LABKIT_SEED="7"), here(LABKIT_SEED="0")
    assert own.folder == tmp_path / "quick-shapes-seed7" / "lab1"
    assert own.reference == usual.reference and "not yours" in own.shipped
    assert usual.shipped == "data/reference/quick-shapes-seed0"
    mixed = here(LABKIT_DATA="shapes@7")
    assert mixed.folder == tmp_path / "quick-shapes-7-seed0" / "lab1", "not among the runs of the split that all have"
    assert mixed.reference == usual.reference
    photographs = here(LABKIT_DATA="folder@7:cifar10", LABKIT_SEED="7")
    assert photographs.reference.parent.name == photographs.experiment == "quick-folder-cifar10-seed7"
    assert not photographs.reference.exists(), "the course's networks were trained on images that this split chooses on"
