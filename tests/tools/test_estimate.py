"""The arithmetic of the estimate, and the doctor's page; no clock is trusted."""

from dataclasses import replace

import pytest

from labkit import hardware, measure, models, records, settings
from labkit.measure import CPU
from labkit.methods.slimming.work import LEFT
from labkit.settings import PROFILES, REPOSITORY
from labkit.tools import doctor, estimate

SIZES = estimate.Sizes(train=1000, validation=300, test=500)


def seconds(step, profile="quick", data="shapes"):
    chosen = PROFILES[profile] if isinstance(profile, str) else profile
    return {notebook: estimate.seconds_for(notebook, chosen, SIZES, data, step) for notebook in estimate.costs()}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_notebook_is_estimated(profile):
    notebooks = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert set(seconds(lambda keep, together: 0.0, profile, "photographs")) == notebooks


def test_trainings_are_counted_in_epochs_times_images():
    profile, base = PROFILES["quick"], seconds(lambda keep, together: 0.0)
    dense = seconds(lambda keep, together: 0.01 if keep == 1 and together == 3 else 0.0)
    epochs = 3 * profile.train.epochs
    assert dense["01_sparsity_training"] - base["01_sparsity_training"] == pytest.approx(epochs * (1000 + 100) * 0.01)
    assert dense["04_fine_tuning"] == base["04_fine_tuning"], "only thin networks are trained there"
    thin = seconds(lambda keep, together: 0.01 if keep == LEFT["shapes"][0.9] else 0.0)
    epochs = (
        (3 + 1) * profile.fine_tune.epochs + profile.train.epochs + profile.fine_tune.epochs
    )  # the open task's, too
    assert thin["04_fine_tuning"] - base["04_fine_tuning"] == pytest.approx(epochs * 1100 * 0.01)


def test_thin_networks_are_as_large_as_those_of_the_reference_runs():
    """A uniform network with LEFT of the channels has roughly the MACs of the pruned ones: 0.6 to 1.6 times."""
    for experiment in settings.REFERENCE.glob("*/lab1"):
        profile, data = records.experiment_name(experiment).rpartition("-seed")[0].split("-", 1)
        dense = models.named(PROFILES[profile].network, PROFILES[profile].width)
        (summary,) = records.load_all(experiment, "summary")
        for row in summary.results["rows"]:
            if row["stage"] == "fine-tuned":
                left = estimate.left(LEFT, data, row["ratio"])
                uniform = measure.macs(models.build(dense.with_widths(round(left * c) for c in dense.widths)))
                assert 0.6 < uniform / row["macs"] < 1.6, (experiment, row["ratio"])


def test_a_ratio_between_those_that_were_seen_is_interpolated():
    table = {"shapes": {0.0: 1.0, 0.5: 0.5, 1.0: 0.0}, "photographs": {0.0: 1.0, 0.5: 0.8, 1.0: 0.0}}
    assert estimate.left(table, "shapes", 0.6) == pytest.approx(0.4)
    assert estimate.left(table, "photographs", 0.25) == pytest.approx(0.9)
    new = replace(PROFILES["quick"], ratios=(0.33, 0.77))
    assert all(time > 0 for time in seconds(lambda keep, together: 0.001, new).values())
    keeps = []
    seconds(lambda keep, together: keeps.append(keep) or 0.0, new)
    assert (
        estimate.left(LEFT, "shapes", 0.77) in keeps
        and LEFT["shapes"][0.9] < estimate.left(LEFT, "shapes", 0.77) < LEFT["shapes"][0.7]
    )


@pytest.mark.parametrize("data", ["cifar10", "folder:/my/photos", "never-heard-of"])
def test_an_unknown_data_set_is_taken_for_photographs(data):
    def step(keep, together):
        return 0.001 * keep

    assert seconds(step, data=data) == seconds(step, data="photographs") != seconds(step, data="shapes")


def test_a_notebook_that_no_method_declares_is_refused(refused):
    with refused("17_unheard_of", "01_sparsity_training"):
        estimate.seconds_for("17_unheard_of", PROFILES["quick"], SIZES, "shapes", lambda keep, together: 0.0)


