"""The blanks of lab 2, the front: notebooks 07, criteria, 08, fronts, 09, ratios, and 10, AMC."""

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


def _front_points(rng, count: int) -> list[list[float]]:
    """Points of distinct costs and accuracies, in twentieths."""
    costs, accuracies = (rng.sample(range(1, 20), count) for _ in range(2))
    return [[cost / 20, accuracy / 20] for cost, accuracy in zip(costs, accuracies)]


def _area_cases(rng):
    corner = [1.0, 0.0]
    rising = [list(pair) for pair in zip(*(sorted(column) for column in zip(*_front_points(rng, 3))))]
    yield "front_area", "front", [rising, corner]
    yield "front_area", "front", [[*rising[1:], rising[0]], corner]
    points = _front_points(rng, 5)
    yield "front_area", "dominated", [points, corner]
    yield "front_area", "dominated", [[*points, *points[:2]], corner]
    yield "front_area", "reference", [_front_points(rng, 3), [1.5, 0.0]]
    lifted = [[cost, accuracy / 2 + 0.5] for cost, accuracy in _front_points(rng, 4)]
    yield "front_area", "reference", [lifted, [1.0, 0.5]]


def _weights_cases(rng):
    def weights(channels: int, *shapes: tuple[int, ...]):
        return [[_tensor(rng, channels, *shape) for shape in shapes]]

    yield "group_score", "one layer", weights(2, (3, 2, 2))
    yield "group_score", "coupled", weights(3, (4, 1, 1), (1, 3, 3))
    yield "group_score", "coupled", weights(2, (2, 2, 2), (5, 1, 1), (2, 1, 1))
    yield "group_score", "coupled", weights(4, (3,), (2, 2, 1))


def _scores_of(rng, **widths: int) -> dict:
    values = rng.sample(range(1, 200), sum(widths.values()))
    found = {name: {"float32": [values.pop() / 8 for _ in range(width)]} for name, width in widths.items()}
    return {"dict": found}


def _selection_cases(rng):
    def costs(**values: int):
        return {"dict": values}

    for share in (0.25, 0.5):
        yield "global_selection", "equal costs", [_scores_of(rng, a=5, b=4, c=3), costs(a=1, b=1, c=1), share]
    for share in (0.25, 0.5, 0.625):
        yield "global_selection", "costs", [_scores_of(rng, a=3, b=6, c=5), costs(a=9, b=2, c=5), share]
    low = {"dict": {"a": {"float32": [0.25, 0.125, 0.375]}} | _scores_of(rng, b=4, c=4)["dict"]}
    for share in (0.5, 0.75):
        yield "global_selection", "guard", [low, costs(a=4, b=3, c=2), share]


def _layer_wise_cases(rng):
    for share in (0.3, 0.4):
        yield "layer_wise", "shares", [_scores_of(rng, a=6, b=9, c=4), share]
    yield "layer_wise", "shares", [_scores_of(rng, first=7, second=3), 0.6]
    yield "layer_wise", "guard", [_scores_of(rng, a=2, b=8, c=1), 0.9]
    yield "layer_wise", "guard", [_scores_of(rng, a=1, b=4), 0.7]


