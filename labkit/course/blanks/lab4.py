"""The blanks of lab 4, Explore: notebook 11, pruning while training."""

import math

from labkit.course.blanks import Blank, Credit, Mistake, quarters, shaped

# Right but for what a mistake replaces
THRESHOLD = """rest = weights.abs() - threshold
alive = (rest > 0).float()
return weights.sign() * rest.clamp(min=0), alive, -weights.sign() * alive"""


def _signed(rng, low: int, high: int, count: int) -> list[float]:
    """Distinct magnitudes, multiples of an eighth from ``low`` to ``high`` eighths, each with a sign."""
    return [k / 8 * rng.choice((-1, 1)) for k in rng.sample(range(low, high + 1), count)]


def _both_signs(rng, values: list[float]) -> list[float]:
    """The same magnitudes, the first positive and the second negative, in any order."""
    first, second, *others = values
    mixed = [abs(first), -abs(second), *others]
    rng.shuffle(mixed)
    return mixed


def _proximal_cases(rng):
    for count in (2, 4):
        yield "proximal_step", "far", [{"float32": _both_signs(rng, _signed(rng, 5, 16, count))}, 0.5]
    for count in (2, 3):
        yield "proximal_step", "near", [{"float32": _both_signs(rng, _signed(rng, 1, 3, count))}, 0.5]
    near, far = _both_signs(rng, _signed(rng, 1, 5, 2)), _both_signs(rng, _signed(rng, 7, 16, 2))
    yield "proximal_step", "near", [{"float32": [*near, 0.0, *far]}, 0.75]


