"""Where the settings come from, and where an experiment's runs lie."""

from pathlib import Path

import pytest
import torch

from labkit import settings


def test_unknown_profile_is_refused(refused):
    with refused("'fast'", "choose one of quick, half, full"):
        settings.current({"LABKIT_PROFILE": "fast"})


@pytest.mark.parametrize("seed", ["-1", "1.5", "zero", "²", " ", "1000000000"])
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
