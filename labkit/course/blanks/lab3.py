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

AFFINE = """low, high = min(low, 0.0), max(high, 0.0)
scale = (high - low) / (2**bits - 1)
if scale == 0:
    return 1.0, 0
return scale, round(-low / scale)"""

FAKE = """last = 2**bits - 1
numbers = torch.round(values / scale) + zero_point
rounded = (numbers.clamp(0, last) - zero_point) * scale
inside = (values >= -zero_point * scale) & (values <= (last - zero_point) * scale)
return rounded, inside.float()"""

LLOYD = """nearest = (weights[:, None] - codebook[None, :]).abs().argmin(dim=1)
moved = codebook.clone()
for k in range(len(codebook)):
    mine = weights[nearest == k]
    if len(mine):
        moved[k] = mine.mean()
return nearest, moved"""

PACKED = """bits = math.ceil(math.log2(clusters))
return math.ceil(weights * bits / 8) + 4 * clusters"""

RANGE = """share = percentile / 100
return torch.quantile(values, 1 - share).item(), torch.quantile(values, share).item()"""


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


def _affine_cases(rng):
    def clear(low, high, bits):
        """Whether the zero point is no matter of rounding, by how much it is cut off when it is not rounded."""
        place = -min(low, 0) / (max(high, 0) - min(low, 0)) * (2**bits - 1) % 1
        return 0.55 < place < 0.95 if low < 0 < high else True

    def both_signs(bits):
        ranges = [(-a / 8, b / 8, bits) for a in range(3, 40) for b in range(3, 40)]
        return list(rng.choice([found for found in ranges if clear(*found) and found[0] != -found[1]]))

    for bits in (2, 4, rng.choice((3, 5)), 8):
        yield "scale_and_zero_point", "both signs", both_signs(bits)
    low, width = rng.choice((0.5, 0.75, 1.25)), rng.choice((1.0, 1.5, 2.5))
    yield "scale_and_zero_point", "one sign", [low, low + width, 4]
    yield "scale_and_zero_point", "one sign", [-low - width, -low, 3]
    yield "scale_and_zero_point", "no width", [0.0, 0.0, rng.choice((4, 8))]


def _fake_cases(rng):
    def values(bits, zero_point, scale, kinds):
        """Of each kind some, in units of the scale, and exact in float32; none within half a step outside the range."""
        first, last = -zero_point, 2**bits - 1 - zero_point
        places = {
            "levels": rng.sample(range(first + 1, last), 2),
            "between": [rng.randrange(first, last) + rng.choice((0.25, 0.75, 0.875)) for _ in range(4)],
            "halves": [k + 0.5 for k in rng.sample(range(first, last), 2)],
            "edges": [first, last],
            "outside": [first - rng.choice((1.25, 2.75)), last + rng.choice((1.75, 3.25))],
        }
        found = [scale * place for kind in kinds for place in places[kind]]
        rng.shuffle(found)
        return {"float32": found}

    inside = ("levels", "between")
    yield "fake_quantize", "inside", [values(3, 3, 0.5, inside), 0.5, 3, 3]
    yield "fake_quantize", "inside", [values(4, 6, 0.25, inside), 0.25, 6, 4]
    yield "fake_quantize", "inside", [values(2, 1, 0.5, ("between", "edges")), 0.5, 1, 2]
    zero_point = rng.choice((2, 4, 5))
    yield "fake_quantize", "outside", [values(3, zero_point, 0.25, ("between", "outside")), 0.25, zero_point, 3]
    yield "fake_quantize", "outside", [values(4, 0, 0.125, ("outside", "between", "edges")), 0.125, 0, 4]
    weight = values(4, 7, 0.5, ("outside", "levels", "between"))  # two rows
    yield "fake_quantize", "outside", [{"float32": shaped(weight["float32"], (2, 4))}, 0.5, 7, 4]
    for zero_point in (3, 4):
        yield "fake_quantize", "halves", [values(3, zero_point, 0.5, ("levels", "halves")), 0.5, zero_point, 3]