# Right but for what a mistake replaces
_SELECTION = """kept = {name: list(range(len(s))) for name, s in scores.items()}
still = share * sum(costs[name] * len(s) for name, s in scores.items())
ranking = sorted((v, name, i) for name, s in scores.items() for i, v in enumerate(s.tolist()))
for _, name, i in ranking:
    if still <= 0:
        break
    if len(kept[name]) > 1:
        kept[name].remove(i)
        still -= costs[name]
return kept"""
_LAYER_WISE = """kept = {}
for name, s in scores.items():
    count = max(1, len(s) - round(share * len(s)))
    kept[name] = sorted(s.argsort(descending=True)[:count].tolist())
return kept"""


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
    Blank(
        name="front-area",
        title="Blank 1 · the area under a front",
        notebook="08_front",
        points=3,
        functions={"front_area": ["points", "reference"]},
        cases=_area_cases,
        credit=(Credit(1, groups=("front",)), Credit(1, groups=("dominated",)), Credit(1, groups=("reference",))),
        mistakes=(
            Mistake(
                "limit, best = reference\narea = 0.0\nfor cost, accuracy in points:\n"
                "    if accuracy > best:\n        area += (limit - cost) * (accuracy - best)\n        best = accuracy\n"
                "return area",
                "The points are taken in the order in which they come: go through them from the cheapest to the dearest.",
            ),
            Mistake(
                "limit, low = reference\nordered = sorted(points)\n"
                "ends = [cost for cost, _ in ordered[1:]] + [limit]\n"
                "return sum((end - cost) * (accuracy - low) for (cost, accuracy), end in zip(ordered, ends))",
                "Dominated points count: where a dearer point is less accurate than a cheaper one, the staircase stays at "
                "the height of the cheaper one.",
            ),
            Mistake(
                "limit, low = reference\nreturn sum((limit - cost) * (accuracy - low) for cost, accuracy in points)",
                "Every point's whole rectangle is added, and the rectangles overlap: count each part of the area once.",
            ),
            Mistake(
                "limit, low = reference\nreturn max((limit - cost) * (accuracy - low) for cost, accuracy in points)",
                "That is the largest rectangle of a single point: a front is more than its best point.",
            ),
            Mistake(
                "limit, best = reference\narea = 0.0\nfor cost, accuracy in sorted(points):\n"
                "    if accuracy > best:\n        area += (limit - cost) * (accuracy - best)\n        best = accuracy\n"
                "return area + reference[1] * (limit - min(cost for cost, _ in points))",
                "The area goes down to an accuracy of 0: it ends at the reference's accuracy.",
            ),
            Mistake(
                "best = reference[1]\narea = 0.0\nfor cost, accuracy in sorted(points):\n"
                "    if accuracy > best:\n        area += (1 - cost) * (accuracy - best)\n        best = accuracy\n"
                "return area",
                "The area ends at cost 1, whatever the reference is: take the reference's cost.",
            ),
            Mistake(
                "best, front = reference[1], []\nfor cost, accuracy in sorted(points):\n"
                "    if accuracy > best:\n        front.append((cost, accuracy))\n        best = accuracy\n"
                "ends = [cost for cost, _ in front[1:]]\n"
                "return sum((end - cost) * (accuracy - reference[1]) for (cost, accuracy), end in zip(front, ends))",
                "The last step is missing: the most accurate point dominates as far as the reference's cost.",
            ),
            Mistake(
                "best, front = reference[1], []\nfor cost, accuracy in sorted(points):\n"
                "    if accuracy > best:\n        front.append((cost, accuracy))\n        best = accuracy\n"
                "front.append((reference[0], best))\n"
                "return sum((d - c) * ((a + b) / 2 - reference[1]) for (c, a), (d, b) in zip(front, front[1:]))",
                "Neighbours are joined by slanted lines: no network lies between two points, so the front is a staircase.",
            ),
            Mistake(
                "best, front = reference[1], []\nfor cost, accuracy in sorted(points):\n"
                "    if accuracy > best:\n        front.append((cost, accuracy))\n        best = accuracy\n"
                "front.append((reference[0], best))\n"
                "return sum((d - c) * (b - reference[1]) for (c, _), (d, b) in zip(front, front[1:]))",
                "Each step has the height of the dearer point: between two points only the cheaper one is reached.",
            ),
        ),
    ),
    Blank(
        name="group-score",
        title="Blank 2 · the score of coupled channels",
        notebook="08_front",
        points=3,
        functions={"group_score": ["weights"]},
        cases=_weights_cases,
        credit=(Credit(2, aspect="values"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                "rows = [w.abs().flatten(1).mean(1) for w in weights]\nreturn torch.stack(rows).mean(0)",
                "That is the mean of the layers' scores: a layer with few weights a channel counts as much as one with "
                "many. Divide the sum over all layers by the number of weights in all layers.",
            ),
            Mistake(
                "return torch.cat([w.abs().flatten(1) for w in weights], 1).sum(1)",
                "Not divided by the number of weights: groups of many or wide layers would rank higher, whatever they do.",
            ),
            Mistake(
                "return weights[0].abs().flatten(1).mean(1)",
                "Only the first layer is looked at: all layers of the group put the channel out.",
            ),
            Mistake(
                "return torch.cat([w.flatten(1) for w in weights], 1).mean(1).abs()",
                "The absolute value comes too late: positive and negative weights have cancelled already.",
            ),
            Mistake(
                "together = torch.cat([w.flatten(1) for w in weights], 1)\nreturn together.norm(dim=1) / together.shape[1]",
                "That is the L2 norm: add absolute values, not squares.",
            ),
            Mistake(
                "return torch.cat([w.abs().flatten(1) for w in weights], 1).sum(1) / len(weights)",
                "Divided by the number of layers: divide by the number of weights.",
            ),
            Mistake(
                "return torch.cat([w.abs().flatten(1).mean(1) for w in weights])",
                "The layers stand one below the other: a channel has one score, however many layers put it out.",
            ),
            Mistake(
                "return torch.cat([w.abs().flatten() for w in weights]).mean()",
                "One number for the whole group: then no channel can be told from another.",
            ),
            Mistake(
                "return torch.cat([w.abs().flatten(1) for w in weights], 1).mean(1).tolist()",
                "The numbers are right, but it is a list: return a tensor.",
            ),
        ),
    ),
    Blank(
        name="global-selection",
        title="Blank 3 · one ranking, different costs",
        notebook="08_front",
        points=3,
        functions={"global_selection": ["scores", "costs", "share"]},
        cases=_selection_cases,
        credit=(
            Credit(1, groups=("equal costs",)),
            Credit(1, groups=("costs",)),
            Credit(1, groups=("guard",)),
        ),
        mistakes=tuple(
            Mistake(body, sentence)
            for body, sentence in (
                (
                    _SELECTION.replace("still -= costs[name]", "still -= 1").replace("costs[name] * len(s)", "len(s)"),
                    "Channels are counted, not what they cost: stop when the share of the cost is gone.",
                ),
                (
                    _SELECTION.replace("in ranking", "in reversed(ranking)"),
                    "The highest scores go: remove the lowest.",
                ),
                (
                    _SELECTION.replace("share * sum", "(1 - share) * sum"),
                    "That is the share that should stay: share says how much of the cost goes.",
                ),
                (
                    _SELECTION.replace("if len(kept[name]) > 1:", "if True:"),
                    "A group can lose all of its channels: its best one has to stay.",
                ),
                (
                    _SELECTION.replace("still <= 0", "still < costs[name]"),
                    "It stops one channel too early: at least the wanted share has to go.",
                ),
                (
                    _SELECTION.replace("still <= 0", "still < 0"),
                    "One channel too many where the share is met exactly: stop as soon as nothing is left to remove.",
                ),
                (
                    _SELECTION.replace("if len(kept[name]) > 1:", "if len(kept[name]) == 1:\n        break\n    else:"),
                    "It stops at the first group that has one channel left: pass on to the next in the ranking.",
                ),
                (
                    _SELECTION.replace("(v, name, i) for", "(v / costs[name], name, i) for"),
                    "Ranked by score for each unit of cost: a good idea, but not this one. Rank by the score alone.",
                ),
                (
                    _SELECTION.replace(
                        "return kept",
                        "return {n: [i for i in range(len(s)) if i not in kept[n]] for n, s in scores.items()}",
                    ),
                    "Those are the channels that go: return those that stay.",
                ),
                (
                    "kept = {}\nfor name, s in scores.items():\n    count = max(1, len(s) - round(share * len(s)))\n"
                    "    kept[name] = sorted(s.argsort(descending=True)[:count].tolist())\nreturn kept",
                    "Every group by itself: here all channels stand in one ranking.",
                ),
                (
                    _SELECTION.replace(
                        "return kept", "return {n: [i in kept[n] for i in range(len(s))] for n, s in scores.items()}"
                    ),
                    "Those are masks, a True or False for each channel: return the numbers of the channels that stay.",
                ),
            )
        ),
    ),
    Blank(
        name="layer-wise-plan",
        title="Blank 4 · the same share of every group",
        notebook="08_front",
        points=3,
        functions={"layer_wise": ["scores", "share"]},
        cases=_layer_wise_cases,
        credit=(Credit(2, groups=("shares",)), Credit(1, groups=("guard",))),
        mistakes=tuple(
            Mistake(body, sentence)
            for body, sentence in (
                (
                    _LAYER_WISE.replace("round(", "int("),
                    "int cuts off: 60 % of 3 channels are 1.8, and the nearest whole number is 2.",
                ),
                (
                    _LAYER_WISE.replace("max(1, len(s) - round(share * len(s)))", "len(s) - round(share * len(s))"),
                    "A narrow group loses all of its channels: one has to stay.",
                ),
                (
                    _LAYER_WISE.replace("len(s) - round(share", "round(share"),
                    "That is the share that goes: share says how much is removed, and the others stay.",
                ),
                (
                    _LAYER_WISE.replace("descending=True", "descending=False"),
                    "The lowest scores stay: they are the ones to remove.",
                ),
                (
                    _LAYER_WISE.replace("sorted(", "list("),
                    "The right channels, but in the order of their scores: return them in ascending order.",
                ),
                (
                    _LAYER_WISE.replace("[:count]", "[count:]"),
                    "Those are the channels that go: return those that stay.",
                ),
                (
                    "kept = {}\nfor name, s in scores.items():\n    count = max(1, len(s) - round(share * len(s)))\n"
                    "    kept[name] = list(range(count))\nreturn kept",
                    "The first channels stay, whatever their scores are.",
                ),
                (
                    "values = torch.cat(list(scores.values())).sort().values\n"
                    "limit = values[round(share * len(values))] if share * len(values) < len(values) - 0.5 else values[-1]\n"
                    "return {n: [i for i, v in enumerate(s.tolist()) if v >= limit] or [int(s.argmax())] "
                    "for n, s in scores.items()}",
                    "One threshold for all groups: here every group loses the same share, whatever its scores are.",
                ),
                (
                    _LAYER_WISE.replace(
                        "return kept", "return {n: [i in kept[n] for i in range(len(s))] for n, s in scores.items()}"
                    ),
                    "Those are masks, a True or False for each channel: return the numbers of the channels that stay.",
                ),
            )
        ),
    ),
)


