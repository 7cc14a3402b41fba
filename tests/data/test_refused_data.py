import errno
import io
import shutil
import urllib.error

import pytest
import torchvision
from PIL import Image

from labkit import data

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


def test_unknown_data_set_is_refused(refused, tmp_path):
    with refused("'cifar11'", "choose one of", "shapes", "folder:PATH"):
        data.load("cifar11", tmp_path)


def test_missing_folder_is_refused(refused, load_folder, tmp_path):
    with refused(tmp_path / "nowhere", "'train'", "train/<class>/<image>"):
        load_folder(tmp_path / "nowhere")


def test_minicifar_from_a_folder_that_lacks_a_class_is_refused(refused, photographs, tmp_path):
    with refused(photographs / "train", "no class 'airplane'", "under these names"):
        data.load(f"minicifar:{photographs}", tmp_path / "cache")


def test_minicifar_from_too_few_images_is_refused(refused, photographs, tmp_path):
    for name in data.MINI:
        for path in (f"train/{name}/1.png", f"test/{name}/1.png"):
            photograph(photographs / path)
    with refused("1,250 training images of each class", "there are 1:", "folder:PATH"):
        data.load(f"minicifar:{photographs}", tmp_path / "cache")


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