def _threshold_cases(rng):
    for shape, threshold in (((2,), 0.5), ((4,), 0.75), ((2, 3), 0.5)):
        count = math.prod(shape)
        below = _signed(rng, 1, round(8 * threshold) - 1, count // 2)
        above = _signed(rng, round(8 * threshold) + 1, 16, count - count // 2)
        values = below + above
        rng.shuffle(values)
        yield "soft_threshold", "mixed", [{"float32": shaped(values, shape)}, {"float32": threshold}]
    values = _both_signs(rng, _signed(rng, 4, 16, 3))
    yield "soft_threshold", "negative", [{"float32": [-abs(v) for v in values]}, {"float32": 0.375}]
    yield "soft_threshold", "edge", [{"float32": [0.5, *_signed(rng, 9, 16, 1), -0.5, 0.0]}, {"float32": 0.5}]


def _coarse_cases(rng):
    for shape in ((1,), (3,), (2, 3)):
        count = math.prod(shape)
        tensors = (quarters(rng, count), _both_signs(rng, _signed(rng, 1, 24, max(2, count)))[:count])
        auxiliary = quarters(rng, count, -8, 8)
        yield "coarse_gradient", "alive and gone", [{"float32": shaped(v, shape)} for v in (*tensors, auxiliary)]
    zeros = [quarters(rng, 3), [0.0, *_signed(rng, 2, 24, 2)], quarters(rng, 3, -8, 8)]
    yield "coarse_gradient", "zero weights", [{"float32": values} for values in zeros]


def _statistic_cases(rng):
    def attention(images: int, channels: int):
        values = [k / 16 for k in rng.sample(range(1, 16 * 4), images * channels)]
        return {"float32": shaped(values, (images, channels))}

    for images, channels in ((2, 2), (3, 2), (2, 4), (5, 3)):
        yield "attention_statistic", "some", [attention(images, channels)]
    yield "attention_statistic", "one image", [attention(1, 3)]


def _bits_cases(rng):
    def pair(count: int):
        bits = {"float32": [k / 4 + 0.125 for k in rng.sample(range(6, 32), count)], "gradient": True}
        return [bits, {"float32": [float(n) for n in rng.sample(range(10, 200, 5), count)]}]

    for count in (2, 3, 4):
        yield "bit_penalty", "several", pair(count)
    yield "bit_penalty", "one tensor", pair(1)


BLANKS = (
    Blank(
        name="proximal-step",
        title="Blank 1 · the proximal step",
        notebook="11_pruning_while_training",
        points=6,
        functions={"proximal_step": ["gammas", "amount"]},
        cases=_proximal_cases,
        credit=(
            Credit(2, groups=("far",), aspect="values"),
            Credit(3, groups=("near",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return gammas - amount * gammas.sign()",
                "That is the subgradient's step: a factor that is nearer to 0 than amount jumps over it. Here it has to "
                "stop at 0.",
            ),
            Mistake(
                "return gammas - amount",
                "All factors move down, the negative ones away from 0: the step goes towards 0 from both sides.",
            ),
            Mistake(
                "return (gammas - amount).clamp(min=0)",
                "Every negative factor becomes 0, however large it is: a factor below −amount moves up by amount.",
            ),
            Mistake(
                "return (gammas.abs() - amount).clamp(min=0)",
                "The signs are lost: a negative factor stays negative on its way to 0.",
            ),
            Mistake(
                "return gammas * (gammas.abs() > amount)",
                "Small factors become 0, but large ones stay where they are: they too move by amount.",
            ),
            Mistake(
                "return torch.where(gammas.abs() > amount, gammas - amount * gammas.sign(), gammas)",
                "Factors nearer to 0 than amount are left as they are: they are the ones that become exactly 0.",
            ),
            Mistake(
                "return gammas * (1 - amount)",
                "Each factor loses a share of itself, as with weight decay: then none ever reaches 0. The L1 penalty takes "
                "the same amount from each.",
            ),
            Mistake(
                "return gammas / (1 + amount)",
                "That is the proximal step of amount·γ²/2, the L2 penalty: it makes factors smaller and never 0.",
            ),
            Mistake(
                "return gammas.clamp(-amount, amount)",
                "That is the part which the step takes away: return what is left.",
            ),
            Mistake(
                "return gammas.copy_(gammas.sign() * (gammas.abs() - amount).clamp(min=0))",
                "The numbers are right, but the tensor that was given has changed as well: return a new one.",
            ),
            Mistake(
                "return (gammas.sign() * (gammas.abs() - amount).clamp(min=0)).tolist()",
                "The numbers are right, but it is a list: return a tensor.",
            ),
        ),
    ),
    Blank(
        name="soft-threshold",
        title="Blank 2 · the soft threshold and its slopes",
        notebook="11_pruning_while_training",
        points=6,
        functions={"soft_threshold": ["weights", "threshold"]},
        cases=_threshold_cases,
        credit=(
            Credit(3, groups=("mixed",), aspect="values"),
            Credit(1, groups=("negative",), aspect="values"),
            Credit(1, groups=("edge",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                THRESHOLD.replace("weights.sign() * rest.clamp(min=0), ", "weights * alive, "),
                "The value is a hard threshold: weights above it have to move by the threshold, not stay.",
            ),
            Mistake(
                THRESHOLD.replace("weights.sign() * rest.clamp(min=0), ", "rest.clamp(min=0), "),
                "The value has lost its sign: a negative weight stays negative.",
            ),
            Mistake(
                THRESHOLD.replace("rest.clamp(min=0), alive,", "rest.clamp(min=0), torch.ones_like(alive),"),
                "The slope by the weight is 1 everywhere: below the threshold the value is 0 whatever the weight is, so there "
                "it is 0.",
            ),
            Mistake(
                THRESHOLD.replace("rest.clamp(min=0), alive,", "rest.clamp(min=0), weights.sign() * alive,"),
                "The slope by the weight has a sign: above the threshold the value rises by 1 for each 1 of the weight, on "
                "both sides of 0.",
            ),
            Mistake(
                THRESHOLD.replace("-weights.sign() * alive", "weights.sign() * alive"),
                "The slope by the threshold has the wrong sign: where w is positive, a higher threshold makes the value "
                "smaller.",
            ),
            Mistake(
                THRESHOLD.replace("-weights.sign() * alive", "-alive"),
                "The slope by the threshold lacks sign(w): where w is negative, a higher threshold moves the value up to 0.",
            ),
            Mistake(
                THRESHOLD.replace("-weights.sign() * alive", "-weights.sign()"),
                "The slope by the threshold is not 0 where the weight is gone: there the threshold changes nothing.",
            ),
            Mistake(
                THRESHOLD.replace("-weights.sign() * alive", "-weights * alive"),
                "The slope by the threshold is the weight: only its sign belongs there.",
            ),
            Mistake(
                THRESHOLD.replace("weights.abs() - threshold", "weights - threshold"),
                "The absolute value is missing: every negative weight is gone, however large it is.",
            ),
            Mistake(
                THRESHOLD.replace("(rest > 0)", "(rest >= 0)"),
                "Where |w| is exactly the threshold the weight is gone, so both slopes are 0 there: compare with > and not "
                "with >=.",
            ),
            Mistake(
                THRESHOLD.replace("-weights.sign() * alive", "(-weights.sign() * alive).sum()"),
                "The slope by the threshold is added up: return one number for each weight; labkit adds.",
            ),
            Mistake(
                THRESHOLD.replace("alive, -weights.sign() * alive", "-weights.sign() * alive, alive"),
                "The slopes are exchanged: first the one by the weight, then the one by the threshold.",
            ),
            Mistake(
                "return weights.sign() * (weights.abs() - threshold).clamp(min=0)",
                "The value is right, but the two slopes are missing: return three tensors.",
            ),
        ),
    ),
    Blank(
        name="coarse-gradient",
        title="Blank 3 · AutoPrune's coarse gradient",
        notebook="11_pruning_while_training",
        points=6,
        functions={"coarse_gradient": ["upstream", "weights", "auxiliary"]},
        cases=_coarse_cases,
        credit=(
            Credit(4, groups=("alive and gone",), aspect="values"),
            Credit(1, groups=("zero weights",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return upstream * weights * torch.sigmoid(auxiliary)",
                "That is the chain rule as it stands, with w itself: a small weight would hardly move its m. The paper takes "
                "sign(w).",
            ),
            Mistake(
                "return upstream * weights.abs() * torch.sigmoid(auxiliary)",
                "|w| instead of sign(w): the sign is what says in which direction m has to go.",
            ),
            Mistake(
                "return upstream * torch.sigmoid(auxiliary)",
                "sign(w) is missing: if the loss wants a negative weight to grow in magnitude, m would move the wrong way.",
            ),
            Mistake(
                "return upstream * weights.sign()",
                "The slope that stands for the step is missing: multiply by the derivative of softplus at m.",
            ),
            Mistake(
                "return upstream * weights.sign() * F.softplus(auxiliary)",
                "That is softplus itself: the step's slope is replaced by the derivative of softplus.",
            ),
            Mistake(
                "s = torch.sigmoid(auxiliary)\nreturn upstream * weights.sign() * s * (1 - s)",
                "That is the derivative of the sigmoid: the sigmoid itself is the derivative of softplus.",
            ),
            Mistake(
                "return upstream * weights.sign() * (auxiliary > 0)",
                "Where m is negative nothing flows, so no weight that is gone could ever come back. Softplus has a slope "
                "everywhere.",
            ),
            Mistake(
                "return -upstream * weights.sign() * torch.sigmoid(auxiliary)",
                "The sign is turned round: this is the gradient, and the optimizer is what goes against it.",
            ),
            Mistake(
                "return upstream * weights.sign() * torch.sigmoid(-auxiliary)",
                "The slope is mirrored: it has to be near 1 where m is large, and near 0 where m is far below 0.",
            ),
            Mistake(
                "return (upstream * weights.sign() * torch.sigmoid(auxiliary)).sum()",
                "It is added up: each auxiliary parameter has its own gradient.",
            ),
        ),
    ),
    Blank(
        name="attention-statistic",
        title="Blank 4 · PCAS's statistic",
        notebook="11_pruning_while_training",
        points=6,
        functions={"attention_statistic": ["attention"]},
        cases=_statistic_cases,
        credit=(
            Credit(4, groups=("some",), aspect="values"),
            Credit(1, groups=("one image",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return attention.mean(1)",
                "One number an image: axis 1 counts the channels, and each channel needs a score.",
            ),
            Mistake(
                "return attention.sum(0)",
                "That is the sum: it grows with the number of images. Divide by it.",
            ),
            Mistake(
                "return attention.amax(0)",
                "That is the largest attention: a single odd image would decide.",
            ),
            Mistake(
                "return attention.median(0).values",
                "That is the median: a channel that matters for fewer than half of the images would look unimportant.",
            ),
            Mistake(
                "return attention.mean()",
                "One number for all channels together: then none can be told from another.",
            ),
            Mistake(
                "return attention.std(0, correction=0)",
                "That is how much the attention varies: a channel that always gets much would have score 0.",
            ),
            Mistake(
                "return attention.mean(0) / attention.mean(0).sum()",
                "Each layer's scores are divided by their sum: then a layer's level is lost, and one threshold for all "
                "layers makes no sense.",
            ),
            Mistake(
                "return attention.mean(0, keepdim=True)",
                "The numbers are right, but with one axis too many: the shape is (channels,).",
            ),
            Mistake(
                "return attention.mean(0).tolist()",
                "The numbers are right, but it is a list: return a tensor.",
            ),
        ),
    ),
    Blank(
        name="bit-penalty",
        title="Blank 5 · the bit-length penalty",
        notebook="11_pruning_while_training",
        points=6,
        functions={"bit_penalty": ["bits", "elements"]},
        cases=_bits_cases,
        credit=(
            Credit(4, groups=("several",), aspect="values"),
            Credit(1, groups=("one tensor",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return bits.mean()",
                "Every tensor counts alike: one with 100 times as many elements has 100 times the weight.",
            ),
            Mistake(
                "return (bits * elements).sum()",
                "That is the number of bits in all: divide by the number of elements in all, or the factor of the penalty "
                "would depend on the network's size.",
            ),
            Mistake(
                "return (bits * elements).mean() / elements.sum()",
                "Divided by the number of tensors as well: the shares already add up to 1.",
            ),
            Mistake(
                "return (bits * elements).sum() / len(bits)",
                "Divided by the number of tensors: divide by the elements of all of them.",
            ),
            Mistake(
                "return bits * elements / elements.sum()",
                "One number a tensor: the penalty is their sum.",
            ),
            Mistake(
                "return (bits / elements).sum() / (1 / elements).sum()",
                "Small tensors count most here: the share is elements, not 1 / elements.",
            ),
            Mistake(
                "return (bits.round() * elements).sum() / elements.sum()",
                "round() has slope 0 everywhere, so no gradient would reach the bit lengths: they are not whole while they "
                "are learned.",
            ),
            Mistake(
                "return (bits.ceil() * elements).sum() / elements.sum()",
                "Rounded up too early: that comes when the training ends. Rounding has slope 0, so nothing would be learned.",
            ),
            Mistake(
                "return (2**bits * elements).sum() / elements.sum()",
                "Those are the numbers of levels: the penalty is on the lengths, which the storage grows with.",
            ),
            Mistake(
                "return (bits.detach() * elements).sum() / elements.sum()",
                "The number is right, but its gradient is cut off by detach: the penalty would teach nothing.",
            ),
            Mistake(
                "return ((bits * elements).sum() / elements.sum()).item()",
                "The number is right, but item() makes a plain number of it, and no gradient flows: return the tensor.",
            ),
        ),
    ),
)
