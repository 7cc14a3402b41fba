"""What notebook 11 trains and looks at, for the estimate."""

from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training.together import START_UP

SHIPPED = ("shapes",)  # the others' trainings are counted; MiniCIFAR's ship for one folder of photographs
HALF = 0.5  # the network has half the profile's width
PAIR, EXPLORED, OTHERS = 2, 1, 12  # trainings of section 3, of the exploration, and of all other methods


def _learned(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    trainings = [PAIR, EXPLORED] + ([] if data in SHIPPED else [1] * OTHERS)
    return [Work.training(HALF, profile.train.epochs, sizes, together=count) for count in trainings]


COSTS = {"11_pruning_while_training": Cost(15 + START_UP, _learned)}
