import os
import shutil
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from workers import vgg

from labkit import data
from labkit.data import Images, augmented_batches, batches, load, minicifar, normalise, shapes
from labkit.data.shared import share, shared
from labkit.settings import Recipe
from labkit.training import fit

SHAPES_SHA256 = "3a6b51a7695ed3014a5d03afbff409230937ba0215686fa578e2568b713131fe"
SOME = 500  # real photographs a class


@pytest.fixture(scope="module")
def shapes_data(tmp_path_factory):
    return load("shapes", tmp_path_factory.mktemp("downloads"))


def numbered(count, label=lambda i: i % 10):
    """``count`` images that each hold their own number; see ``numbers``."""
    numbers = torch.arange(count)
    pixels = torch.stack([numbers // 256, numbers % 256, numbers * 0], 1).to(torch.uint8)
    return Images(pixels[:, None, None].expand(-1, 1, 1, 3), torch.tensor([label(i) for i in range(count)]))


def numbers(images):
    pixels = images.pixels[:, 0, 0].long()
    return (pixels[:, 0] * 256 + pixels[:, 1]).tolist()


def test_shapes_are_the_same_bytes_on_every_machine(shapes_data):
    assert shapes_data.fingerprint() == SHAPES_SHA256


def test_shapes_depend_on_the_seed_alone():
    (a, labels), (b, _), (c, _) = (shapes.generate(50, seed) for seed in (3, 3, 4))
    assert (a == b).all() and (a != c).any()
    assert a.shape == (50, 32, 32, 3) and a.dtype == np.uint8 and labels.dtype == np.int64


def test_shapes_have_their_sizes_and_balanced_classes(shapes_data):
    assert [len(p) for p in (shapes_data.train, shapes_data.validation, shapes_data.test)] == [
        4000,
        600,
        1000,
    ]
    assert shapes_data.classes == shapes.CLASSES
    for part in (shapes_data.train, shapes_data.validation, shapes_data.test):
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
        assert part.pixels.shape[1:] == (32, 32, 3) and part.pixels.dtype == torch.uint8


def test_no_two_parts_of_shapes_share_an_image(shapes_data):
    parts = (shapes_data.train, shapes_data.validation, shapes_data.test)
    assert len({image.numpy().tobytes() for part in parts for image in part.pixels}) == 5600


@pytest.fixture(scope="module")
def of_its_own(shapes_data):
    return [data.own_shapes(shapes_data, split) for split in (7, 8)]


def test_a_split_of_ones_own_has_other_images_to_train_and_to_choose_on(shapes_data, of_its_own, tmp_path):
    one, other = of_its_own
    assert load("shapes@7", tmp_path).fingerprint() == one.fingerprint() != other.fingerprint()
    assert [len(part) for part in (one.train, one.validation, one.test)] == [4000, 600, 1000]
    assert torch.equal(one.test.pixels, shapes_data.test.pixels), "all are judged on the same images at the end"
    usual = pictures(shapes_data.train) | pictures(shapes_data.validation)
    chosen_on, trained_on = pictures(one.validation), pictures(one.train)
    assert not chosen_on & (usual | pictures(one.test) | pictures(other.validation)), "a shipped network never saw them"
    assert trained_on < usual and trained_on != pictures(other.train)
    assert one.validation.labels.bincount().tolist() == [60] * 10
    assert min(one.train.labels.bincount()) > 360


def pictures(images):
    return {image.numpy().tobytes() for image in images.pixels}


def test_a_record_says_which_split_its_data_are(shapes_data, of_its_own):
    assert "split" not in shapes_data.describe() and "split" not in str(shapes_data)
    assert of_its_own[0].describe()["split"] == of_its_own[0].to("cpu").split == 7
    assert str(of_its_own[0]).endswith("10 classes, split 7")


def test_processes_share_a_split_as_what_it_is(of_its_own, tmp_path):
    found = shared(share(of_its_own[0], tmp_path))
    assert found.describe() == of_its_own[0].describe()


def test_fingerprint_sees_every_pixel_label_and_part(tiny_data):
    seen = {tiny_data.fingerprint()}
    for part in (tiny_data.train, tiny_data.validation, tiny_data.test):
        for tensor in (part.pixels, part.labels):
            last = tensor.view(-1)[-1:]
            last += 1
            seen.add(tiny_data.fingerprint())
            last -= 1
    assert len(seen) == 7


@pytest.fixture
def photographs(tmp_path):
    """Three classes of PNG and JPEG files in several modes and sizes; image i is of brightness 20·i."""
    folder, kinds = tmp_path / "my photographs", ("RGB", "L", "RGBA", "P", "CMYK", "1")
    for part, count in (("train", 7), ("test", 2)):
        for name in ("ant", "bee", "cow"):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                mode = kinds[i % len(kinds)]
                suffix = "jpg" if mode in ("CMYK", "L") else "png"
                image = Image.new("RGB", [(32, 32), (50, 20), (8, 90)][i % 3], (20 * i,) * 3)
                image.convert(mode).save(folder / part / name / f"{i}.{suffix}")
    return folder


def decoding(monkeypatch):
    """The paths decoded from now on."""
    seen, original = [], data._decode
    monkeypatch.setattr(data, "_decode", lambda path: seen.append(path) or original(path))
    return seen


def test_folder_is_split_by_its_own_classes(photographs, tmp_path):
    loaded = load(f"folder:{photographs}", tmp_path / "cache")
    assert loaded.classes == ("ant", "bee", "cow")
    assert [len(p) for p in (loaded.train, loaded.validation, loaded.test)] == [19, 2, 6]
    together = torch.cat([loaded.train.labels, loaded.validation.labels])
    assert together.bincount().tolist() == [7, 7, 7]
    assert loaded.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def eight_classes(photographs):
    """The same, with CIFAR-10's first classes among others and more images of each."""
    for part in ("train", "test"):
        for number, name in enumerate(("zebra", *data.MINI, "dog")):
            (photographs / part / name).mkdir()
            for i in range(7):
                Image.new("RGB", (32, 32), (40 * number,) * 3).save(photographs / part / name / f"{i}.png")
    return photographs


def test_minicifar_is_made_out_of_a_folder(eight_classes, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MINI_TRAIN", 4)
    monkeypatch.setattr(data, "MINI_VALIDATION", 2)
    seen = decoding(monkeypatch)
    mini = load(f"minicifar:{eight_classes}", tmp_path / "cache")
    assert mini.classes == ("airplane", "automobile", "bird", "cat") and mini.name == "minicifar:my photographs"
    for part, count in ((mini.train, 4), (mini.validation, 2), (mini.test, 7)):
        assert part.labels.bincount().tolist() == [count] * 4
        assert (part.pixels[:, 0, 0, 0] == 40 * (part.labels + 1)).all()
    assert len(seen) == 4 * 14  # the other classes are left alone


def test_images_of_any_size_and_mode_are_accepted(photographs, tmp_path):
    loaded = load(f"folder:{photographs}", tmp_path / "cache")
    pixels = torch.cat([loaded.train.pixels, loaded.validation.pixels])
    assert pixels.shape == (21, 32, 32, 3) and pixels.dtype == torch.uint8
    brightness = sorted(pixels.float().mean((1, 2, 3)).round().int().tolist())
    expected = sorted(20 * i for i in range(7) for _ in range(3))
    assert np.allclose(brightness, expected, atol=12)


def test_folder_is_decoded_once(monkeypatch, photographs, tmp_path):
    seen = decoding(monkeypatch)
    first = load(f"folder:{photographs}", tmp_path / "cache")
    assert len(seen) == 27

    def forbidden(path):
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(data, "_decode", forbidden)
    assert load(f"folder:{photographs}", tmp_path / "cache").fingerprint() == first.fingerprint()


@pytest.mark.parametrize("change", ["replaced", "added", "removed"])
def test_folder_is_decoded_again_after_a_change(monkeypatch, photographs, tmp_path, change):
    before = load(f"folder:{photographs}", tmp_path / "cache")
    path = photographs / "test" / "bee" / ("new.png" if change == "added" else "0.png")
    if change == "removed":
        path.unlink()
    else:
        Image.new("RGB", (32, 32), (0, 0, 255)).save(path)
    after = load(f"folder:{photographs}", tmp_path / "cache")
    assert after.fingerprint() != before.fingerprint()
    assert len(after.test) == {"replaced": 6, "added": 7, "removed": 5}[change]
    blue = (after.test.pixels == torch.tensor([0, 0, 255])).all(-1).all(-1).all(-1)
    assert after.test.labels[blue].tolist() == ([] if change == "removed" else [1])


def test_damaged_cache_is_decoded_again(photographs, tmp_path):
    before = load(f"folder:{photographs}", tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:1000])
    assert load(f"folder:{photographs}", tmp_path / "cache").fingerprint() == before.fingerprint()


@pytest.fixture(scope="module")
def mini():
    """minicifar of 10 x 1,300 training and 10 x 20 test images, which hold their numbers."""
    return minicifar(numbered(13_000), numbered(200), [f"class {i}" for i in range(10)])


def test_minicifar_is_four_balanced_classes(mini):
    assert mini.classes == ("class 0", "class 1", "class 2", "class 3")
    assert mini.train.labels.bincount().tolist() == [1000] * 4
    assert mini.validation.labels.bincount().tolist() == [250] * 4
    assert mini.test.labels.bincount().tolist() == [20] * 4


def test_minicifar_validates_on_training_images_that_it_does_not_train_on(mini):
    train, validation = numbers(mini.train), numbers(mini.validation)
    assert len(set(train) | set(validation)) == 5000
    for part in (mini.train, mini.validation):  # pixels and labels still belong together
        assert [n % 10 for n in numbers(part)] == part.labels.tolist()
    assert numbers(mini.test) == [n for n in range(200) if n % 10 < 4]


def test_minicifar_is_the_same_every_time_and_not_the_first_images(mini):
    again, other = (minicifar(numbered(13_000), numbered(200), range(10), split) for split in (None, 7))
    assert numbers(other.train) != numbers(again.train) and numbers(other.test) == numbers(again.test)
    assert len(other.train) == len(again.train) and not set(numbers(other.train)) & set(numbers(other.validation))
    assert numbers(again.train) == numbers(mini.train)
    assert max(numbers(mini.train)) > 12_000


def test_validation_is_a_tenth_of_the_training_images():
    split = data._with_validation("some", "0123456789", numbered(2000), numbered(30))
    own = data._with_validation("some", "0123456789", numbered(2000), numbered(30), 7)
    assert len(own.validation) == len(split.validation) and numbers(own.validation) != numbers(split.validation)
    assert sorted(numbers(own.train) + numbers(own.validation)) == list(range(2000)) and own.describe()["split"] == 7
    train, validation = numbers(split.train), numbers(split.validation)
    assert len(validation) == 200 and sorted(train + validation) == list(range(2000))
    assert [n % 10 for n in train] == split.train.labels.tolist()
    assert numbers(split.test) == list(range(30))


def test_pixels_are_mapped_to_minus_one_to_one():
    x = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 32, 32, 3))
    assert x.shape == (2, 3, 32, 32) and x.dtype == torch.float32
    torch.testing.assert_close(x[0, :, 5, 5], torch.tensor([-1.0, -0.6, 1.0]))


