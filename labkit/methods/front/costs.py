"""What notebook 08 trains and looks at, for the estimate."""

from labkit.methods.front.policy import RATIOS
from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training.together import START_UP

HALF = 0.5  # the network has half the profile's width; a plan of ratio r leaves (1 - r) of its channels
POLICIES = (0.25, 0.35, 0.5)  # about what a student's three policies keep


def _front(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    fine_tuned = [*(1 - ratio for ratio in RATIOS), *POLICIES]
    return [
        Work.training(HALF, profile.train.epochs, sizes),
        *(Work.training(HALF * keep, 1, sizes) for keep in fine_tuned),
    ]


COSTS = {"08_front": Cost(12 + 2 * START_UP, _front)}
