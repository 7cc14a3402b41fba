"""The blanks of lab 3, What speeds up."""

import math

from labkit.course.blanks import Blank, Credit, Mistake, quarters, shaped

# One mask for all, of which one line at a time goes wrong.
GLOBAL = """everything = torch.cat([w.abs().flatten() for w in weights.values()])
k = round(ratio * len(everything))
limit = everything.sort().values[k]
return {name: w.abs() >= limit for name, w in weights.items()}"""

GROUPS = """groups = weight.abs().reshape(len(weight), -1, 4)
mask = torch.zeros_like(groups, dtype=torch.bool)
mask.scatter_(2, groups.topk(2, dim=2).indices, True)
return mask.reshape(weight.shape)"""

PERMANENT = """prune.custom_from_mask(layer, "weight", mask)
prune.remove(layer, "weight")
return layer"""

TIMED = """before = torch.get_num_threads()
torch.set_num_threads(threads)
for _ in range(warm_up):
    machine.run()
times = []
for _ in range(runs):
    start = machine.clock()
    machine.run()
    times.append(1000 * (machine.clock() - start))
torch.set_num_threads(before)
return statistics.quantiles(times, n=4)"""


def _magnitudes(rng, count: int) -> list[float]:
    """Multiples of a quarter whose magnitudes are distinct and not 0, of both signs."""
    return [k / 4 * rng.choice((-1, 1)) for k in rng.sample(range(1, 60), count)]


