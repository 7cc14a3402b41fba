"""The blanks of lab 2, the front: notebook 07, criteria."""

import math

from labkit.course.blanks import Blank, Credit, Mistake, quarters, shaped


def _tensor(rng, *shape: int, low: int = -40, high: int = 40):
    return {"float32": shaped(quarters(rng, math.prod(shape), low, high), shape)}


def _norm_cases(rng):
    yield "lp_norm", "one", [_tensor(rng, 3), 1]
    yield "lp_norm", "one", [_tensor(rng, 2, 3), 1]
    yield "lp_norm", "two", [_tensor(rng, 2, 2), 2]
    yield "lp_norm", "two", [_tensor(rng, 2, 2, 2), 2]
    yield "lp_norm", "others", [_tensor(rng, 4), 3]
    yield "lp_norm", "others", [_tensor(rng, 2, 3), 4]


def _filter_cases(rng):
    yield "filter_scores", "kernels", [_tensor(rng, 2, 3, 2, 2)]
    yield "filter_scores", "kernels", [_tensor(rng, 3, 2, 3, 3, low=-60, high=60)]
    yield "filter_scores", "points", [_tensor(rng, 4, 3, 1, 1)]


def _map_cases(rng):
    def maps(images, channels, height, width):
        count = images * channels * height * width
        values = [rng.choice([0.0, 0.0, 0.25, 0.5, 1.0, 2.0]) for _ in range(count)]
        return [{"float32": shaped(values, (images, channels, height, width))}]

    yield "average_percentage_of_zeros", "some", maps(2, 3, 2, 2)
    yield "average_percentage_of_zeros", "some", maps(3, 2, 2, 3)
    yield "average_percentage_of_zeros", "some", maps(1, 4, 3, 2)
    silent = {"float32": shaped([0.0] * 4 + [1.0, 0.5, 2.0, 0.25], (1, 2, 2, 2))}
    yield "average_percentage_of_zeros", "never or always", [silent]


def _greedy_cases(rng):
    yield "thinet_step", "first", [_tensor(rng, 3, 4, low=-12, high=12), []]
    yield "thinet_step", "first", [_tensor(rng, 4, 5, low=-16, high=16), []]
    yield "thinet_step", "later", [_tensor(rng, 3, 4, low=-12, high=12), [1]]
    yield "thinet_step", "later", [_tensor(rng, 4, 5, low=-16, high=16), [0, 3]]
    yield "thinet_step", "later", [_tensor(rng, 3, 5, low=-16, high=16), [2, 0]]


def _fit_cases(rng):
    for samples, channels, outputs, count in ((4, 3, 2, 2), (6, 4, 3, 2), (5, 3, 1, 1)):
        inputs, weight = (_tensor(rng, rows, channels, low=-16, high=16) for rows in (samples, outputs))
        yield "reconstruct", "some", [inputs, weight, {"int64": sorted(rng.sample(range(channels), count))}]
    yield "reconstruct", "all", [_tensor(rng, 5, 2), _tensor(rng, 2, 2), {"int64": [0, 1]}]


