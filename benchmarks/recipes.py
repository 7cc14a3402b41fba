"""How short can the taught lab's training be, and what does the penalty cost at full width? Recipe by recipe.

    python benchmarks/recipes.py OUT [--recipes NAME ...] [--seeds 0 1]

trains each recipe without and with the penalty, prunes by 50, 70 and 90 %, fine-tunes, and sums up on the test images
of ``LABKIT_DATA`` (``folder:PATH/cifar10`` for the rows that ship). A training is made once, and one that was broken off
goes on. Prints the table of all that is in OUT. On two cores with bfloat16 a recipe takes some ten minutes at a quarter
of the width, up to two and a half hours at half of it or at all of it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from labkit import data, models, settings, slimming, training
from labkit.data import Dataset
from labkit.methods.slimming import tables
from labkit.settings import Profile, Recipe

FULL = settings.PROFILES["full"]
HALF = replace(settings.PROFILES["half"], budgets=(0.0, 1.6))  # the budget that λ = 1e-4 has in the taught lab
TUNED_AT = 0.1  # of the original learning rate
QUARTER = replace(HALF, width=0.25)
SHORT = replace(FULL.train, epochs=10)


def variant(name: str, train: Recipe, tuned_for: int, base: Profile = HALF) -> Profile:
    return replace(base, name=name, train=train, fine_tune=replace(train, epochs=tuned_for))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # the search, where ten epochs take minutes: one thing is changed, in training and fine-tuning alike; λ follows,
        # so that the budget stays
        variant("short", SHORT, 5, QUARTER),
        variant("step", replace(SHORT, schedule="step"), 5, QUARTER),
        variant("third-of-the-rate", replace(SHORT, learning_rate=0.03), 5, QUARTER),
        variant("half-the-batch", replace(SHORT, batch=50), 5, QUARTER),
        variant("fifth-of-the-decay", replace(SHORT, weight_decay=1e-4), 5, QUARTER),
        # the taught lab's recipe, and what the search prefers: a quarter of its epochs, as ``full`` has, and a third
        variant("taught", Recipe(epochs=60, batch=100), 20),
        variant("a-quarter", FULL.train, 5),
        variant("a-third", replace(FULL.train, epochs=20), 7),
        # what another penalty costs at full width
        variant("stronger", FULL.train, 5, replace(FULL, budgets=(0.0, 2.5))),
    )
}


def l1_gradient(gamma: torch.Tensor, lam: float) -> torch.Tensor:
    return lam * gamma.sign()


def make(profile: Profile, images: Dataset, seed: int, lab: Path) -> None:
    """All runs of one recipe and seed, as notebooks 01, 03 and 04 make them for the stronger penalty."""
    reach = training.shrinkage_budget(
        1.0, training.learning_rates(profile.train, len(images.train)), profile.train.momentum
    )
    lambdas = [float(f"{budget / reach:.2g}") for budget in profile.budgets]
    network = models.build(models.named(profile.network, profile.width, len(images.classes)), seed)
    common = {"data": images, "seed": seed}
    dense, sparse = training.fit_all(
        dict(
            model=network,
            recipe=profile.train,
            folder=lab / f"sparsity-lambda{lam:g}",
            kind="sparsity",
            lam=lam,
            penalty_gradient=l1_gradient,
            **common,
        )
        for lam in lambdas
    )
    cuts = [
        slimming.prune_run(
            sparse, images, ratio, lab / f"pruning-lambda{lambdas[-1]:g}-{100 * ratio:.0f}", profile.guard
        )
        for ratio in profile.ratios
    ]
    rate = TUNED_AT * profile.train.learning_rate
    tuned = training.fit_all(
        dict(
            model=cut.model(),
            recipe=replace(profile.fine_tune, learning_rate=rate),
            folder=lab / f"fine-tuning-{100 * cut.config['ratio']:.0f}-rate{rate:g}",
            kind="fine-tuning",
            plan=cut.plan,
            parent=cut.name,
            **common,
        )
        for cut in cuts
    )
    some = images.train[: slimming.RECALIBRATION_IMAGES]
    rows = [
        slimming.summary_row("baseline", 0.0, dense.model(), images),
        slimming.summary_row("sparse", 0.0, sparse.model(), images),
    ]
    for cut, run in zip(cuts, tuned):
        ratio, thin = cut.config["ratio"], cut.model()
        rows += [
            slimming.summary_row("pruned", ratio, thin, images),
            slimming.summary_row("re-estimated", ratio, training.recalibrate(thin, some), images),
            slimming.summary_row("fine-tuned", ratio, run.model(), images),
        ]
    slimming.save_summary(rows, sparse, images, lab / "summary")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", nargs="*", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    here = settings.current()
    images = data.load(here.data, here.downloads)
    for seed in options.seeds:
        for name in options.recipes:
            make(RECIPES[name], images, seed, options.out / f"{name}-seed{seed}" / "lab1")
    print(tables.recipes_table(tables.families(options.out)))
