import errno
import io
import json
import shutil
import urllib.error

import pytest
import torch
import torchvision
from PIL import Image
from workers import save_on_full_disk, slimming, tiny_fit

from labkit import data, records, settings
from labkit.models import VGGNet, vgg_channels
from labkit.pruning import global_plan, scaling_factors
from labkit.records import Record
from labkit.settings import LabError, Recipe
from labkit.training import fit, learning_rates

CIFAR = torchvision.datasets.CIFAR10


def photograph(path, size=(32, 32), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 50).convert(mode).save(path)


@pytest.fixture
def photographs(tmp_path):
    """A sound folder: two classes, two training images and one test image each."""
    folder = tmp_path / "photographs"
    for name in ("cat", "dog"):
        for path in (f"train/{name}/1.png", f"train/{name}/2.jpg", f"test/{name}/1.png"):
            photograph(folder / path)
    return folder


@pytest.fixture
def load_folder(tmp_path):
    return lambda folder: data.load(f"folder:{folder}", tmp_path / "cache")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a finished run."""
    return tiny_fit(tmp_path_factory.mktemp("runs") / "good", 1).folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


def change_record(run, **changes):
    path = run / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_unknown_data_set_is_refused(refused, tmp_path):
    with refused("'cifar11'", "choose one of", "shapes", "folder:PATH"):
        data.load("cifar11", tmp_path)


def test_unknown_profile_is_refused(refused):
    with refused("'fast'", "choose one of quick, half, full"):
        settings.current({"LABKIT_PROFILE": "fast"})


@pytest.mark.parametrize("seed", ["-1", "1.5", "zero", "²", " ", "1000000000"])
def test_bad_seed_is_refused(refused, seed):
    with refused(repr(seed), "LABKIT_SEED", "whole number"):
        settings.current({"LABKIT_SEED": seed})


def test_unknown_depth_and_schedule_are_refused(refused):
    with refused("VGG-13", "choose one of 11, 16, 19"):
        vgg_channels(13)
    with refused("'cosine'", "choose step or linear"):
        learning_rates(Recipe(1, 50, schedule="cosine"), 100)


def test_missing_folder_is_refused(refused, load_folder, tmp_path):
    with refused(tmp_path / "nowhere", "'train'", "train/<class>/<image>"):
        load_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("part", ["train", "test"])
def test_folder_without_train_or_test_is_refused(refused, load_folder, photographs, part):
    shutil.rmtree(photographs / part)
    with refused(photographs, repr(part), f"{part}/<class>/<image>"):
        load_folder(photographs)


@pytest.mark.parametrize("part", ["train", "test"])
def test_folder_without_classes_is_refused(refused, load_folder, photographs, part):
    shutil.rmtree(photographs / part)
    photograph(photographs / part / "image.png")
    with refused(photographs / part, "no class folders", f"{part}/<class>/<image>"):
        load_folder(photographs)


@pytest.mark.parametrize("part", ["train", "test"])
def test_empty_class_is_refused(refused, load_folder, photographs, part):
    (photographs / part / "owl").mkdir()
    with refused(photographs / part / "owl", "is empty", "remove it"):
        load_folder(photographs)


@pytest.mark.parametrize("part", ["train", "test"])
def test_different_classes_in_train_and_test_are_refused(refused, load_folder, photographs, part):
    photograph(photographs / part / "owl" / "1.png")
    with refused(photographs, "'owl'", "same classes"):
        load_folder(photographs)


def noise(format):
    file = io.BytesIO()
    Image.effect_noise((40, 40), 50).save(file, format)
    return file.getvalue()


DAMAGED = {
    "text": b"this is no image",
    "empty": b"",
    "truncated png": noise("png")[:500],
    "truncated jpeg": noise("jpeg")[:500],
    "png whose data ends early": noise("png")[:33] + b"\0\0\1\0" + noise("png")[37:],
    "ppm of a broken width": b"P6\n4F 40\n255\n" + bytes(5000),
    "ppm of absurd size": b"P6\n60000 60000\n255\n" + bytes(5000),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_corrupt_image_is_named(refused, load_folder, photographs, tmp_path, damage):
    corrupt = photographs / "train" / "dog" / "2.jpg"
    corrupt.write_bytes(DAMAGED[damage])
    with refused(corrupt, "not a readable image", "replace or remove it"):
        load_folder(photographs)
    photograph(corrupt)
    assert len(load_folder(photographs).train) == 4 - 1


@pytest.mark.parametrize("ratio", [-0.5, 1.0, float("nan")])
def test_prune_ratio_outside_zero_to_one_is_refused(refused, ratio):
    with refused(f"is {ratio}", "give a number from 0"):
        global_plan(scaling_factors(VGGNet([4, 4])), ratio)


def test_unreachable_prune_ratio_is_refused_with_the_reachable_one(refused):
    with refused("0.9", "7 of 8", "allows only 6", "ratio 0.7500"):
        global_plan(scaling_factors(VGGNet([4, 4])), 0.9)


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_record_of_another_format_is_refused(refused, run, found):
    change_record(run, format=found)
    with refused(run / "record.json", f"has format {found}", "reads format 1", "run its notebook again"):
        records.load(run)


@pytest.mark.parametrize("text", ["", "[]", '"text"', "3", '{"format": 1}'])
def test_record_that_is_none_is_refused(refused, run, text):
    (run / "record.json").write_text(text)
    with refused(run / "record.json", "run its notebook again"):
        records.load(run)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_record_is_refused(refused, run, share):
    text = (run / "record.json").read_text()
    (run / "record.json").write_text(text[: int(share * len(text))])
    with refused(run / "record.json", "is damaged", "delete the folder run"):
        records.load(run)


def test_record_of_random_bytes_is_refused(refused, run):
    (run / "record.json").write_bytes(b"\xff\xfe\x80{}")
    with refused(run / "record.json", "is damaged", "delete the folder run"):
        records.load(run)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_record_with_a_number_that_is_not_finite_is_refused(refused, run, value):
    change_record(run, results={"validation_accuracy": value})
    with refused(run / "record.json", json.dumps(value), "delete the folder run"):
        records.load(run)


def test_record_with_unknown_entries_is_refused(refused, run):
    change_record(run, colour="blue")
    with refused(run / "record.json", "colour", "delete the folder run"):
        records.load(run)


def test_missing_record_is_refused(refused, run):
    (run / "record.json").unlink()
    with refused(run, "never finished", "run its notebook again"):
        records.load(run)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_truncated_weights_are_refused(refused, run, length):
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with refused(path, "is damaged", "delete the folder run"):
        records.load(run).model()


def test_missing_weights_are_refused(refused, run):
    (run / "weights.safetensors").unlink()
    with refused(run / "weights.safetensors", "is missing", "run the notebook"):
        records.load(run).model()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(refused, run, value):
    weights = records.load(run).state()
    weights["features.conv2.weight"][3, 2, 1, 0] = value
    records.write_tensors(run / "weights.safetensors", weights)
    with refused(run / "weights.safetensors", "features.conv2.weight", "not finite", "train again"):
        records.load(run).model()


@pytest.mark.parametrize("channels", [[8, "M", 9], [8, "M", 8, 8], [8]])
def test_weights_that_do_not_fit_the_channel_list_are_refused(refused, run, channels):
    change_record(run, channels=channels)
    with refused(run, str(channels), "do not fit", "train again"):
        records.load(run).model()


@pytest.mark.parametrize("lam", [-1e-4, float("nan"), float("inf")])
def test_bad_lambda_is_refused_and_the_run_there_kept(refused, run, tree, lam):
    files = tree(run)
    with refused(f"λ is {lam}", "positive number"):
        tiny_fit(run, 1, lam=lam)
    assert tree(run) == files


def test_missing_penalty_is_refused_and_the_run_there_kept(refused, run, tree):
    files = tree(run)
    with refused("λ is 0.001", "penalty_gradient", "pass the function"):
        tiny_fit(run, 1, penalty=None)
    assert tree(run) == files


@pytest.mark.parametrize(
    "penalty",
    [
        lambda gammas, lam: None,
        lambda gammas, lam: lam,
        lambda gammas, lam: lam * gammas.sign().sum(),
        lambda gammas, lam: lam * gammas.sign()[:-1],
        lambda gammas, lam: lam * gammas / gammas.abs(),
    ],
    ids=["nothing", "number", "sum", "one too short", "nan at 0"],
)
def test_penalty_of_wrong_shape_or_value_is_refused_before_training(refused, tmp_path, penalty):
    with refused("penalty"):
        tiny_fit(tmp_path / "run", 1, penalty=penalty)
    assert not (tmp_path / "run").exists()


def test_loss_that_is_not_finite_stops_the_run(refused, tmp_path, tiny_data):
    with refused("loss is nan in epoch 1", "learning rate 1e+20", "run again"):
        recipe = Recipe(2, 50, learning_rate=1e20)
        fit(VGGNet([4]), tiny_data, recipe, folder=tmp_path / "run", kind="sparsity")
    assert not (tmp_path / "run" / "record.json").exists()


class Spoiling:
    """A penalty that is infinite from its n-th step on."""

    def __init__(self, n):
        self.left = n

    def __call__(self, gammas, lam):
        if gammas.numel() == 16:
            self.left -= 1
        return slimming(gammas, lam) + (torch.inf if self.left <= 0 and gammas.numel() == 16 else 0)


def test_loss_that_is_not_finite_keeps_the_epochs_before(refused, tmp_path):
    with refused("loss is nan in epoch 3", "λ = 0.001", "lower one of them"):
        tiny_fit(tmp_path / "run", 4, penalty=Spoiling(2 * 6 + 3))
    trained = []
    tiny_fit(tmp_path / "run", 4, watch=lambda history, epochs: trained.append(len(history)))
    assert trained == [3, 4]


@pytest.mark.parametrize("epoch", [1, 2])
def test_last_step_of_an_epoch_cannot_spoil_the_save(refused, tmp_path, epoch):
    with refused(f"epoch {epoch}", "run again"):
        tiny_fit(tmp_path / "run", 2, penalty=Spoiling(epoch * 6))
    trained = []
    record = tiny_fit(tmp_path / "run", 2, watch=lambda history, epochs: trained.append(len(history)))
    assert trained == [1, 2][epoch - 1 :]
    assert record.model().training is False


@pytest.mark.parametrize("what", ["weights", "record", "checkpoint"])
def test_full_disk_leaves_the_last_good_save(spawn, run, tree, what):
    if what == "checkpoint":
        with pytest.raises(KeyboardInterrupt):
            tiny_fit(run, 4, watch=_interrupt)
    files = tree(run)
    process, receiver = spawn(save_on_full_disk, run, what)
    message = receiver.recv()
    process.join()
    assert f"{what}." in message and "could not be saved" in message and "free some space" in message
    assert tree(run) == files
    if what == "checkpoint":
        trained = []
        tiny_fit(run, 4, watch=lambda history, epochs: trained.append(len(history)))
        assert trained == [3, 4]
    assert records.load(run).model()


def _interrupt(history, epochs):
    if len(history) == 2:
        raise KeyboardInterrupt


def test_folder_that_cannot_be_made_is_refused(refused, tmp_path, tree):
    (tmp_path / "file").write_text("precious")
    record = Record("sparsity", {}, [4], 10).with_folder(tmp_path / "file" / "run")
    with refused(tmp_path / "file" / "run", "could not be saved"):
        records.save(record, VGGNet([4]).state_dict())
    assert (tmp_path / "file").read_text() == "precious"


def test_saving_a_number_that_is_not_finite_keeps_the_old_record(run, tree):
    record, files = records.load(run), tree(run)
    record.results["validation_accuracy"] = float("nan")
    with pytest.raises((LabError, ValueError)):
        records.save(record)
    assert tree(run) == files


@pytest.mark.parametrize("name", ["cifar10", "minicifar"])
def test_corrupt_archive_is_refused_and_kept(refused, tmp_path, name):
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"half of it")
    with refused(archive, "is damaged", CIFAR.tgz_md5, "delete it"):
        data.load(name, tmp_path)
    assert archive.read_bytes() == b"half of it"


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "minicifar"])
def test_without_a_network_the_message_says_what_to_put_where(refused, monkeypatch, tmp_path, name):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    source = torchvision.datasets.CIFAR100 if name == "cifar100" else CIFAR
    with refused("Name or service not known", source.tgz_md5, source.filename, tmp_path, "'shapes'"):
        data.load(name, tmp_path)


def test_archive_put_there_by_hand_survives_a_failed_extraction(refused, monkeypatch, tmp_path):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = tmp_path / CIFAR.filename
    archive.write_bytes(b"the whole archive")
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda path, md5=None: archive.exists())
    monkeypatch.setattr("torchvision.datasets.utils.extract_archive", full)
    monkeypatch.setattr("urllib.request.urlopen", full)
    with refused("No space left on device"):
        data.load("cifar10", tmp_path)
    assert archive.read_bytes() == b"the whole archive"


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    """Settings whose runs and reference are empty folders."""
    monkeypatch.setattr(settings, "REFERENCE", tmp_path / "reference")
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    return settings.current()


def add_run(folder, kind="sparsity"):
    return records.save(Record(kind, {"lambda": 0.0}, [4], 10).with_folder(folder))


def test_runs_fall_back_to_the_reference_and_say_so(experiment, capsys):
    shipped = add_run(experiment.reference / "lambda-0")
    add_run(experiment.folder / "pruned", kind="pruning")
    assert records.runs_of(experiment, "sparsity", "02_train") == [shipped]
    said = capsys.readouterr().out
    assert "02_train" in said and "reference" in said and experiment.experiment in said

    own = add_run(experiment.folder / "lambda-0")
    assert records.runs_of(experiment, "sparsity", "02_train") == [own]
    assert capsys.readouterr().out == ""


def test_too_few_runs_fall_back_to_the_reference_too(experiment, capsys, refused):
    add_run(experiment.folder / "lambda-0")
    shipped = [add_run(experiment.reference / name) for name in ("lambda-0", "lambda-1")]
    assert records.runs_of(experiment, "sparsity", "02_train", count=2) == shipped
    assert "1 of 2 sparsity runs" in capsys.readouterr().out
    with refused("1 of 3 sparsity runs", "run notebook 02_train first"):
        records.runs_of(experiment, "sparsity", "02_train", count=3)


def test_without_runs_and_reference_the_notebook_is_named(experiment, refused):
    add_run(experiment.reference / "lambda-0")
    with refused("0 of 1 pruning runs", experiment.folder, "run notebook 03_prune first"):
        records.runs_of(experiment, "pruning", "03_prune")