def _bytes_cases(rng):
    def mask(count, kept, block):
        chosen = rng.sample(range(count // block), kept)
        return {"bool": [index // block in chosen for index in range(count)]}

    yield "stored_bytes", "one by one", [mask(12, 5, 1), 1, 32, 16]
    yield "stored_bytes", "one by one", [mask(24, rng.choice((8, 10)), 1), 1, 16, 8]
    yield "stored_bytes", "in blocks", [mask(18, 2, 3), 3, 32, rng.choice((8, 16))]
    yield "stored_bytes", "in blocks", [mask(27, 2, 9), 9, 16, rng.choice((4, 12))]
    for kept in rng.sample((3, 5, 7), 2):  # no whole number of bytes
        yield "stored_bytes", "rounded", [mask(20, kept, 1), 1, 8, rng.choice((3, 5))]


def _global_cases(rng):
    def weights(*shapes):
        drawn = _magnitudes(rng, sum(math.prod(shape) for shape in shapes))
        found = {}
        for number, shape in enumerate(shapes, 1):
            part, drawn = drawn[: math.prod(shape)], drawn[math.prod(shape) :]
            found[f"layer{number}"] = {"float32": shaped(part, shape)}
        return {"dict": found}

    # No ratio asks for half a weight.
    yield "global_masks", "some", [weights((3,), (4,)), 0.4]
    yield "global_masks", "some", [weights((2, 3), (4,)), 0.68]
    yield "global_masks", "some", [weights((2, 2), (2, 3), (3,)), 0.6]
    yield "global_masks", "some", [weights((3,), (2, 2)), 0.33]
    yield "global_masks", "none", [weights((3,), (2, 2)), 0.0]


def _permanent_cases(rng):
    def linear(rows, columns, **more):
        weight = shaped(_magnitudes(rng, rows * columns), (rows, columns))
        return {"Linear": {"weight": weight, "bias": quarters(rng, rows)} | more}

    def stays(rows, columns, count):
        chosen = rng.sample(range(rows * columns), count)
        return shaped([index in chosen for index in range(rows * columns)], (rows, columns))

    for rows, columns, count in ((2, 2, 1), (2, 3, 4), (3, 4, 5)):
        yield "make_permanent", "any", [linear(rows, columns), {"bool": stays(rows, columns, count)}]
    for rows, columns, count in ((2, 2, 3), (3, 3, 4)):
        mask = [[float(value) for value in row] for row in stays(rows, columns, count)]
        yield "zero_weights", "masked", [linear(rows, columns, weight_mask=mask)]
    pruned = linear(2, 4)
    for row, column in ((0, 1), (1, 0), (1, 3)):
        pruned["Linear"]["weight"][row][column] = 0.0
    pruned["Linear"]["bias"][1] = 0.0
    yield "zero_weights", "permanent", [pruned]


def _latency_cases(rng):
    def script(warm_up, runs):
        """Slow first runs, then runs whose quartiles are the same by every definition of a quantile."""
        base, step = rng.choice((8.0, 10.0, 12.0)), rng.choice((0.5, 0.75, 1.0))
        levels = [-2.0, -1.6, -1.0, -1.0, -0.4, 0.0, 0.6, 1.0, 1.0, 1.5]
        times = [base + step * level for level in levels] + [base * rng.choice((6, 8))]  # and an outlier
        rng.shuffle(times)
        return [base * slow for slow in rng.sample((3.5, 4.5, 5.5, 7.5), warm_up)] + times[:runs]

    for group, threads, warm_up in (("one thread", 1, 2), ("one thread", 1, 4), ("several", 3, 3)):
        machine = {"Machine": {"milliseconds": script(warm_up, 11), "threads": threads}}
        yield "latency_quartiles", group, [machine, warm_up, 11, threads]


def _pattern_cases(rng):
    for rows, columns in ((1, 4), (2, 8), (3, 12), (4, 4)):
        yield "two_four_mask", "any", [{"float32": shaped(_magnitudes(rng, rows * columns), (rows, columns))}]


BLANKS = (
    Blank(
        name="stored-bytes",
        title="Blank 1 · bytes with indices",
        notebook="06_granularity",
        points=5,
        functions={"stored_bytes": ["mask", "block", "value_bits", "index_bits"]},
        cases=_bytes_cases,
        credit=(
            Credit(2, groups=("one by one",)),
            Credit(2, groups=("in blocks",)),
            Credit(1, groups=("rounded",)),
        ),
        mistakes=(
            Mistake(
                "return math.ceil(mask.sum().item() * value_bits / 8)",
                "The indices are missing: without them nobody knows where the values belong.",
            ),
            Mistake(
                "return math.ceil(mask.numel() * (value_bits + index_bits / block) / 8)",
                "All weights are counted: those that are gone are not stored, and that is the point of it.",
            ),
            Mistake(
                "gone = mask.numel() - mask.sum().item()\n"
                "return math.ceil(gone * (value_bits + index_bits / block) / 8)",
                "The weights that are gone are counted: True is a weight that stays.",
            ),
            Mistake(
                "return math.ceil(mask.sum().item() * (value_bits + index_bits) / 8)",
                "One index for each weight: a block has one index, however many weights it holds.",
            ),
            Mistake(
                "return math.ceil((mask.sum().item() * value_bits + index_bits) / 8)",
                "One index in all: each block that stays needs its own.",
            ),
            Mistake(
                "return math.ceil((mask.sum().item() * value_bits + mask.numel() // block * index_bits) / 8)",
                "An index for each block of the layer: only blocks that stay are stored.",
            ),
            Mistake(
                "kept = mask.sum().item()\nreturn kept * value_bits + kept // block * index_bits",
                "These are bits: a byte has 8.",
            ),
            Mistake(
                "kept = mask.sum().item()\nreturn (kept * value_bits + kept // block * index_bits) // 8",
                "Rounded down: the last bits need a byte as well. Round up.",
            ),
            Mistake(
                "kept = mask.sum().item()\nreturn (kept * value_bits + kept // block * index_bits) / 8",
                "A file has no half bytes: round up to a whole number.",
            ),
            Mistake(
                "kept = mask.sum().item()\nreturn math.ceil((kept // block * value_bits + kept // block * index_bits) / 8)",
                "One value for each block: every weight of a block that stays has its value.",
            ),
        ),
    ),
    Blank(
        name="global-masks",
        title="Blank 2 · one threshold for all layers",
        notebook="06_granularity",
        points=5,
        functions={"global_masks": ["weights", "ratio"]},
        cases=_global_cases,
        credit=(
            Credit(3, groups=("some",), aspect="values"),
            Credit(1, groups=("some",), aspect="form"),
            Credit(1, groups=("none",)),
        ),
        mistakes=(
            Mistake(
                GLOBAL.replace(">=", ">"),
                "One weight too many goes: the threshold's own weight as well. Of sorted magnitudes, the one at place k "
                "(from 0) has k below it and stays itself.",
            ),
            Mistake(
                GLOBAL.replace("values[k]", "values[k - 1]"),
                "One weight too few goes: the k-th smallest is at place k − 1 and has to go itself.",
            ),
            Mistake(
                GLOBAL.replace("w.abs().flatten()", "w.flatten()"),
                "The threshold is taken from w and not from |w|: negative weights are not small, they are negative.",
            ),
            Mistake(
                GLOBAL.replace("w.abs() >=", "w >="),
                "|w| is missing where the mask is made: large negative weights go.",
            ),
            Mistake(
                "import math\n" + GLOBAL.replace("round(", "math.ceil("),
                "math.ceil rounds up: one weight too many goes wherever p · n is not whole and its fraction is below a half.",
            ),
            Mistake(
                GLOBAL.replace("round(", "int("),
                "int() cuts off: where ratio * n is 6.8, seven weights are nearer than six. Asked is round().",
            ),
            Mistake(
                GLOBAL.replace("ratio * len(everything)", "ratio * len(weights)"),
                "len(weights) is the number of layers; the ratio is of all their weights together.",
            ),
            Mistake(
                GLOBAL.replace("round(ratio", "round((1 - ratio)").replace(
                    "values[k]", "values[min(k, len(everything) - 1)]"
                ),
                "ratio is the share that goes; your code keeps that share.",
            ),
            Mistake(
                "masks = {}\nfor name, w in weights.items():\n    k = round(ratio * w.numel())\n"
                "    masks[name] = w.abs() >= w.abs().flatten().sort().values[k]\nreturn masks",
                "Every layer loses the same share: that is layer-wise pruning. Here the weights of all layers stand in "
                "one ranking.",
            ),
            Mistake(
                GLOBAL.replace(">=", "<"),
                "The mask is the wrong way round: True is a weight that stays, False one that goes.",
            ),
            Mistake(
                GLOBAL.replace("sort().values[k]", "kthvalue(k).values").replace(">=", ">"),
                "Right for every ratio but 0: there is no 0-th smallest weight, and nothing should go.",
                says="selected|k not in range|out of range",
            ),
            Mistake(
                GLOBAL.replace("w.abs() >= limit for", "(w.abs() >= limit).float() for"),
                "The right weights, but as ones and zeros: return bool tensors.",
            ),
            Mistake(
                GLOBAL.replace("w.abs() >= limit for", "w * (w.abs() >= limit) for"),
                "These are the pruned weights; asked are the masks, one bool for each weight.",
            ),
            Mistake(
                GLOBAL.replace(
                    "return {name: w.abs() >= limit for name, w in weights.items()}", "return everything >= limit"
                ),
                "One long mask: return a dict with one for each layer, in the shape of its weight.",
            ),
        ),
    ),
    Blank(
        name="permanent",
        title="Blank 3 · permanent, and counted",
        notebook="06_granularity",
        points=5,
        functions={"make_permanent": ["layer", "mask"], "zero_weights": ["layer"]},
        cases=_permanent_cases,
        credit=(
            Credit(2, function="make_permanent", aspect="values"),
            Credit(1, function="make_permanent", aspect="form"),
            Credit(1, function="zero_weights", groups=("masked",)),
            Credit(1, function="zero_weights", groups=("permanent",)),
        ),
        mistakes=(
            Mistake(
                PERMANENT.replace('prune.remove(layer, "weight")\n', ""),
                "The mask is on, but prune.remove is forgotten: the layer keeps weight_orig and weight_mask, in a file twice the "
                "memory, and the file has no zero in it.",
                "make_permanent",
            ),
            Mistake(
                PERMANENT.replace('prune.custom_from_mask(layer, "weight", mask)', 'prune.identity(layer, "weight")'),
                "The mask is not used: every weight is still there.",
                "make_permanent",
            ),
            Mistake(
                PERMANENT.replace(", mask)", ", ~mask)"),
                "The mask is the wrong way round: True is a weight that stays.",
                "make_permanent",
            ),
            Mistake(
                PERMANENT.replace(
                    'prune.custom_from_mask(layer, "weight", mask)',
                    'prune.l1_unstructured(layer, "weight", amount=int((~mask).sum()))',
                ),
                "As many weights go as the mask says, but others: l1_unstructured chooses them itself.",
                "make_permanent",
            ),
            Mistake(
                'prune.remove(layer, "weight")\nreturn layer',
                "There is nothing to remove yet: put the mask on first.",
                "make_permanent",
                "Parameter 'weight' of",
            ),
            Mistake(
                PERMANENT.replace('prune.remove(layer, "weight")', 'prune.remove(layer, "weight_mask")'),
                "prune.remove wants the name of the parameter, weight; the mask goes with it.",
                "make_permanent",
                "Parameter 'weight_mask' of",
            ),
            Mistake(
                "layer.weight.data[~mask] = 0\nlayer.bias.data.zero_()\nreturn layer",
                "The bias is pruned, too: the mask is for the weight alone.",
                "make_permanent",
            ),
            Mistake(
                PERMANENT.replace("return layer", "pass"),
                "The pruning is permanent, but nothing comes back: return the layer.",
                "make_permanent",
            ),
            Mistake(
                PERMANENT.replace("return layer", "return layer.weight"),
                "That is the weight alone: return the layer.",
                "make_permanent",
            ),
            Mistake(
                "return sum(int((p == 0).sum()) for p in layer.parameters())",
                "parameters() are what an optimizer changes: while a mask is on that is weight_orig, without zeros, and "
                "the bias. Count in layer.weight, which forward uses.",
                "zero_weights",
            ),
            Mistake(
                "return int((layer.weight_mask == 0).sum())",
                "A layer that was pruned for good has no weight_mask any more: count in layer.weight.",
                "zero_weights",
                "weight_mask",
            ),
            Mistake(
                "return int((layer.weight_orig == 0).sum())",
                "weight_orig are the weights as they were, before the mask: count in layer.weight.",
                "zero_weights",
                "weight_orig",
            ),
            Mistake(
                "return int((layer.weight != 0).sum())",
                "These are the weights that stay; asked are the zeros.",
                "zero_weights",
            ),
            Mistake(
                "return float((layer.weight == 0).float().mean())",
                "That is the share of zeros; asked is how many.",
                "zero_weights",
            ),
            Mistake(
                "return sum(int((t == 0).sum()) for t in layer.state_dict().values())",
                "state_dict() holds the mask and the bias as well, whose zeros are no pruned weights: count in "
                "layer.weight.",
                "zero_weights",
            ),
        ),
    ),
    Blank(
        name="median-latency",
        title="Blank 4 · a time that can be trusted",
        notebook="06_granularity",
        points=5,
        functions={"latency_quartiles": ["machine", "warm_up", "runs", "threads"]},
        cases=_latency_cases,
        credit=(
            Credit(2, aspect="values", groups=("one thread",)),
            Credit(1, aspect="values", groups=("several",)),
            Credit(2, aspect="form"),
        ),
        mistakes=(
            Mistake(
                TIMED.replace("    machine.run()\ntimes = []", "    pass\ntimes = []"),
                "The warm-up is not left out: the first runs allocate memory and choose kernels, and are counted here.",
            ),
            Mistake(
                TIMED.replace("for _ in range(warm_up):\n    machine.run()\n", "").replace(
                    "range(runs)", "range(warm_up + runs)"
                ),
                "Warm-up and timed runs are counted together: run the warm-up first, and do not time it.",
            ),
            Mistake(
                TIMED.replace("torch.set_num_threads(threads)\n", ""),
                "The number of threads is not set: on another number the network takes another time.",
            ),
            Mistake(
                TIMED.replace("torch.set_num_threads(before)\n", ""),
                "The times are right, but the number of threads is not given back: all that follows computes with yours.",
            ),
            Mistake(
                TIMED.replace("set_num_threads(before)", "set_num_threads(1)"),
                "The number of threads is set to 1 at the end: give back the number that you found.",
            ),
            Mistake(
                TIMED.replace("1000 * (machine.clock() - start)", "machine.clock() - start"),
                "These are seconds: a second has 1000 milliseconds.",
            ),
            Mistake(
                TIMED.replace("return statistics.quantiles(times, n=4)", "return statistics.median(times)"),
                "The median is right; the quartiles are missing. They say how far a time can be trusted.",
            ),
            Mistake(
                TIMED.replace("statistics.quantiles(times, n=4)", "[min(times), statistics.median(times), max(times)]"),
                "Smallest and largest instead of the quartiles: one disturbed run makes the largest, whatever the others do.",
            ),
            Mistake(
                TIMED.replace(
                    "return statistics.quantiles(times, n=4)",
                    "low, _, high = statistics.quantiles(times, n=4)\nreturn [low, statistics.mean(times), high]",
                ),
                "A mean instead of the median: a single disturbed run moves it.",
            ),
            Mistake(
                TIMED.replace(
                    "return statistics.quantiles(times, n=4)",
                    "mean, spread = statistics.mean(times), statistics.stdev(times)\nreturn [mean - spread, mean, mean + spread]",
                ),
                "Mean and standard deviation: both are moved by a single disturbed run. Asked are median and quartiles.",
            ),
            Mistake(
                TIMED.replace(
                    "return statistics.quantiles(times, n=4)",
                    "low, middle, high = statistics.quantiles(times, n=4)\nreturn [middle, low, high]",
                ),
                "The right three, in another order: first quartile, median, third quartile.",
            ),
            Mistake(
                TIMED.replace(
                    "return statistics.quantiles(times, n=4)",
                    "times = times[len(times) // 4], times[len(times) // 2], times[3 * len(times) // 4]\nreturn times",
                ),
                "The times are not sorted: quartiles are places in the sorted list.",
            ),
            Mistake(
                "before = torch.get_num_threads()\ntorch.set_num_threads(threads)\nstart = machine.clock()\n"
                "for _ in range(runs):\n    machine.run()\ntorch.set_num_threads(before)\n"
                "return [1000 * (machine.clock() - start) / runs] * 3",
                "All runs under one clock give a mean: time every run on its own.",
            ),
        ),
    ),
    Blank(
        name="two-four",
        title="Blank 5 · the 2:4 mask",
        notebook="06_granularity",
        points=5,
        functions={"two_four_mask": ["weight"]},
        cases=_pattern_cases,
        credit=(Credit(4, aspect="values"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                GROUPS.replace("weight.abs()", "weight"),
                "|w| is missing: a large negative weight is not a small one.",
            ),
            Mistake(
                GROUPS.replace("dim=2)", "dim=2, largest=False)"),
                "The two smallest of every four stay: it is the largest that should, and True is a weight that stays.",
            ),
            Mistake(
                "limit = weight.abs().flatten().median()\nreturn weight.abs() > limit",
                "Half of all weights stay, but anywhere: of every four neighbours in a row exactly two have to stay.",
            ),
            Mistake(
                "order = weight.abs().argsort(1, descending=True)[:, : weight.shape[1] // 2]\n"
                "return torch.zeros_like(weight, dtype=torch.bool).scatter(1, order, True)",
                "Half of every row stays, but anywhere in it: of every four neighbours exactly two have to stay.",
            ),
            Mistake(
                "groups = weight.abs().reshape(len(weight), 4, -1)\n"
                "mask = torch.zeros_like(groups, dtype=torch.bool)\n"
                "for row in range(len(weight)):\n    for column in range(groups.shape[2]):\n"
                "        mask[row, groups[row, :, column].topk(2).indices, column] = True\n"
                "return mask.reshape(weight.shape)",
                "Groups of four that do not stand side by side: the four of a group are neighbours in a row, so the "
                "4 is the last axis.",
            ),
            Mistake(
                GROUPS.replace("reshape(len(weight), -1, 4)", "reshape(len(weight), -1, 2)").replace(
                    "topk(2,", "topk(1,"
                ),
                "One of every two: that is 1:2, which leaves less choice than two of every four.",
            ),
            Mistake(
                "mask = torch.zeros_like(weight, dtype=torch.bool)\nmask[:, ::2] = True\nreturn mask",
                "Every other weight stays, however small it is: of every four the two largest |w| have to stay.",
            ),
            Mistake(
                GROUPS.replace("topk(2,", "topk(1,"),
                "One of every four stays: 2:4 keeps two.",
            ),
            Mistake(
                GROUPS.replace("return mask.reshape(weight.shape)", "return mask.reshape(weight.shape).float()"),
                "The right weights, but as ones and zeros: return a bool tensor.",
            ),
            Mistake(
                GROUPS.replace("return mask.reshape(weight.shape)", "return weight * mask.reshape(weight.shape)"),
                "That is the pruned weight; asked is the mask.",
            ),
            Mistake(
                GROUPS.replace("return mask.reshape(weight.shape)", "return mask"),
                "The right weights, but still in groups: give the mask the shape of the weight.",
            ),
        ),
    ),
)
