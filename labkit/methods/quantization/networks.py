"""The two networks that notebook 12 makes smaller: a dense one, and a thin one cut from it."""

from labkit import models, pruning, training
from labkit.data import Dataset
from labkit.methods import schemas
from labkit.methods.criteria import network
from labkit.records import Record
from labkit.settings import Settings

TRAINED, THIN = "quantization-trained", "quantization-thin"
CRITERION = "filter-l2"
RATIO = 0.4  # of every layer's channels: about 0.36 of the weights stay
SCHEMAS = {TRAINED: schemas.of_training(TRAINED), THIN: schemas.of_training(THIN, schemas.PLAN)}


def trained(here: Settings, data: Dataset, watch=None) -> Record:
    """The dense network, a VGG-11 of half the profile's width, trained once by its recipe."""
    specification = network(here.profile, len(data.classes))
    facts = {"folder": here.folder / "trained", "kind": TRAINED, "seed": here.seed, "watch": watch}
    return training.fit(models.build(specification, seed=here.seed), data, here.profile.train, **facts)


def thinned(run: Record, here: Settings, data: Dataset, watch=None) -> Record:
    """``run`` with ``RATIO`` of every layer's channels cut, and fine-tuned by the profile's recipe. Made once."""
    model = run.model()
    plan = pruning.uniform_plan(pruning.CRITERIA[CRITERION](model, data.train, here.seed), RATIO)
    facts = {"folder": here.folder / "thin", "kind": THIN, "seed": here.seed, "watch": watch}
    facts |= {"plan": plan.to_dict(), "parent": run.name}
    return training.fit(pruning.thin(model, plan), data, here.profile.fine_tune, **facts)


def called(run: Record) -> str:
    """What the folders of records made from ``run`` call its network."""
    return {"trained": "dense"}.get(run.name, run.name)