def _lloyd_cases(rng):
    def weights(codebook, counts):
        """So many around each centre, and no two centres equally near to any."""
        found = [c + rng.choice((-3, -2, 1, 3, 4)) / 16 for c, count in zip(codebook, counts) for _ in range(count)]
        rng.shuffle(found)
        return {"float32": found}

    for group, counts in (("all used", (2, 3, 1)), ("all used", (3, 1, 4, 2)), ("one empty", (3, 0, 2))):
        codebook = [k / 2 for k in rng.sample([k for k in range(-7, 8, 2) if k], len(counts))]
        yield "kmeans_step", group, [weights(codebook, counts), {"float32": codebook}]


def _packed_cases(rng):
    yield "packed_bytes", "power of two", [8 * rng.randrange(20, 60), 16]
    yield "packed_bytes", "power of two", [8 * rng.randrange(20, 60), rng.choice((4, 8))]
    yield "packed_bytes", "any number", [8 * rng.randrange(20, 60), rng.choice((5, 6, 11, 13))]
    yield "packed_bytes", "any number", [8 * rng.randrange(20, 60), rng.choice((20, 100, 200))]
    for weights in rng.sample((11, 21, 37, 45), 2):  # no whole number of bytes
        yield "packed_bytes", "rounded", [weights, 8]


