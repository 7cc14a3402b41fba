"""What notebooks 01 to 05 train and look at, for the estimate."""

from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work, left
from labkit.training import RECALIBRATION_IMAGES
from labkit.training.together import START_UP  # of worker processes

SWEPT = 7  # ratios in the sweeps of notebook 03

# The fraction of channels left in a uniform network with as many MACs as one pruned with a global threshold,
# by prune ratio: seen in the reference runs. Photographs keep more of the early layers, where maps are large.
LEFT = {
    "shapes": {0.0: 1.0, 0.5: 0.53, 0.7: 0.35, 0.9: 0.15, 1.0: 0.0},
    "photographs": {0.0: 1.0, 0.5: 0.76, 0.7: 0.65, 0.9: 0.35, 1.0: 0.0},
}


def _trainings(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    return [Work.training(1.0, profile.train.epochs, sizes, together=3)]


def _l2_control(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    return [Work.training(1.0, profile.train.epochs, sizes)]


def _prunings(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    prunings = 2 * len(profile.ratios)
    variants = (prunings + 2 * SWEPT) * (4 * sizes.validation + 2 * RECALIBRATION_IMAGES)
    return [
        Work(1.0, evaluated=prunings * sizes.validation + 2 * sizes.test),
        Work(left(LEFT, data, 0.5), evaluated=variants + (prunings + 2) * sizes.test),
    ]


def _fine_tunings(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    long, short = profile.train.epochs, profile.fine_tune.epochs
    *milder, hardest = (left(LEFT, data, ratio) for ratio in profile.ratios)
    return [
        Work.training(hardest, short, sizes, together=3),
        *(Work.training(keep, short, sizes, together=2, beside=1) for keep in milder),
        Work.training(hardest, long + short, sizes, beside=2 * len(milder)),
        Work.training(hardest, short, sizes),  # the open task's example
        Work(1.0, evaluated=2 * sizes.test),
        Work(left(LEFT, data, 0.5), evaluated=(3 * len(profile.ratios) + 1) * sizes.test),
    ]


COSTS = {
    "01_sparsity_training": Cost(2 + START_UP, _trainings),
    "02_scaling_factors": Cost(2, _l2_control),
    "03_channel_pruning": Cost(4, _prunings),
    "04_fine_tuning": Cost(6 + START_UP, _fine_tunings),
    "05_report": Cost(5),
}
