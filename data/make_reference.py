"""Copy finished runs into data/reference: ``python data/make_reference.py runs/quick-shapes-seed0 [--weights]``.

Records, scaling factors, figures and tables always ship. Weights ship with ``--weights``, as
float16, for the runs that a later notebook starts from.
"""

import argparse
import shutil
from pathlib import Path

import torch

from labkit import records, regenerate

STARTED_FROM = ("sparsity", "pruning")


def ship(experiment: Path, weights: bool) -> Path:
    target = Path(__file__).resolve().parent / "reference" / experiment.name
    if experiment.resolve() == target:
        raise SystemExit(f"{experiment} is the shipped copy itself: give the folder of finished runs.")
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for record in records.load_all(experiment):
        state, gammas = None, None
        if weights and record.kind in STARTED_FROM:
            state = {k: v.half() if v.dtype == torch.float32 else v for k, v in record.state().items()}
        if record.snapshots:
            gammas = records.read_tensors(record.folder / "gammas.safetensors")["gammas"]
        records.save(record.with_folder(fresh / record.name), state, gammas)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    regenerate.draw(target, target)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--weights", action="store_true")
    options = parser.parse_args()
    print(ship(options.experiment, options.weights))