@given(st.integers(1, 60), st.integers(1, 25))
def test_plain_batches_are_all_images_in_order(tiny_data, count, size):
    parts = list(batches(tiny_data.train[:count], size))
    assert [len(y) for _, y in parts] == [size] * (count // size) + [count % size] * (count % size > 0)
    assert torch.equal(torch.cat([x for x, _ in parts]), normalise(tiny_data.train.pixels[:count]))
    assert torch.equal(torch.cat([y for _, y in parts]), tiny_data.train.labels[:count])


def plainly_augmented(images, seed):
    """The specification, one image after the other: pad with 4 black pixels, crop, perhaps flip."""
    generator, count = torch.Generator().manual_seed(seed), len(images)
    order = torch.randperm(count, generator=generator).tolist()
    shifts = torch.randint(0, 9, (count, 2, 1), generator=generator).flatten(1).tolist()
    flips = torch.randint(0, 2, (count, 1), generator=generator).flatten().tolist()
    for i in order:
        padded = np.zeros((40, 40, 3), np.uint8)
        padded[4:36, 4:36] = images.pixels[i].numpy()
        down, right = shifts[i]
        crop = padded[down : down + 32, right : right + 32]
        crop = crop[:, ::-1] if flips[i] else crop
        yield (crop.transpose(2, 0, 1) / 255 - 0.5) / 0.5, int(images.labels[i])


@given(st.integers(2, 60), st.integers(2, 25), st.integers(0, 2**40))
def test_augmentation_is_the_plain_pad_crop_flip_of_every_image(tiny_data, count, size, seed):
    images = tiny_data.train[:count]
    expected = list(plainly_augmented(images, seed))
    parts = list(augmented_batches(images, size, seed))
    if count % size == 1:
        expected.pop()
    lengths = [len(y) for _, y in parts]
    assert sum(lengths) == len(expected)
    assert lengths[:-1] == [size] * (len(lengths) - 1) and 2 <= lengths[-1] <= size
    assert torch.cat([y for _, y in parts]).tolist() == [label for _, label in expected]
    x = torch.cat([x for x, _ in parts]).numpy()
    np.testing.assert_allclose(x, np.stack([image for image, _ in expected]), atol=1e-6)


@given(st.integers(2, 300), st.integers(2, 100), st.integers(0, 1000))
def test_every_image_of_an_epoch_appears_once_except_a_last_single_one(count, size, seed):
    labels = torch.arange(count)
    images = Images(torch.zeros(1, dtype=torch.uint8).expand(count, 32, 32, 3), labels)
    seen = torch.cat([y for _, y in augmented_batches(images, size, seed)]).tolist()
    assert len(set(seen)) == len(seen) == count - (count % size == 1)


def test_a_single_image_is_a_batch(tiny_data):
    assert [len(y) for _, y in augmented_batches(tiny_data.train[:1], 50, seed=0)] == [1]


def test_augmentation_follows_from_its_seed(tiny_data):
    def epoch(seed):
        return torch.cat([x for x, _ in augmented_batches(tiny_data.train, 100, seed)])

    torch.manual_seed(1)
    first = epoch(5)
    torch.manual_seed(2)
    assert torch.equal(epoch(5), first)
    assert not torch.equal(epoch(6), first)


def test_each_image_is_shifted_and_flipped_on_its_own():
    """All 81 shifts, each plain and flipped, come up among 3,000 images of one batch, about as often."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    pixels = torch.stack([rows + 100, columns + 100, rows * 0], -1).to(torch.uint8)
    images = Images(pixels.expand(3000, -1, -1, -1), torch.zeros(3000, dtype=torch.int64))
    ((x, _),) = augmented_batches(images, 3000, seed=0)
    centre = ((x[:, :2, 16, 16:18] + 1) * 127.5).round().long() - 100  # (image, axis, two neighbours)
    flipped = centre[:, 1, 0] > centre[:, 1, 1]
    down = centre[:, 0, 0] - 16
    right = torch.where(flipped, centre[:, 1, 0] - 15, centre[:, 1, 0] - 16)
    seen = Counter(zip(down.tolist(), right.tolist(), flipped.tolist(), strict=True))
    assert set(seen) == {(d, r, f) for d in range(-4, 5) for r in range(-4, 5) for f in (False, True)}
    assert max(seen.values()) < 3 * 3000 / 162
    assert 0.45 < flipped.float().mean() < 0.55


def real_photographs(source, folder):
    """Copy the first ``SOME`` images of each class, or as many as there are, from a folder or archive."""
    taken = Counter()

    def wanted(name):
        part, *inner = PurePosixPath(name).parts[-3:]
        if part not in ("train", "test") or len(inner) != 2 or taken[part, inner[0]] == SOME:
            return None
        taken[part, inner[0]] += 1
        target = folder / part / inner[0] / inner[1]
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    if source.is_dir():
        for path in sorted(source.glob("t*/*/*.*")):
            if target := wanted(path.as_posix()):
                shutil.copy(path, target)
        return taken.total()
    with tarfile.open(source, "r|*") as archive:
        for member in archive:
            if member.isfile() and (target := wanted(member.name)):
                target.write_bytes(archive.extractfile(member).read())
    return taken.total()


def test_real_photographs_are_learned_above_chance(tmp_path):
    source = os.environ.get("LABKIT_TEST_IMAGES")
    if not source:
        pytest.skip("LABKIT_TEST_IMAGES names no folder or archive of {train,test}/<class>/ images.")
    copied = real_photographs(Path(source), tmp_path / "real")
    loaded = load(f"folder:{tmp_path / 'real'}", tmp_path / "cache")
    count = len(loaded.classes)
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) == copied >= 20 * count

    net, recipe = vgg([16], [32], [32], classes=count), Recipe(2, batch=20, schedule="linear")
    record = fit(net, loaded, recipe, folder=tmp_path / "run", kind="sparsity")
    assert record.results["validation_accuracy"] > 2 / count