# 09 · Ratios


def _share(rng, low: int, high: int) -> float:
    """A multiple of 1/64: exact in a float."""
    return rng.randint(low, high) / 64


def _curve_cases(rng):
    ratios = [0, 0.125, 0.25, 0.375, 0.5]

    def curve(drop, *, back: bool):
        top, start = _share(rng, 50, 62), rng.randint(1, 3)
        down = sorted(rng.sample(range(1, 40), len(ratios) - 1))
        found = [top, *(top - points / 64 for points in down)]
        found[start] = top - drop if not back else top - drop - 1 / 64
        found[1:start] = [top - rng.randint(0, round(64 * drop)) / 64 for _ in found[1:start]]
        found[start + 1 :] = [top - drop - rng.randint(2, 9) / 64 for _ in found[start + 1 :]]
        return [*found[:-1], top - drop + 1 / 64] if back else found

    for group, back in (("falling", False), ("falling", False), ("coming back", True), ("coming back", True)):
        drop = _share(rng, 3, 8)
        curves = {name: curve(drop, back=back) for name in ("conv1", "conv2", "conv3")}
        yield "ratios_from_sensitivity", group, [{"dict": curves}, ratios, drop]
    fragile = [_share(rng, 50, 62), *sorted((_share(rng, 5, 20) for _ in ratios[1:]), reverse=True)]
    yield "ratios_from_sensitivity", "falling", [{"dict": {"conv1": fragile}}, ratios, _share(rng, 1, 6)]