def _range_cases(rng):
    def values(*shape):
        """Most are near 0, and two far away, one on each side."""
        count = math.prod(shape) - 2
        found = [k / 8 for k in rng.sample(range(-20, 60), count)] + [
            rng.choice((12.0, 15.0)),
            rng.choice((-6.0, -9.0)),
        ]
        rng.shuffle(found)
        return {"float32": shaped(found, shape)}

    yield "calibration_range", "percentile", [values(11), rng.choice((75.0, 85.0))]
    yield "calibration_range", "percentile", [values(14), rng.choice((88.0, 92.0))]
    yield "calibration_range", "percentile", [values(2, 3, 4), 95.0]
    yield "calibration_range", "min-max", [values(9), 100.0]
    yield "calibration_range", "min-max", [values(3, 4), 100.0]


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
    Blank(
        name="scale-and-zero-point",
        title="Blank 1 · scale and zero point",
        notebook="12_quantization",
        points=5,
        functions={"scale_and_zero_point": ["low", "high", "bits"]},
        cases=_affine_cases,
        credit=(
            Credit(2, groups=("both signs",), aspect="values"),
            Credit(1, groups=("one sign",), aspect="values"),
            Credit(1, groups=("no width",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                AFFINE.replace("(2**bits - 1)", "2**bits"),
                "2**bits integers have 2**bits − 1 steps between them, as a fence has one gap fewer than posts: divide the "
                "width of the range by the number of steps.",
            ),
            Mistake(
                AFFINE.replace("low, high = min(low, 0.0), max(high, 0.0)\n", ""),
                "The range is not widened to contain 0: where all values have one sign, no integer stands for 0, and padding "
                "and ReLU's zeros would become something else.",
            ),
            Mistake(
                AFFINE.replace("round(-low / scale)", "0"),
                "The zero point is always 0: negative values would have no integer. It is the integer that stands for 0.0.",
            ),
            Mistake(
                AFFINE.replace("-low / scale", "low / scale"),
                "The sign is missing: 0 lies −low above the lower end of the range, so −low / scale steps above integer 0.",
            ),
            Mistake(
                AFFINE.replace("round(", "int("),
                "int() cuts off: where −low / scale is 6.8, the integer 7 is nearer to 0.0 than 6. Round.",
            ),
            Mistake(
                AFFINE.replace("round(-low / scale)", "-low / scale"),
                "The zero point is not rounded: then 0.0 lies between two integers and none stands for it.",
            ),
            Mistake(
                "low, high = min(low, 0.0), max(high, 0.0)\nlimit = max(-low, high)\nif limit == 0:\n    return 1.0, 0\n"
                "return 2 * limit / (2**bits - 1), 2 ** (bits - 1)",
                "That is the symmetric range, as wide on both sides: asked is the range itself, and a zero point that moves.",
            ),
            Mistake(
                AFFINE.replace("if scale == 0:\n    return 1.0, 0\n", ""),
                "A range of width 0 has scale 0, and the zero point divides by it: give scale 1 there.",
            ),
            Mistake(
                AFFINE.replace("scale, round(-low / scale)", "round(-low / scale), scale"),
                "The right two, in another order: first the scale, then the zero point.",
            ),
            Mistake(
                AFFINE.replace("return scale,", "return 1 / scale,"),
                "That is how many integers fit into 1.0. The scale is how much of the range one step of the integer is.",
            ),
            Mistake(
                AFFINE.replace("round(-low / scale)", "round(high / scale)"),
                "Counted from the upper end: the integers begin with 0 at the lower end of the range.",
            ),
            Mistake(
                AFFINE.replace("round(-low / scale)", "round(-low / scale) - 2 ** (bits - 1)"),
                "That is the zero point of signed integers: here they go from 0 to 2**bits − 1.",
            ),
        ),
    ),
    Blank(
        name="fake-quantize",
        title="Blank 2 · rounding with a slope",
        notebook="12_quantization",
        points=5,
        functions={"fake_quantize": ["values", "scale", "zero_point", "bits"]},
        cases=_fake_cases,
        credit=(
            Credit(2, groups=("inside", "outside"), aspect="values"),
            Credit(2, groups=("halves",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                FAKE.replace("numbers.clamp(0, last)", "numbers"),
                "Saturation is missing: there is no integer below 0 and none above 2**bits − 1, so values beyond become the "
                "first or the last one.",
            ),
            Mistake(
                FAKE.replace("clamp(0, last)", "clamp(0, last + 1)"),
                "One integer too many: the last one is 2**bits − 1.",
            ),
            Mistake(
                FAKE.replace("torch.round(values / scale)", "torch.floor(values / scale)"),
                "floor() takes the integer below: the nearest one is right, or every value becomes smaller.",
            ),
            Mistake(
                FAKE.replace("torch.round(values / scale)", "torch.floor(values / scale + 0.5)"),
                "Halves are rounded up: torch.round takes the even neighbour, as hardware does, so that halves do not all "
                "move to one side.",
            ),
            Mistake(
                FAKE.replace("torch.round(values / scale) + zero_point", "torch.round(values / scale + zero_point)"),
                "The zero point is added before rounding: where it is odd, halves go to the other neighbour. Round "
                "value / scale, then add it.",
            ),
            Mistake(
                FAKE.replace("(numbers.clamp(0, last) - zero_point) * scale", "numbers.clamp(0, last) * scale"),
                "The zero point is not taken off on the way back: 0.0 would come back as zero_point · scale.",
            ),
            Mistake(
                FAKE.replace(" + zero_point", "").replace(
                    "(numbers.clamp(0, last) - zero_point) * scale", "numbers.clamp(0, last) * scale"
                ),
                "The zero point is not used for the values: all negative ones saturate at 0.",
            ),
            Mistake(
                FAKE.replace(
                    "rounded = (numbers.clamp(0, last) - zero_point) * scale", "rounded = numbers.clamp(0, last)"
                ),
                "These are the integers: asked are the values that they stand for, (integer − zero_point) · scale.",
            ),
            Mistake(
                FAKE.replace("inside.float()", "torch.ones_like(values)"),
                "The slope is 1 everywhere: where a value saturates, moving it a little changes nothing, so there it is 0.",
            ),
            Mistake(
                FAKE.replace("inside.float()", "torch.zeros_like(values)"),
                "The slope is 0 everywhere: that is the true slope of a staircase, and with it no weight would ever be "
                "trained. Straight-through says 1 inside the range.",
            ),
            Mistake(
                FAKE.replace(">=", ">").replace("<=", "<"),
                "A value exactly at an end of the range is still inside it: its slope is 1.",
            ),
            Mistake(
                FAKE.replace("inside.float()", "(~inside).float()"),
                "The slope is the wrong way round: 1 inside the range, 0 where a value saturates.",
            ),
            Mistake(
                FAKE.replace("inside.float()", "(rounded == values).float()"),
                "Slope 1 only where rounding changes nothing: straight-through gives all values of the range slope 1, "
                "wherever between two levels they lie.",
            ),
            Mistake(
                FAKE.replace("rounded, inside.float()", "inside.float(), rounded"),
                "The right two, in another order: first the rounded values, then the slope.",
            ),
            Mistake(
                FAKE.replace("inside.float()", "inside"),
                "The slope is right, but as True and False: it is a number that gradients are multiplied by. Use .float().",
            ),
            Mistake(
                FAKE.replace("return rounded, inside.float()", "return rounded"),
                "The rounded values are right; the slope is missing.",
            ),
        ),
    ),
    Blank(
        name="kmeans-step",
        title="Blank 3 · one step of k-means",
        notebook="12_quantization",
        points=5,
        functions={"kmeans_step": ["weights", "codebook"]},
        cases=_lloyd_cases,
        credit=(
            Credit(3, groups=("all used",), aspect="values"),
            Credit(1, groups=("one empty",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                LLOYD.replace(".abs()", ""),
                "The distance has no sign: without abs() the nearest centre is always the largest one.",
            ),
            Mistake(
                LLOYD.replace("    if len(mine):\n        moved[k] = mine.mean()", "    moved[k] = mine.mean()"),
                "The mean of an empty cluster is nan, and it stays in the codebook forever: such a centre stays where it is.",
            ),
            Mistake(
                LLOYD.replace(
                    "    if len(mine):\n        moved[k] = mine.mean()", "    moved[k] = mine.sum() / max(1, len(mine))"
                ),
                "The centre of an empty cluster jumps to 0: it should stay where it is.",
            ),
            Mistake(
                LLOYD.replace("mine.mean()", "mine.median()"),
                "That is the median: the mean has the smallest sum of squared distances, which is what k-means makes small.",
            ),
            Mistake(
                LLOYD.replace("mine.mean()", "(mine.min() + mine.max()) / 2"),
                "The middle between the smallest and the largest weight: one far weight would move it. Asked is the mean.",
            ),
            Mistake(
                LLOYD.replace("clone()", "view(-1)"),
                "The result is right, but the codebook that was given has changed: work on a copy.",
            ),
            Mistake(
                LLOYD.replace("return nearest, moved", "return nearest, codebook"),
                "The codebook has not moved: after the weights have chosen, each centre becomes the mean of its weights.",
            ),
            Mistake(
                LLOYD.replace("return nearest, moved", "return moved[nearest], moved"),
                "These are the shared weights: asked are the indices, the numbers of the centres.",
            ),
            Mistake(
                LLOYD.replace("return nearest, moved", "return moved, nearest"),
                "The right two, in another order: first the indices, then the codebook.",
            ),
            Mistake(
                LLOYD.replace("argmin(dim=1)", "argmin(dim=0)"),
                "That is the nearest weight of each centre: asked is the nearest centre of each weight, along the other axis.",
            ),
            Mistake(
                LLOYD.replace("argmin", "argmax"),
                "That is the centre farthest away: the nearest one has the smallest distance.",
            ),
            Mistake(
                LLOYD.replace("mine.mean()", "mine.sum() / len(weights)"),
                "Divided by the number of all weights: a mean divides by those of its own cluster.",
            ),
            Mistake(
                LLOYD.replace("return nearest, moved", "return nearest.float(), moved"),
                "The right indices, but as floats: an index into a tensor is an integer.",
            ),
        ),
    ),
    Blank(
        name="packed-bytes",
        title="Blank 4 · what packed indices take",
        notebook="12_quantization",
        points=5,
        functions={"packed_bytes": ["weights", "clusters"]},
        cases=_packed_cases,
        credit=(
            Credit(2, groups=("power of two",)),
            Credit(2, groups=("any number",)),
            Credit(1, groups=("rounded",)),
        ),
        mistakes=(
            Mistake(
                PACKED.replace(" + 4 * clusters", ""),
                "The codebook is missing: without it an index says nothing.",
            ),
            Mistake(
                PACKED.replace("4 * clusters", "clusters"),
                "A codebook entry is a float32: 4 bytes, not one.",
            ),
            Mistake(
                PACKED.replace("4 * clusters", "32 * clusters"),
                "The codebook is counted in bits and added to bytes: a float32 has 32 bits, which are 4 bytes.",
            ),
            Mistake(
                PACKED.replace("math.ceil(math.log2(clusters))", "math.log2(clusters)"),
                "An index has a whole number of bits: 5 clusters need 3 bits and not 2.32.",
            ),
            Mistake(
                PACKED.replace("math.ceil(math.log2(clusters))", "int(math.log2(clusters))"),
                "Rounded down: with 2 bits only 4 of 5 clusters have a number. Round the bits of an index up.",
            ),
            Mistake(
                PACKED.replace("math.ceil(math.log2(clusters))", "clusters.bit_length()"),
                "One bit too many where the number of clusters is a power of two: 16 clusters have the indices 0 to 15, "
                "which fit into 4 bits.",
            ),
            Mistake(
                PACKED.replace("math.ceil(weights * bits / 8)", "weights * bits"),
                "The indices are counted in bits: a byte has 8.",
            ),
            Mistake(
                PACKED.replace("math.ceil(weights * bits / 8)", "weights * bits // 8"),
                "Rounded down: the last bits need a byte as well. Round up.",
            ),
            Mistake(
                PACKED.replace("math.ceil(weights * bits / 8)", "weights * bits / 8"),
                "A file has no half bytes: round up to a whole number.",
            ),
            Mistake(
                PACKED.replace("math.ceil(weights * bits / 8)", "weights"),
                "A whole byte for every index: packed means that one begins where the last one ended.",
            ),
            Mistake(
                PACKED.replace("weights * bits", "weights * clusters"),
                "As many bits as clusters: b bits tell 2**b clusters apart, so log2 of their number is enough.",
            ),
            Mistake(
                PACKED.replace("4 * clusters", "4 * 2**bits"),
                "The codebook has as many entries as there are clusters, even if the bits of an index could count further.",
            ),
        ),
    ),
    Blank(
        name="calibration-range",
        title="Blank 5 · the calibration range",
        notebook="12_quantization",
        points=5,
        functions={"calibration_range": ["values", "percentile"]},
        cases=_range_cases,
        credit=(
            Credit(3, groups=("percentile",), aspect="values"),
            Credit(1, groups=("min-max",), aspect="values"),
            Credit(1, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return values.min().item(), values.max().item()",
                "That is always the whole range, and one far value sets it: cut off what lies outside the percentiles.",
            ),
            Mistake(
                "return torch.quantile(values, 100 - percentile).item(), torch.quantile(values, percentile).item()",
                "torch.quantile wants a share from 0 to 1: 99 % is 0.99.",
                says="quantile",
            ),
            Mistake(
                RANGE.replace("torch.quantile(values, 1 - share).item()", "values.min().item()"),
                "Only the upper end is cut off: the lower one is the (100 − percentile)th percentile.",
            ),
            Mistake(
                RANGE.replace("torch.quantile(values, 1 - share).item()", "0.0"),
                "The lower end is fixed at 0: that holds behind a ReLU, and nowhere else.",
            ),
            Mistake(
                "high = torch.quantile(values.abs(), percentile / 100).item()\nreturn -high, high",
                "A symmetric range from the percentile of |values|: lower and upper end have percentiles of their own.",
            ),
            Mistake(
                "share = percentile / 100\n"
                "return torch.quantile(values, share).item(), torch.quantile(values, 1 - share).item()",
                "The right two, in another order: first the low end, then the high one.",
            ),
            Mistake(
                RANGE.replace("share = percentile / 100", "share = (1 + percentile / 100) / 2"),
                "Each side loses half of what it should: the percentile-th percentile itself is the upper end.",
            ),
            Mistake(
                "low, high = values.min(), values.max()\ncut = (1 - percentile / 100) * (high - low)\n"
                "return (low + cut).item(), (high - cut).item()",
                "A share of the range is cut off: the percentile is a share of the values, however far away they are.",
            ),
            Mistake(
                "ranked = values.flatten().sort().values\ncut = int((1 - percentile / 100) * len(ranked))\n"
                "return ranked[cut].item(), ranked[-1 - cut].item()",
                "The nearest observed values: between two of them torch.quantile goes on in a straight line.",
            ),
            Mistake(
                "mean, spread = values.mean(), values.std()\nfactor = percentile / 50\n"
                "return (mean - factor * spread).item(), (mean + factor * spread).item()",
                "Mean and standard deviation: asked are percentiles, which ask for no bell-shaped histogram.",
            ),
            Mistake(
                RANGE.replace(".item()", ""),
                "The right ends, but as tensors: return two floats, with .item().",
            ),
            Mistake(
                RANGE.replace("return torch.quantile(values, 1 - share).item(), ", "return "),
                "Only the upper end comes back: a range has two.",
            ),
        ),
    ),
)
