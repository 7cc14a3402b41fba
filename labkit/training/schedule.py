"""Learning rates by the fraction of the training done, and what a penalty can do with them."""

from labkit.settings import LabError, Recipe


def steps_per_epoch(images: int, batch: int) -> int:
    whole, rest = divmod(images, batch)
    return max(1, whole + (rest > 1))


def learning_rates(recipe: Recipe, images: int) -> list[float]:
    """The learning rate η of every step of a training on ``images`` images.

    Defined by the fraction of the training done, so that every drop happens at any epoch count.
    """
    steps = recipe.epochs * steps_per_epoch(images, recipe.batch)
    if images < 1 or steps < 1:
        raise LabError(
            f"There is nothing to train: {images} images for {recipe.epochs} epochs; give at least one of each."
        )
    done = [(step + 0.5) / steps for step in range(steps)]
    match recipe.schedule:
        case "step":
            factors = [1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01 for t in done]
        case "linear":
            factors = [min(t / 0.2, (1 - t) / 0.8) for t in done]
        case other:
            raise LabError(f"There is no schedule {other!r}: choose step or linear.")
    return [recipe.learning_rate * factor for factor in factors]


def shrinkage_budget(lam: float, rates: list[float], momentum: float) -> float:
    """λ·Ση/(1−μ): the distance that the L1 penalty alone moves a scaling factor in one training."""
    return lam * sum(rates) / (1 - momentum)