def _halving_cases(rng):
    def falling():
        steps = [0.0, *sorted(k / 32 + 1 / 100 for k in rng.sample(range(3, 27), 5))]
        costs = sorted((k / 16 for k in rng.sample(range(2, 15), 5)), reverse=True)
        return {"Falling": {"steps": steps, "costs": [1.0, *costs]}}, costs

    for number in range(2):
        cost, costs = falling()
        yield "bisection", "fine", [cost, costs[number + 1] + 1 / 64, 0.0, 1.0, 1e-6]
    for number in range(2):
        cost, costs = falling()
        yield "bisection", "coarse", [cost, costs[number + 1], 0.0, 1.0, 0.1]
    cost, costs = falling()
    yield "bisection", "coarse", [cost, costs[4], 0.5, 2.0, 0.05]
    cost, costs = falling()
    yield "bisection", "out of reach", [cost, costs[-1] - 1 / 16, 0.0, 1.0, 0.01]


def _rising_cases(rng):
    for steps in (2, 3, 5):
        yield "rising_ratios", "several", [rng.randint(10, 29) / 32, steps]
    yield "rising_ratios", "one", [rng.randint(10, 29) / 32, 1]


def _candidate_cases(rng):
    def lists(count):
        return [[k / 64 for k in rng.sample(range(low, 63), count)] for low in (6, 30)]

    for count in (4, 5, 6):
        before, after = lists(count)
        latency = [k / 8 for k in rng.sample(range(16, 60), count)]
        budget = sorted(latency)[count // 2] + 1 / 16
        yield "best_candidate", "within", [before, after, latency, budget]
    before, after = lists(4)
    latency = [k / 8 for k in rng.sample(range(16, 60), 4)]
    yield "best_candidate", "just within", [before, after, latency, latency[after.index(max(after))]]
    before, after = lists(3)
    latency = [k / 8 for k in rng.sample(range(16, 60), 3)]
    yield "best_candidate", "none", [before, after, latency, min(latency) - 1 / 8]


BLANKS += (
    Blank(
        name="ratios-from-sensitivity",
        title="Blank 1 · from curves to ratios",
        notebook="09_ratios",
        points=3,
        functions={"ratios_from_sensitivity": ["curves", "ratios", "drop"]},
        cases=_curve_cases,
        credit=(Credit(2, groups=("falling",)), Credit(1, groups=("coming back",))),
        mistakes=(
            Mistake(
                "return {g: max(r for r, a in zip(ratios, c) if a >= c[0] - drop) for g, c in curves.items()}",
                "A curve that fell below the line and came back is taken at its return: stop at the first ratio that fails.",
            ),
            Mistake(
                "return {g: next((r for r, a in zip(ratios, c) if a < c[0] - drop), ratios[-1]) for g, c in curves.items()}",
                "That is the first ratio that fails: take the last one before it.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    found[g] = 0\n"
                "    for r, a in zip(ratios, c):\n"
                "        if a <= c[0] - drop:\n"
                "            break\n"
                "        found[g] = r\n"
                "return found",
                "A loss of exactly the drop is refused: it is still allowed, so compare with >= and not with >.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    for r, a in zip(ratios, c):\n"
                "        if a < c[0] * (1 - drop):\n"
                "            break\n"
                "        found[g] = r\n"
                "return found",
                "The drop is taken as a share of the accuracy: it is a difference, so subtract it.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    found[g] = 0\n"
                "    for r, a in zip(ratios, c):\n"
                "        if a < 1 - drop:\n"
                "            break\n"
                "        found[g] = r\n"
                "return found",
                "The drop is counted from 100 %: count it from the accuracy at ratio 0.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    for i, a in enumerate(c):\n"
                "        if a < c[0] - drop:\n"
                "            break\n"
                "        found[g] = i\n"
                "return found",
                "Those are positions in the list: return the ratios that stand there.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    for a in c:\n"
                "        if a < c[0] - drop:\n"
                "            break\n"
                "        found[g] = a\n"
                "return found",
                "Those are the accuracies: return the ratios at which they were measured.",
            ),
            Mistake(
                "found = {}\n"
                "for g, c in curves.items():\n"
                "    found[g] = 0\n"
                "    for r, a, b in zip(ratios[1:], c[1:], c):\n"
                "        if a < b - drop:\n"
                "            break\n"
                "        found[g] = r\n"
                "return found",
                "Each accuracy is compared with the one before it: many small losses would never add up. Compare with "
                "the accuracy at ratio 0.",
            ),
        ),
    ),
    Blank(
        name="bisection",
        title="Blank 2 · bisection",
        notebook="09_ratios",
        points=3,
        functions={"bisection": ["cost", "target", "low", "high", "tolerance"]},
        cases=_halving_cases,
        credit=(Credit(2, groups=("fine", "coarse")), Credit(1, groups=("out of reach",))),
        mistakes=(
            Mistake(
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "return low",
                "The lower end of the interval does not reach the target: return the upper one.",
            ),
            Mistake(
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "return (low + high) / 2",
                "Nobody has tried the middle of the last interval: return its upper end, which reaches the target.",
            ),
            Mistake(
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) < target else (middle, high)\n"
                "return high",
                "A cost that is exactly the target is refused: it reaches it, so compare with <=.",
            ),
            Mistake(
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) > target else (middle, high)\n"
                "return high",
                "The wrong half is kept: if the middle costs too much, the answer is above it, since the cost falls.",
            ),
            Mistake(
                "while cost(low) > target and low < high:\n    low += tolerance\nreturn min(low, high)",
                "It walks up step by step, so cost is asked as often as there are steps: halve the interval instead.",
            ),
            Mistake(
                "middle = (low + high) / 2\n"
                "while abs(cost(middle) - target) > tolerance:\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "    middle = (low + high) / 2\n"
                "return middle",
                "It waits until the cost is close to the target: a cost that falls in steps may never be. The width of the "
                "interval says when to stop.",
            ),
            Mistake(
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "return cost(high)",
                "That is the cost at the place that was found: return the place.",
            ),
            Mistake(
                "if cost(high) > target:\n"
                "    return None\n"
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "return high",
                "Where nothing reaches the target, None comes back: the docstring asks for high then, which comes nearest.",
            ),
            Mistake(
                "low, high = 0, 1\n"
                "while high - low > tolerance:\n"
                "    middle = (low + high) / 2\n"
                "    low, high = (low, middle) if cost(middle) <= target else (middle, high)\n"
                "return high",
                "It always searches from 0 to 1: use low and high as they are given.",
            ),
        ),
    ),
    Blank(
        name="rising-ratios",
        title="Blank 3 · a schedule of rising ratios",
        notebook="09_ratios",
        points=3,
        functions={"rising_ratios": ["final", "steps"]},
        cases=_rising_cases,
        credit=(Credit(2, groups=("several",)), Credit(1, groups=("one",))),
        mistakes=(
            Mistake(
                "return [final * step / steps for step in range(1, steps + 1)]",
                "The ratio rises by the same amount, so each step takes a larger share of what is left than the one before. "
                "Ask what share has to stay in each step.",
            ),
            Mistake(
                "return [1 - (1 - final) ** (step / steps) for step in range(steps)]",
                "The list begins with ratio 0 and ends before the final one: count the steps from 1.",
            ),
            Mistake(
                "return [1 - (1 - final) ** (step / steps) for step in range(steps + 1)]",
                "There is one number too many: leave out the 0 before the first step.",
            ),
            Mistake(
                "return [(1 - final) ** (step / steps) for step in range(1, steps + 1)]",
                "Those are the shares that stay: the ratio is the share that has gone, 1 minus it.",
            ),
            Mistake(
                "return [1 - (1 - final) ** step for step in range(1, steps + 1)]",
                "Each step removes the final ratio of what is left, so the first step is already there: it takes the root.",
            ),
            Mistake(
                "return [1 - (1 - final) ** (1 / steps)] * steps",
                "That is what each step removes of what is left: the list has the ratio of the unpruned network after it.",
            ),
            Mistake(
                "return [final ** (steps / step) for step in range(1, steps + 1)]",
                "The removed share is raised to a power: it is the share that stays which is multiplied in each step.",
            ),
            Mistake(
                "return [1 - (1 - final) ** (step / steps) for step in range(steps, 0, -1)]",
                "The ratios fall: the first step has the smallest.",
            ),
        ),
    ),
    Blank(
        name="best-candidate",
        title="Blank 4 · the best candidate",
        notebook="09_ratios",
        points=3,
        functions={"best_candidate": ["before", "after", "latency", "budget"]},
        cases=_candidate_cases,
        credit=(Credit(2, groups=("within", "just within")), Credit(1, groups=("none",))),
        mistakes=(
            Mistake(
                "return max(range(len(after)), key=lambda i: after[i])",
                "The most accurate of all is taken, whatever it costs: first leave out those above the budget.",
            ),
            Mistake(
                "return min(range(len(latency)), key=lambda i: latency[i])",
                "The fastest is taken: the budget says what is fast enough, and then accuracy decides.",
            ),
            Mistake(
                "within = [i for i in range(len(after)) if latency[i] <= budget]\n"
                "return max(within, key=lambda i: before[i], default=None)",
                "The accuracies before tuning are compared: what a candidate is worth shows after it.",
            ),
            Mistake(
                "within = [i for i in range(len(after)) if latency[i] <= budget]\n"
                "return max(within, key=lambda i: after[i] - before[i], default=None)",
                "The candidate that gains most by tuning is taken: it may have had most to gain. Compare what they end with.",
            ),
            Mistake(
                "within = [i for i in range(len(after)) if latency[i] < budget]\n"
                "return max(within, key=lambda i: after[i], default=None)",
                "A latency that is exactly the budget is refused: it is within it, so compare with <=.",
            ),
            Mistake(
                "within = [a for a, ms in zip(after, latency) if ms <= budget]\n"
                "return within.index(max(within)) if within else None",
                "That is its position among those within the budget: return its number in the whole list.",
            ),
            Mistake(
                "within = [i for i in range(len(after)) if latency[i] <= budget]\n"
                "return max(within, key=lambda i: after[i] / latency[i], default=None)",
                "Accuracy is divided by latency: all within the budget are fast enough, so only accuracy counts.",
            ),
            Mistake(
                "within = [a for a, ms in zip(after, latency) if ms <= budget]\nreturn max(within, default=None)",
                "That is the accuracy of the best candidate: return its number.",
            ),
            Mistake(
                "within = [i for i in range(len(after)) if latency[i] <= budget]\n"
                "return max(within, key=lambda i: after[i])",
                "Where no candidate is within the budget, max of an empty list stops with an error: return None then.",
                says="empty",
            ),
        ),
    ),
)


