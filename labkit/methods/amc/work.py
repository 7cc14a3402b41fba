"""What notebook 10 trains and looks at, for the estimate."""

from labkit.methods.amc.search import EPISODES, IMAGES, STATISTICS
from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training import RECALIBRATION_IMAGES
from labkit.training.together import START_UP

HALF, THIN = 0.5, 0.65  # the network has half the profile's width; more than a policy of 25 % of the MACs keeps
SEARCHES, POLICIES = 2, 5  # live: AMC and random search; what is compared and fine-tuned


def _amc(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    looked_at = SEARCHES * EPISODES * (IMAGES + 2 * STATISTICS)
    return [
        Work(HALF * THIN, evaluated=looked_at + POLICIES * (2 * RECALIBRATION_IMAGES + 2 * sizes.validation)),
        Work.training(HALF * THIN, POLICIES, sizes),
    ]


COSTS = {"10_amc": Cost(15 + START_UP, _amc)}
