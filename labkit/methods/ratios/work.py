"""What notebook 09 trains and looks at, for the estimate."""

from labkit.methods.ratios.adapt import ITERATIONS, SHORT, SHORT_TERM
from labkit.methods.ratios.schedules import FACTORS, FINAL, JUDGED_BY, STEPS
from labkit.methods.ratios.sensitivity import DROPS, RATIOS, TARGETS
from labkit.settings import Profile
from labkit.tools.estimate import Cost, Sizes, Work
from labkit.training import RECALIBRATION_IMAGES
from labkit.training.together import START_UP

SHIPPED = ("shapes",)  # data sets for which the records of trainings with a penalty ship
HALF = 0.5  # the network has half the profile's width
THIN = 0.6  # about what a plan of a policy or of NetAdapt leaves of that
LAYERS = 8  # of the quick profile's network; about half of them are candidates in an iteration


def _ratios(profile: Profile, sizes: Sizes, data: str) -> list[Work]:
    tried = ITERATIONS * LAYERS // 2
    curves = len(RATIOS) * (LAYERS // 2 + 3 * len(JUDGED_BY)) * sizes.validation
    penalised = [
        Work.training(HALF, profile.train.epochs, sizes, together=2),
        Work.training(HALF * (1 - FINAL), 3 * len(JUDGED_BY), sizes),
    ]
    return [
        *(penalised if data not in SHIPPED else []),
        Work(HALF, evaluated=curves),
        Work(HALF * THIN, evaluated=len(DROPS) * (RECALIBRATION_IMAGES + sizes.validation)),
        Work.training(HALF * THIN, 2 * len(TARGETS), sizes),
        Work.training(HALF * THIN, STEPS + ITERATIONS // 2, sizes),
        Work.training(HALF * (1 - FINAL), STEPS * len(FACTORS), sizes),
        Work(HALF * THIN, trained=tried * SHORT * SHORT_TERM.batch, evaluated=2 * tried * sizes.validation),
    ]


COSTS = {"09_ratios": Cost(20 + 3 * START_UP, _ratios)}