BLANKS = (
    Blank(
        name="structure-norm",
        title="Blank 1 · the Lp norm of a structure",
        notebook="07_criteria",
        points=3,
        functions={"lp_norm": ["structure", "p"]},
        cases=_norm_cases,
        credit=(Credit(1, groups=("one", "two")), Credit(2, groups=("others",))),
        mistakes=(
            Mistake(
                "return float(structure.abs().pow(p).sum())",
                "The root is missing: the p-th root of the sum is taken last. For p = 1 nobody notices.",
            ),
            Mistake(
                "return float(structure.pow(p).sum().pow(1 / p))",
                "The absolute value is missing: with p = 1 or 3, negative weights cancel positive ones.",
            ),
            Mistake(
                "return float(structure.abs().sum())",
                "That is the L1 norm, whatever p is: each |w| is raised to the power p before they are added.",
            ),
            Mistake(
                "return float(structure.square().sum().sqrt())",
                "That is the L2 norm, whatever p is.",
            ),
            Mistake(
                "return float(structure.abs().max())",
                "That is the largest weight alone, the norm for an infinite p.",
            ),
            Mistake(
                "return float(structure.abs().pow(p).mean().pow(1 / p))",
                "A mean instead of a sum: a norm grows with the number of weights. Blank 2 divides by it, this one does not.",
            ),
            Mistake(
                "return structure.abs().pow(p).sum(0).pow(1 / p)",
                "sum(0) adds along the first axis only: a structure is all of its weights, whatever its shape, and "
                "has one norm.",
            ),
            Mistake(
                "return float(structure.abs().pow(1 / p).sum().pow(p))",
                "p and 1/p are exchanged: first the power p, then the sum, then the root.",
            ),
        ),
    ),
    Blank(
        name="filter-scores",
        title="Blank 2 · filters of layers that differ in size",
        notebook="07_criteria",
        points=3,
        functions={"filter_scores": ["weight"]},
        cases=_filter_cases,
        credit=(Credit(2, aspect="values"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                "return weight.abs().flatten(1).sum(1)",
                "Not divided by the number of weights: filters that read many channels would rank higher, whatever they do.",
            ),
            Mistake(
                "return weight.flatten(1).mean(1).abs()",
                "The absolute value comes too late: positive and negative weights of a filter have cancelled already.",
            ),
            Mistake(
                "return weight.abs().mean((0, 2, 3))",
                "One number an input: the first axis of the weight counts the filters, and each filter needs a score.",
            ),
            Mistake(
                "return weight.abs().flatten(1).sum(1) / weight.shape[1]",
                "Divided by the inputs only: each input has a kernel of several weights.",
            ),
            Mistake(
                "return weight.abs().flatten(1).sum(1) / weight.numel()",
                "Divided by the weights of the whole layer: a filter has only its own.",
            ),
            Mistake(
                "return weight.flatten(1).norm(dim=1) / weight[0].numel()",
                "That is the L2 norm: add absolute values, not squares.",
            ),
            Mistake(
                "return weight.abs().mean()",
                "One number for the whole layer: each filter needs its own.",
            ),
            Mistake(
                "return weight.abs().mean((2, 3))",
                "One number for each kernel: a filter is all kernels of one output together.",
            ),
            Mistake(
                "return weight.abs().flatten(1).mean(1).tolist()",
                "The numbers are right, but it is a list: return a tensor.",
            ),
        ),
    ),
    Blank(
        name="apoz",
        title="Blank 3 · average percentage of zeros",
        notebook="07_criteria",
        points=3,
        functions={"average_percentage_of_zeros": ["maps"]},
        cases=_map_cases,
        credit=(Credit(2, aspect="values"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                "return (maps != 0).float().mean((0, 2, 3))",
                "That is how often a channel is not zero. APoZ counts the zeros.",
            ),
            Mistake(
                "return (maps == 0).sum((0, 2, 3))",
                "That is how many zeros there are: divide by the number of values of the channel.",
            ),
            Mistake(
                "return (maps == 0).float().mean((2, 3))",
                "One number for each image and channel: average over the images as well.",
            ),
            Mistake(
                "return (maps == 0).float().mean((1, 2, 3))",
                "One number an image: axis 1 counts the channels, and each channel needs a number.",
            ),
            Mistake(
                "return (maps == 0).float().mean()",
                "One number for all channels together: then none can be told from another.",
            ),
            Mistake(
                "return maps.mean((0, 2, 3))",
                "That is the mean activation. A channel that is rarely on, but then strongly, has many zeros and a "
                "large mean.",
            ),
            Mistake(
                "return (maps < 0.5).float().mean((0, 2, 3))",
                "Small values are counted as zeros: only an exact 0 is one, which is what ReLU makes.",
            ),
            Mistake(
                "return 100 * (maps == 0).float().mean((0, 2, 3))",
                "The share is in percent: the docstring asks for a number from 0 to 1.",
            ),
        ),
    ),
    Blank(
        name="thinet-step",
        title="Blank 4 · one greedy step of ThiNet",
        notebook="07_criteria",
        points=3,
        functions={"thinet_step": ["contributions", "removed"]},
        cases=_greedy_cases,
        credit=(Credit(1, groups=("first",)), Credit(2, groups=("later",))),
        mistakes=(
            Mistake(
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return min(left, key=lambda c: contributions[:, c].square().sum())",
                "Each channel is judged by itself: what matters is the sum with those that are removed already. Two "
                "channels that cancel each other cost nothing together.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "return int((gone[:, None] + contributions).square().sum(0).argmin())",
                "A channel that is removed already can win: look at those that are left only.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return max(left, key=lambda c: (gone + contributions[:, c]).square().sum())",
                "The channel that is missed most: remove the one that is missed least.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return min(left, key=lambda c: (gone + contributions[:, c]).sum().abs())",
                "Added over the samples before squaring: an error of +5 in one sample and -5 in another would count "
                "as none.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return left.index(min(left, key=lambda c: (gone + contributions[:, c]).square().sum()))",
                "That is its position among the channels that are left: return its number in the layer.",
            ),
            Mistake(
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return min(left, key=lambda c: contributions[:, [k for k in left if k != c]].sum(1).square().sum())",
                "The output that remains is made small: what has to be small is what is taken away.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return removed + [min(left, key=lambda c: (gone + contributions[:, c]).square().sum())]",
                "That is the whole list of removed channels: return the next one only.",
            ),
            Mistake(
                "gone = contributions[:, removed].sum(1)\n"
                "left = [c for c in range(contributions.shape[1]) if c not in removed]\n"
                "return min(left, key=lambda c: (gone + contributions[:, c]).abs().sum())",
                "Absolute values instead of squares: least squares weigh one large error more than many small ones.",
            ),
        ),
    ),
    Blank(
        name="least-squares",
        title="Blank 5 · the next layer, reconstructed",
        notebook="07_criteria",
        points=3,
        functions={"reconstruct": ["inputs", "weight", "kept"]},
        cases=_fit_cases,
        credit=(Credit(2, groups=("some",)), Credit(1, groups=("all",))),
        mistakes=(
            Mistake(
                "return weight[:, kept]",
                "Those are the old weights of the kept channels: fitted to what the kept channels gave before, nothing "
                "changes. Fit them to the output of all channels.",
            ),
            Mistake(
                "return torch.linalg.lstsq(inputs[:, kept], inputs @ weight.T).solution",
                "The numbers are right, but the shape is (kept, outputs): a weight has its outputs first. Transpose.",
            ),
            Mistake(
                "return torch.linalg.lstsq(inputs @ weight.T, inputs[:, kept]).solution",
                "The two arguments of lstsq are exchanged: first what is given (the kept inputs), then what is to be "
                "reached.",
            ),
            Mistake(
                "new = torch.zeros_like(weight)\n"
                "new[:, kept] = torch.linalg.lstsq(inputs[:, kept], inputs @ weight.T).solution.T\n"
                "return new",
                "The dropped channels are still there, with zeros: the thin layer has columns for the kept ones only.",
            ),
            Mistake(
                "x = inputs[:, kept]\nreturn (x.T @ inputs @ weight.T).T",
                "The inverse is missing: the normal equations have (XᵀX)⁻¹ before XᵀY.",
            ),
            Mistake(
                "x, y = inputs[:, kept], inputs @ weight.T\n"
                "return torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution.T",
                "Inputs and outputs are centred first: then a constant would have to be added, and this layer has no "
                "bias to hold it.",
            ),
            Mistake(
                "return torch.linalg.lstsq(inputs[kept], inputs @ weight.T).solution.T",
                "kept numbers channels, and they are the columns of inputs: write inputs[:, kept].",
                says="must have|must match|expected|size|shape|dimension|incompatible",
            ),
        ),
    ),
)
