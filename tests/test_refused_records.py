"""Records that are damaged, of another format, or cannot be written: said in one sentence, and nothing is lost."""

import json
import shutil

import pytest
from workers import save_on_full_disk, tiny_fit, vgg, vgg_of

from labkit import files, records
from labkit.records import Record
from labkit.settings import LabError


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


@pytest.mark.parametrize("found", [0, 3, "2", None])
def test_record_of_another_format_is_refused(refused, run, found):
    change_record(run, format=found)
    with refused(run / "record.json", f"has format {found}", "reads formats up to 2", "run its notebook again"):
        records.load(run)


@pytest.mark.parametrize("text", ["", "[]", '"text"', "3", '{"format": 2}', '{"format": 1}'])
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
    files.write_tensors(run / "weights.safetensors", weights)
    with refused(run / "weights.safetensors", "features.conv2.weight", "not finite", "train again"):
        records.load(run).model()


@pytest.mark.parametrize("stages", [([8], [9]), ([8], [8, 8]), ([8],)])
def test_weights_that_do_not_fit_the_specification_are_refused(refused, run, stages):
    change_record(run, network=vgg_of(*stages).to_dict())
    with refused(run, vgg_of(*stages), "do not fit", "train again"):
        records.load(run).model()


@pytest.mark.parametrize(
    "network", [{"family": "vgg"}, {"family": "vgg", "blocks": [1], "widths": [0], "classes": 10, "size": 32}, {}, 3]
)
def test_record_without_a_sound_specification_is_refused(refused, run, network):
    change_record(run, network=network)
    with refused("specification"):
        records.load(run).model()


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
    record = Record("sparsity", {}, vgg_of([4]).to_dict()).with_folder(tmp_path / "file" / "run")
    with refused(tmp_path / "file" / "run", "could not be saved"):
        records.save(record, vgg([4]).state_dict())
    assert (tmp_path / "file").read_text() == "precious"


def test_saving_a_number_that_is_not_finite_keeps_the_old_record(run, tree):
    record, files = records.load(run), tree(run)
    record.results["validation_accuracy"] = float("nan")
    with pytest.raises((LabError, ValueError)):
        records.save(record)
    assert tree(run) == files
