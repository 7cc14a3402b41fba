"""The three runs that a front is made of, each from a description that JSON can hold. All accuracies are on
validation images, since fronts are there to choose from."""

from collections.abc import Generator
from pathlib import Path

from labkit import measure, models, records, training
from labkit.data import Dataset
from labkit.data.shared import shared
from labkit.hardware import finish
from labkit.methods import schemas
from labkit.methods.schemas import COUNT, PLAN, SHARE, TEXT
from labkit.models import Specification
from labkit.pruning import CRITERIA, POLICIES, thin
from labkit.records import Record
from labkit.settings import LabError, Recipe

LOOKED_AT = 500  # training images that a criterion sees
TRAINED, CUT, TUNED, DIVERGED = "front-trained", "front-cut", "front-tuned", "front-diverged"
POLICY = "front-policy"  # a network that a student's own plan made

CHOICE = {"criterion": TEXT, "policy": TEXT, "ratio": SHARE, "at_least": COUNT, "seed": COUNT}
COSTS = dict.fromkeys(("parameters", "macs", "parent_parameters", "parent_macs"), schemas.integer(1, 10**15))
STAGES = schemas.record(dict.fromkeys(("parent", "as_it_stands", "recalibrated"), SHARE))
KINDS = {
    TRAINED: schemas.of_training(TRAINED),
    CUT: schemas.of_kind(
        CUT,
        CHOICE | {"parent": TEXT, "parent_config": TEXT, "data": schemas.DATA},
        COSTS | {"achieved_ratio": SHARE, "validation": STAGES},
        PLAN,
    ),
    TUNED: schemas.of_training(TUNED, PLAN),
    POLICY: schemas.of_training(POLICY, PLAN),
    DIVERGED: schemas.of_kind(DIVERGED, {"run": TEXT}, {"said": schemas.TEXT | {"maxLength": 1000}}),
}


def make(content: dict, images: Path, store: Path, device: str = "cpu") -> Record:
    """The run that ``content`` (of ``grid.described``) describes, in its folder in ``store``, on the images that
    ``data.shared`` reads there; made once. A training that diverges leaves a record that says so."""
    return finish(in_turns(content, images, store, device))


def in_turns(content: dict, images: Path, store: Path, device: str = "cpu") -> Generator[object, None, Record]:
    """``make`` as a generator, so that several can take turns on a GPU (``hardware.side_by_side``)."""
    folder, data = store / content["name"], shared(images).to(device)
    give_back = yield from records.acquired(folder.with_name(f"{folder.name}.made"))
    try:
        if diverged(folder):
            return records.load(folder)
        if content["kind"] == CUT:
            return _cut(content, data, folder)
        return (yield from _training(content, data, folder))
    except training.Diverged as error:
        (folder / records.CHECKPOINT).unlink(missing_ok=True)
        network = _network(content, folder).to_dict()
        record = Record(DIVERGED, {"run": content["name"]}, network, results={"said": str(error)})
        return records.save(record.with_folder(folder))
    finally:
        give_back()


def diverged(folder: Path) -> bool:
    return (folder / "record.json").exists() and records.load(folder).kind == DIVERGED


def _parent(content: dict, folder: Path) -> Record:
    parent = folder.parent / content["parent"]
    if diverged(parent):
        raise LabError(f"{content['name']} cannot be made, since {parent.name} diverged.")
    return records.load(parent)


def _network(content: dict, folder: Path) -> Specification:
    if content["parent"]:
        return _parent(content, folder).specification
    return Specification.from_dict(content["network"])


def _training(content: dict, data: Dataset, folder: Path) -> Generator[None, None, Record]:
    facts = {"folder": folder, "kind": content["kind"], "seed": content["seed"]}
    if content["parent"]:
        cut = _parent(content, folder)
        network, facts = cut.model(), facts | {"plan": cut.plan, "parent": cut.name}
    else:
        network = models.build(_network(content, folder), content["seed"])
    return training.steps(network, data, Recipe(**content["recipe"]), **facts)


def _cut(content: dict, data: Dataset, folder: Path) -> Record:
    parent = _parent(content, folder)
    config = {key: content[key] for key in CHOICE}
    config |= {"parent": parent.name, "parent_config": records.identity(parent), "data": data.describe()}

    def cut() -> Record:
        model = parent.model()
        scores = CRITERIA[content["criterion"]](model, data.train[:LOOKED_AT], content["seed"])
        plan = POLICIES[content["policy"]](scores, content["ratio"], content["at_least"])
        slim = thin(model, plan)
        again = training.recalibrate(slim, data.train[: training.RECALIBRATION_IMAGES])
        networks = {"parent": model, "as_it_stands": slim, "recalibrated": again}
        results = {
            "parameters": measure.parameters(slim),
            "macs": measure.macs(slim),
            "parent_parameters": measure.parameters(model),
            "parent_macs": measure.macs(model),
            "achieved_ratio": plan.achieved,
            "validation": {name: training.evaluate(network, data.validation) for name, network in networks.items()},
        }
        record = Record(CUT, config, slim.specification.to_dict(), results=results, plan=plan.to_dict())
        return records.save(record.with_folder(folder), slim.state_dict())

    return records.run_once(folder, config, cut, files=(records.WEIGHTS,))
