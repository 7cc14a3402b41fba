"""The arithmetic of the estimate, and the doctor's page; no clock is trusted."""

import pytest

from labkit import doctor, estimate, settings
from labkit.settings import PROFILES, REPOSITORY

SIZES = estimate.Sizes(train=1000, validation=300)


def test_every_notebook_is_estimated():
    notebooks = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert set(estimate.estimate(PROFILES["quick"], SIZES, lambda keep: 0.0)) == notebooks


def test_trainings_are_counted_in_epochs_times_images():
    profile, base = PROFILES["quick"], estimate.estimate(PROFILES["quick"], SIZES, lambda keep: 0.0)
    seconds = estimate.estimate(profile, SIZES, lambda keep: {1.0: 0.01, 0.5: 0.0, estimate.THIN: 0.0}[keep])
    epochs = 3 * profile.train.epochs
    assert seconds["01_sparsity_training"] - base["01_sparsity_training"] == pytest.approx(epochs * (1000 + 100) * 0.01)
    assert seconds["04_fine_tuning"] == base["04_fine_tuning"], "only thin networks are trained there"
    thin = estimate.estimate(profile, SIZES, lambda keep: {1.0: 0.0, 0.5: 0.0, estimate.THIN: 0.01}[keep])
    epochs = 3 * profile.fine_tune.epochs + profile.train.epochs + profile.fine_tune.epochs
    assert thin["04_fine_tuning"] - base["04_fine_tuning"] == pytest.approx(epochs * 1100 * 0.01)


def test_a_real_step_takes_time_and_a_thin_one_less():
    here = settings.current()
    dense, thin = (estimate.seconds_per_image(here.profile, here.device, keep) for keep in (1.0, 0.1))
    assert dense > thin > 0


def test_doctor_says_precision_profile_and_minutes(monkeypatch):
    fixed = lambda profile, sizes, device: estimate.estimate(profile, sizes, lambda keep: 0.001)  # noqa: E731
    monkeypatch.setattr(doctor, "measured", fixed)
    monkeypatch.setattr(doctor, "fast_dtype", lambda device: __import__("torch").float32)
    monkeypatch.setattr(doctor, "memory", lambda: 2 * doctor.GIB)
    page = doctor.report()
    assert "no half precision in hardware" in page
    assert "'quick' with data 'shapes'" in page
    assert "little memory: the lab wants 4 GiB" in page
    assert page.count("01_sparsity_training") == 2