# 10 · AMC


def _clamp_cases(rng):
    def case(group, asked, fits, least, exactly):
        width = 12
        costs = [rng.randint(20, 60)]
        for _ in range(width):
            costs.append(costs[-1] + rng.randint(5, 20))
        share = (asked + rng.choice([-1, 1]) / 4) / width
        return "budget_clamp", group, [share, costs, least, costs[fits] + (0 if exactly else 2)]

    for asked, share_of_quarter in ((rng.randint(4, 6), False), (rng.randint(7, 9), True)):
        yield case("affordable", asked, 11, 3, share_of_quarter)
    yield case("affordable", 7, 7, 2, True)
    for fits in (rng.randint(4, 5), rng.randint(6, 7)):
        yield case("too many", rng.randint(9, 11), fits, 2, fits < 6)
    yield case("too few", 1, 9, rng.randint(3, 4), False)
    yield case("too few", 2, 8, 5, False)


def _budget_state_cases(rng):
    def case(group, groups, number):
        whole = [rng.randint(5, 40) * 8 for _ in range(groups + 1)]
        left = [
            macs - rng.randint(1, macs // 8) * 4 if place <= number + 1 else macs for place, macs in enumerate(whole)
        ]
        return "budget_state", group, [whole, left, number]

    yield case("middle", 4, 1)
    yield case("middle", 5, 3)
    yield case("middle", 6, 2)
    yield case("last", 3, 2)


def _soft_update_cases(rng):
    def networks():
        return [{"dict": {"weight": _tensor(rng, 2, 3), "bias": _tensor(rng, 2)}} for _ in range(2)]

    for tau in (0.25, 0.125):
        yield "soft_update", "a part of it", [*networks(), tau]
    yield "soft_update", "a part of it", [*networks(), rng.choice([0.0625, 0.75])]
    yield "soft_update", "all of it", [*networks(), 1.0]


def _reward_cases(rng):
    for kind, group in (("error", "the error"), ("error-log-flops", "with FLOPs")):
        for _ in range(3):
            yield "reward", group, [rng.randint(20, 60) / 64, rng.randint(2, 900) * 10_000, kind]


BLANKS += (
    Blank(
        name="budget-clamp",
        title="Blank 1 · the budget clamp",
        notebook="10_amc",
        points=4,
        functions={"budget_clamp": ["share", "costs", "least", "budget"]},
        cases=_clamp_cases,
        credit=(
            Credit(1, groups=("affordable",)),
            Credit(2, groups=("too many",)),
            Credit(1, groups=("too few",)),
        ),
        mistakes=(
            Mistake(
                "return max(least, round(share * (len(costs) - 1)))",
                "Nothing looks at the budget: take channels away until the costs are within it.",
            ),
            Mistake(
                "kept = max(least, round(share * (len(costs) - 1)))\n"
                "while kept > least and costs[kept] >= budget:\n"
                "    kept -= 1\n"
                "return kept",
                "Costs that are exactly the budget are refused: they are within it.",
            ),
            Mistake(
                "kept = max(least, round(share * len(costs)))\n"
                "kept = min(kept, len(costs) - 1)\n"
                "while kept > least and costs[kept] > budget:\n"
                "    kept -= 1\n"
                "return kept",
                "The group has one channel fewer than the list has entries: the first entry is for no channel at all.",
            ),
            Mistake(
                "kept = max(least, int(share * (len(costs) - 1)))\n"
                "while kept > least and costs[kept] > budget:\n"
                "    kept -= 1\n"
                "return kept",
                "The channels asked for are rounded down: round to the nearest whole number.",
            ),
            Mistake(
                "kept = round(share * (len(costs) - 1))\nwhile costs[kept] > budget:\n    kept -= 1\nreturn kept",
                "Fewer channels than the least can stay: raise the number to it.",
            ),
            Mistake(
                "kept = max(least, round(share * (len(costs) - 1)))\nreturn kept if costs[kept] <= budget else least",
                "What does not fit is cut to the least at once: take away only as many channels as needed.",
            ),
            Mistake(
                "return max(k for k in range(least, len(costs)) if costs[k] <= budget)",
                "It always keeps all that the budget allows: the agent's share is an upper limit as well.",
            ),
            Mistake(
                "kept = max(least, round(share * (len(costs) - 1)))\n"
                "while kept > least and costs[kept] > budget:\n"
                "    kept -= 1\n"
                "return kept / (len(costs) - 1)",
                "That is a share: return the number of channels.",
            ),
            Mistake(
                "kept = max(least, round(share * (len(costs) - 1)))\n"
                "while kept > least and costs[kept - 1] > budget:\n"
                "    kept -= 1\n"
                "return kept",
                "The entry for one channel fewer is looked at: the costs of k channels stand at place k.",
            ),
        ),
    ),
    Blank(
        name="budget-state",
        title="Blank 2 · reduced and rest",
        notebook="10_amc",
        points=4,
        functions={"budget_state": ["whole", "left", "group"]},
        cases=_budget_state_cases,
        credit=(Credit(3, groups=("middle",)), Credit(1, groups=("last",))),
        mistakes=(
            Mistake(
                "return (sum(whole) - sum(left)) / sum(whole), sum(whole[group:]) / sum(whole)",
                "The rest begins with the group that is decided now: it is what comes after it.",
            ),
            Mistake(
                "return (sum(whole) - sum(left)) / sum(whole), sum(left[group + 1:]) / sum(whole)",
                "The rest is counted in the network as it is cut so far: count it in the unpruned one.",
            ),
            Mistake(
                "return sum(left) / sum(whole), sum(whole[group + 1:]) / sum(whole)",
                "The first number is what is left: reduced is what has gone.",
            ),
            Mistake(
                "return sum(whole) - sum(left), sum(whole[group + 1:])",
                "Those are MACs: divide both by the MACs of the unpruned network, so that they lie between 0 and 1.",
            ),
            Mistake(
                "return (sum(whole[:group]) - sum(left[:group])) / sum(whole), sum(whole[group + 1:]) / sum(whole)",
                "Only the groups before this one are counted: a cut also saves MACs in the layers that read the group.",
            ),
            Mistake(
                "return (sum(whole) - sum(left)) / sum(whole), sum(whole[group + 1:-1]) / sum(whole)",
                "The last entry is left out of the rest: the classifier comes after every group, too.",
            ),
            Mistake(
                "return sum(whole[group + 1:]) / sum(whole), (sum(whole) - sum(left)) / sum(whole)",
                "The two come in the wrong order: reduced first, then rest.",
            ),
            Mistake(
                "return (sum(whole) - sum(left)) / sum(whole), sum(whole[group + 1:]) / sum(left)",
                "The rest is divided by what is left now: divide both by the unpruned network's MACs.",
            ),
        ),
    ),
    Blank(
        name="soft-update",
        title="Blank 3 · the soft update",
        notebook="10_amc",
        points=4,
        functions={"soft_update": ["target", "online", "tau"]},
        cases=_soft_update_cases,
        credit=(
            Credit(2, groups=("a part of it",), aspect="values"),
            Credit(1, groups=("all of it",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return {n: target[n].mul_(1 - tau).add_(tau * online[n]) for n in target}",
                "The numbers are right, but the tensors of the target network are changed themselves: make new ones, with * "
                "and + instead of mul_ and add_.",
            ),
            Mistake(
                "return {n: tau * target[n] + (1 - tau) * online[n] for n in target}",
                "The two weights are exchanged: with a small tau the target has to move little.",
            ),
            Mistake(
                "return {n: target[n] + tau * online[n] for n in target}",
                "The target is not made smaller before the new part is added, so it grows for ever.",
            ),
            Mistake(
                "return {n: online[n].clone() for n in target}",
                "The target becomes a copy of the online network: it should follow it slowly.",
            ),
            Mistake(
                "return {n: target[n].clone() for n in target}",
                "The target never moves: let a share tau of the online network in.",
            ),
            Mistake(
                "return {n: (target[n] + online[n]) / 2 for n in target}",
                "Half of each is taken, whatever tau is: use tau.",
            ),
            Mistake(
                "return {n: target[n] + tau * (target[n] - online[n]) for n in target}",
                "The target moves away from the online network: look at the sign of the difference.",
            ),
            Mistake(
                "return {n: (1 - tau) * target[n] for n in target}",
                "Nothing of the online network comes in: the second term is missing.",
            ),
        ),
    ),
    Blank(
        name="reward",
        title="Blank 4 · the reward",
        notebook="10_amc",
        points=4,
        functions={"reward": ["accuracy", "macs", "kind"]},
        cases=_reward_cases,
        credit=(Credit(2, groups=("the error",)), Credit(2, groups=("with FLOPs",))),
        mistakes=(
            Mistake(
                "e = 1 - accuracy\nreturn e * math.log(2 * macs) if kind == 'error-log-flops' else e",
                "The sign is missing: the agent looks for the highest reward, and would look for the largest error.",
            ),
            Mistake(
                "return accuracy * math.log(2 * macs) if kind == 'error-log-flops' else accuracy",
                "That is made of the accuracy: both rewards are made of the error, and negative.",
            ),
            Mistake(
                "e = 1 - accuracy\nreturn -e * math.log(macs) if kind == 'error-log-flops' else -e",
                "The logarithm is of MACs: one MAC is two FLOPs.",
            ),
            Mistake(
                "e = 1 - accuracy\nreturn -e * math.log10(2 * macs) if kind == 'error-log-flops' else -e",
                "The logarithm has base 10: take the natural one.",
            ),
            Mistake(
                "return -(1 - accuracy)",
                "Both kinds give the same: the second one has a factor.",
            ),
            Mistake(
                "return -(1 - accuracy) * math.log(2 * macs)",
                "Both kinds have the factor: the first one is the error alone.",
            ),
            Mistake(
                "e = 1 - accuracy\nreturn -e - math.log(2 * macs) if kind == 'error-log-flops' else -e",
                "The logarithm is added: multiply the error by it.",
            ),
            Mistake(
                "e = 1 - accuracy\nreturn -e / math.log(2 * macs) if kind == 'error-log-flops' else -e",
                "The error is divided by the logarithm, so more FLOPs would be rewarded: multiply.",
            ),
        ),
    ),
)