@pytest.mark.parametrize("together", [1, 2])
def test_trainings_in_turns_are_timed_and_never_finished(together, monkeypatch):
    monkeypatch.setattr(estimate, "ENOUGH", 0.05)
    here, network = settings.current(), models.build(models.named("vgg11", 0.05), seed=0)
    assert estimate._seconds_in_turns(network, here.profile.train, here.device, together) > 0
    assert not list(here.runs.iterdir())


@pytest.mark.parametrize(
    ("granted", "together", "timed", "seconds"),
    [
        (2, 1, {1: 3.0, 2: 2.0}, 2.0),  # alone: on all threads
        (2, 1, {1: 3.0, 2: 9.0}, 3.0),  # beside a busy program: on fewer
        (2, 3, {1: 3.0, 2: 2.0}, 1.15 * 1.5),  # three: on one each
        (2, 2, {1: 3.0, 2: 2.0}, 1.5),
        (4, 3, {1: 3.0, 2: 1.2, 4: 0.8}, 0.8),  # one after the other is faster
        (1, 3, {1: 3.0}, 3.0),
        (4, 0, {1: 3.0}, 3.0),  # a worker
    ],
)
def test_on_a_cpu_the_faster_way_counts(granted, together, timed, seconds, monkeypatch):
    monkeypatch.setattr(estimate.hardware, "cores", lambda: hardware.Cores(granted, "said"))
    monkeypatch.setattr(estimate.training, "seconds_per_step", lambda m, i, r, counts: {n: timed[n] for n in counts})
    recipe, network = PROFILES["quick"].train, models.named("vgg11", 0.05)
    assert estimate.seconds_per_image(network, recipe, CPU, together) == pytest.approx(seconds / recipe.batch)


def test_the_line_before_a_training_says_when_the_machine_is_busy(monkeypatch, tiny_data):
    monkeypatch.setattr(estimate, "timed", lambda profile, device: lambda keep, together: 0.001)
    for others, said in ((1.0, "Other programs use 1.0 of"), (0.0, "are loaded.")):
        monkeypatch.setattr(hardware.Load, "others", lambda self, others=others: others)
        monkeypatch.setattr(hardware, "cores", lambda: hardware.Cores(hardware.processors(), "said"))
        line = estimate.minutes_for("01_sparsity_training", settings.current(), tiny_data)
        assert said in line and ("Other programs" in line) == bool(others)


def test_doctor_reports_on_a_profile_of_new_data_and_new_ratios(monkeypatch):
    monkeypatch.setattr(doctor, "timed", lambda profile, device: lambda keep, together: 0.001)
    new = replace(PROFILES["quick"], name="new", data="birds", ratios=(0.33, 0.77))
    monkeypatch.setattr(settings, "PROFILES", {"quick": PROFILES["quick"], "new": new})
    assert "minutes for the 'new' profile on birds" in doctor.report()


def test_doctor_says_precision_profile_and_minutes(monkeypatch):
    monkeypatch.setattr(doctor, "timed", lambda profile, device: lambda keep, together: 0.001)
    monkeypatch.setattr(doctor, "fast_dtype", lambda device: __import__("torch").float32)
    monkeypatch.setattr(doctor, "memory", lambda: 2 * doctor.GIB)
    page = doctor.report()
    assert "no half precision in hardware" in page
    assert "'quick' with data 'shapes'" in page
    assert "little memory: the lab wants 4 GiB" in page
    assert page.count("01_sparsity_training") == len(PROFILES)


def test_doctor_begins_with_the_chosen_profile_on_the_chosen_data(monkeypatch):
    monkeypatch.setattr(doctor, "timed", lambda profile, device: lambda keep, together: 1e-3)
    monkeypatch.setenv("LABKIT_PROFILE", "quick")
    monkeypatch.setenv("LABKIT_DATA", "cifar10")
    sections = doctor.report().split("\nminutes for the ")[1:]
    assert [section.partition(" (")[0] for section in sections[:2]] == [
        "'quick' profile on cifar10",
        "'quick' profile on shapes",
    ]
    on_cifar10, on_shapes = (float(section.split()[-1]) for section in sections[:2])
    assert len(sections) == len(PROFILES) + 1 and on_cifar10 > on_shapes
