"""How notebook 06 trains, and what it costs."""

from labkit import models
from labkit.models import Specification
from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training.together import START_UP

TRAINED, SPARSITY, TIMING = "granularity-trained", "granularity-sparsity", "granularity-timing"
NETWORK = "resnet18"
NARROWER = 4  # times as narrow as the profile's network: two trainings have to fit into a minute

# The term project's two learning rates need the steps of a whole training on photographs: by then a third one shows
# what the same number of steps can do. On the few steps of `shapes` they would hardly train at all.
RATES = {"shapes": (0.1, 0.3)}
OTHER_RATES = (0.001, 0.01, 0.1)
TIMED_WIDTH = 6  # times as wide as the trained network: of smaller layers a part of the time is no arithmetic

RATIOS = tuple(k / 20 for k in range(17))  # 0 to 0.8 by 0.05
CONTROLS = RATIOS[::2]
METHODS_RATIOS = {"global": RATIOS, "layer-wise": CONTROLS, "random": CONTROLS}

TIMED = {"masked": RATIOS, "thin": RATIOS[::4], "sparse": (0.4, 0.8)}
RUNS, BATCH, THREADS = 100, 1, 1


def learning_rates(data: str) -> tuple[float, ...]:
    """The learning rates that are compared on the data set ``data``."""
    return RATES.get(data, OTHER_RATES)


def network(profile: Profile, classes: int) -> Specification:
    """The ResNet18 that is trained."""
    return models.named(NETWORK, profile.width / NARROWER, classes)


def timed_network(profile: Profile, classes: int) -> Specification:
    """The ResNet18 that is timed."""
    return models.named(NETWORK, profile.width / NARROWER * TIMED_WIDTH, classes)


def _granularity(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    rates = len(learning_rates(data))
    evaluations = rates * (sum(map(len, METHODS_RATIOS.values())) + 2)
    # The estimate times the profile's own network; this one has about as many MACs at that share of its channels.
    return [
        Work.training(0.25, profile.train.epochs, sizes, together=rates),
        Work(0.25, evaluated=evaluations * sizes.validation + rates * sizes.test),
    ]


COSTS = {"06_granularity": Cost(25 + START_UP, _granularity)}
