"""What several tests share: small networks and data, and what runs in processes of its own, which may be
killed or meet a full disk."""

import os
import resource
import signal
import time

import torch

from labkit import files, models, records
from labkit.data import Dataset, Images, shapes
from labkit.models import Specification
from labkit.records import Record
from labkit.settings import LabError, Recipe
from labkit.training import fit


def vgg_of(*stages, classes=10, size=32):
    """The specification of a VGG: a list of widths for each stage."""
    widths = tuple(width for stage in stages for width in stage)
    return Specification("vgg", tuple(map(len, stages)), widths, classes, size)


def vgg(*stages, classes=10, seed=0):
    """``vgg([8, 8], [16])``: two convolutions, pooling, one convolution."""
    return models.build(vgg_of(*stages, classes=classes), seed)


def tiny_dataset() -> Dataset:
    pixels, labels = (torch.from_numpy(array) for array in shapes.generate(400, seed=1))
    images = Images(pixels, labels)
    return Dataset("tiny", shapes.CLASSES, images[:300], images[300:350], images[350:])


def slimming(gammas, lam):
    return lam * gammas.sign()


def tiny_fit(folder, epochs, watch=None, lam=1e-3, penalty=slimming, save_every=0):
    net = vgg([8], [8])
    options = {"kind": "sparsity", "lam": lam, "penalty_gradient": penalty, "watch": watch, "save_every": save_every}
    return fit(net, tiny_dataset(), Recipe(epochs, batch=50), folder=folder, **options)


class Stopped(Exception):
    """What ``stop_after`` ends a training with."""


def stop_after(epochs):
    def watch(history, of):
        if len(history) == epochs:
            raise Stopped

    return watch


def assert_same_run(a, b):
    """Bit-equal: history, weights, statistics and scaling factors."""
    one, other = records.load(a), records.load(b)
    assert one.history == other.history
    assert one.config == other.config
    assert one.snapshots == other.snapshots
    weights, expected = one.state(), other.state()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    for mine, theirs in zip(one.gammas(), other.gammas(), strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def train(sender, folder, epochs, death=None):
    """Train in ``folder``, sending a message at the start and after each epoch. ``death`` is
    ``(moment, n)``: die in the n-th save, with the temporary file half written, written, or in place."""
    torch.set_num_threads(1)
    if death:
        _die_in_save(*death)
    sender.send("start")
    tiny_fit(folder, epochs, watch=lambda history, epochs: sender.send(len(history)))


def _die_in_save(moment, n):
    name = "replace" if moment == "in place" else "fsync"
    original, calls = getattr(os, name), 0

    def deadly(*args):
        nonlocal calls
        calls += 1
        if calls == n and moment == "half written":
            os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
        original(*args)
        if calls == n:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, name, deadly)


def save_on_full_disk(sender, folder, what):
    """Save larger files into ``folder`` on a disk that takes no more than 4 KiB; send the refusal."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        if what == "weights":
            files.write_tensors(folder / "weights.safetensors", {"w": torch.ones(10_000)})
        elif what == "record":
            files.write_text(folder / "record.json", "x" * 10_000)
        else:
            tiny_fit(folder, epochs=4)
    except LabError as error:
        sender.send(str(error))
    else:
        sender.send("")


def many_records(sender, folder, names, seconds=0.05):
    """``run_once`` on each of ``names``, as soon as told to; what each came from, by the message's first word."""
    sender.send("ready")
    while not (folder / "go").exists():
        time.sleep(0.001)
    for name in names:
        made = make_once(folder / name, {"name": name}, folder / "made", seconds)
        sender.send((name, made.results["by"]))


def make_once(folder, config, log, seconds=0.0):
    """A record whose making takes ``seconds`` and leaves a line in ``log``."""

    def work():
        with open(log, "a") as file:
            file.write(f"{folder.name} {os.getpid()}\n")
        time.sleep(seconds)
        return records.save(
            Record("sparsity", config, vgg_of([4]).to_dict(), results={"by": os.getpid()}).with_folder(folder)
        )

    return records.run_once(folder, config, work)


def hold(sender, folder):
    """Make a record and never come to an end."""

    def work():
        sender.send("working")
        time.sleep(600)

    records.run_once(folder, {}, work)


def set_aside_together(sender, folder, config):
    sender.send("ready")
    while not (folder.parent / "go").exists():
        time.sleep(0.001)
    sender.send(make_once(folder, config, folder.parent / "made", 0.1).results["by"])
