"""What notebook 07 trains and looks at, for the estimate."""

from labkit.methods.criteria.study import IMAGES, RATIOS, STUDIED
from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training import RECALIBRATION_IMAGES
from labkit.training.together import START_UP

HALF = 0.5  # the network has half the profile's width; a plan of ratio r leaves (1 - r) of that


def _study(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    plans, statistics = len(STUDIED), 5  # passes over images of apoz, thinet, lasso, taylor and the reconstruction
    evaluated = 3 * sizes.validation + 2 * RECALIBRATION_IMAGES
    return [
        Work.training(HALF, profile.train.epochs, sizes),
        Work(HALF, evaluated=2 * statistics * IMAGES + 2 * sizes.validation),
        *(Work(HALF * (1 - ratio), evaluated=plans * evaluated) for ratio in RATIOS),
        *(Work.training(HALF * (1 - ratio), plans, sizes) for ratio in RATIOS),
    ]


COSTS = {"07_criteria": Cost(12 + START_UP, _study)}
