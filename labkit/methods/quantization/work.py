"""What notebook 12 trains and looks at, for the estimate; and where its runs are taken from."""

from labkit.methods.quantization import networks
from labkit.records import Record, load
from labkit.settings import Profile, Settings
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training.together import START_UP

HALF = 0.5  # the dense network has half the profile's width; the thin one keeps 1 - networks.RATIO of that
BY_HAND = 3 * 7  # accuracies of rounded weights: ways of laying the levels, from 8 bits down to 2
LIVE = 6  # epochs of the thin network: five with rounded, shared and pruned weights, and what stands in front of these
REST = 60  # exports, integer kernels, calibrations and the timing of files


def known(here: Settings, *names: str) -> list[Record]:
    """The runs of these names, in order: this experiment's own, or else those that the course ships, saying so. What
    neither has is left out, saying so."""
    found, shipped = [], []
    for name in names:
        folder = next(
            (place / name for place in (here.folder, here.reference) if (place / name / "record.json").is_file()), None
        )
        if folder is None:
            print(
                f"{name} is not made yet, and none is shipped for {here.experiment}: this notebook goes on without it."
            )
        else:
            found.append(load(folder))
            shipped += [name] if folder.parent == here.reference else []
    if shipped:
        print(f"The course's own, from {here.shipped}: {', '.join(shipped)}.")
    return found


def _quantization(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    thin = HALF * (1 - networks.RATIO)
    return [
        Work.training(HALF, profile.train.epochs, sizes),
        Work.training(thin, profile.fine_tune.epochs + LIVE, sizes),
        Work(HALF, evaluated=BY_HAND * sizes.validation),
    ]


COSTS = {"12_quantization": Cost(REST + START_UP, _quantization)}
