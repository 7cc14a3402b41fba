"""What this machine has, which profile it will use, and how long the notebooks will take."""

import importlib.metadata
import os
import platform
import shutil
import time

import torch

from labkit import hardware, settings
from labkit.hardware import fast_dtype
from labkit.tools.estimate import Sizes, costs, seconds_for, timed

PACKAGES = ("torch", "torchvision", "torch-pruning", "jupyterlab", "ipywidgets", "ipython", "nbval")
SIZES = {"shapes": Sizes(4000, 600, 1000), "minicifar": Sizes(4000, 1000, 4000)}
OTHER_SIZES = Sizes(45_000, 5000, 10_000)  # CIFAR's, also assumed of a folder of images
LOOKED = 0.5  # seconds to see what else the processors do
NEEDED_GIB = {"memory": 4, "disk": 1}
GIB = 2**30


def add_commands(commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="say what this machine has, which profile it will use, and how long it takes"
    )
    doctor.set_defaults(command=lambda options: print(report()))


def memory() -> int | None:
    """Bytes of main memory, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing: run make again"


def report() -> str:
    """A page of text; reads and times only."""
    load = hardware.Load()
    time.sleep(LOOKED)
    here, resources = settings.current(), {"memory": memory(), "disk": shutil.disk_usage(".").free}
    half = fast_dtype(here.device)
    lines = [
        f"python        {platform.python_version()} on {platform.system()} {platform.machine()}",
        *(f"{name:13s} {version(name)}" for name in PACKAGES),
        f"processor     {os.cpu_count()} processors",
        f"threads       {hardware.cores()} (LABKIT_THREADS changes that)",
        f"at once       {_at_once(load)}",
        f"graphics card {_card()}",
        f"precision     {_precision(half)}",
        *(f"{name:13s} {'unknown' if size is None else f'{size / GIB:.0f} GiB'}" for name, size in resources.items()),
        f"profile       {here.profile.name!r} with data {here.data!r} (LABKIT_PROFILE and LABKIT_DATA change that)",
        f"runs          {here.folder.resolve()}",
    ]
    for name, size in resources.items():
        if size is not None and size < NEEDED_GIB[name] * GIB:
            lines.append(f"warning       little {name}: the lab wants {NEEDED_GIB[name]} GiB")
    chosen, usual = (
        (here.profile, settings.with_split(here.data, None)),
        ((profile, profile.data) for profile in settings.PROFILES.values()),
    )
    for profile, data in dict.fromkeys([chosen, *usual]):
        step, sizes = timed(profile, here.device), SIZES.get(data, OTHER_SIZES)
        seconds = {name: seconds_for(name, profile, sizes, data, step) for name in costs()}
        lines += ["", f"minutes for the {profile.name!r} profile on {data} (estimated from timed steps)"]
        lines += [f"  {notebook:22s} {t / 60:7.1f}" for notebook, t in seconds.items()]
        lines.append(f"  {'all':22s} {sum(seconds.values()) / 60:7.1f}")
    return "\n".join(lines)


def _at_once(load: hardware.Load) -> str:
    """What the machine does beside the lab, and what that means for a training."""
    if not load.is_busy():
        return "nothing else keeps the processors busy"
    return f"{load.said()} A training takes fewer threads where they are faster."


def _card() -> str:
    if not torch.cuda.is_available():
        return "none that torch can use"
    card = torch.cuda.get_device_properties(0)
    return f"{card.name}, {card.total_memory / GIB:.0f} GiB, compute capability {card.major}.{card.minor}"


def _precision(half: torch.dtype) -> str:
    if half == torch.float32:
        return "float32: this machine has no half precision in hardware; training takes about twice as long"
    return f"{str(half).removeprefix('torch.')} in training and evaluation, float32 elsewhere"
