"""The blanks and exercises of lab 1, Network Slimming."""

from labkit.course.blanks import Blank, Credit, Mistake, quarters

# What several blanks have to say.
FIRST_CHANNELS = "These are the first channels, not the kept ones. The shape fits, and the network is wrong."
ALL_CHANNELS = (
    "All channels are taken over, and the memory is shared with the old layer: take the kept ones only, and copy "
    "their values."
)
IN_PLACE = (
    "Autograd refuses to change a parameter in place: open a block with torch.no_grad(): around it, "
    "or write through .data."
)
NO_PARAMETER = (
    "A tensor cannot be put in a parameter's place: fill the parameter that is there, under torch.no_grad() or "
    "through .data."
)
INDEXED_TWICE = (
    "kept numbers the channels of the old layer; the thin layer has only as many as are kept, numbered anew. "
    "Index the source only."
)
WRONG_DIRECTION = "Copied in the wrong direction: from the thin layer into the old one."
ON_CUDA = "The code asks for CUDA, whatever the device of the layers: leave the data where it is."
ROWS = (
    "Rows instead of columns: a row of the weight is a class, a column is an input channel. Channels are pruned, "
    "classes are not."
)
NEW_OBJECT = (
    "The values are right, but the parameter is a new object: an optimizer that holds the old one would go on "
    "training that. Fill the parameter that is there."
)
PAIRED = (
    "Two lists of indices in one pair of brackets are read as pairs: one kernel for each pair, not every kept filter "
    "with every input. Select the filters first, then the inputs of what came out."
)
FILTERS_ALONE = (
    "The filters are selected, their inputs are not: the layer before has lost channels too, and every filter loses "
    "those columns."
)
INPUTS_ALONE = (
    "The inputs are selected, the filters are not: this layer's own channels are the rows, and kept names them."
)
SWAPPED = (
    "kept and inputs are exchanged: the weight is (out, in, 3, 3), so kept selects along the first axis and inputs "
    "along the second."
)

# A guard of which one line at a time goes wrong.
GUARDED = """safe = {name: score.clone() for name, score in scores.items()}
for score in safe.values():
    score[score.topk(at_least).indices] = float("inf")
ranked = torch.cat(list(safe.values())).sort().values
k = round(ratio * len(ranked))
return {name: score >= ranked[k] for name, score in safe.items()}"""


def _penalty_cases(rng):
    def layers(*counts):
        return [{"float32": quarters(rng, count), "gradient": True} for count in counts]

    lam = rng.choice([0.1, 0.2, 0.3])
    yield "sparsity_penalty", "one", [layers(2), lam]
    yield "sparsity_penalty", "several", [layers(2, 3), lam]
    yield "sparsity_penalty", "several", [layers(3, 1, 4), 0.5 * lam]
    for steps in (2, 6):
        rates = [rng.choice([0.01, 0.05, 0.1, 0.2]) for _ in range(steps)] + [0.02]
        yield "lambda_for", "any", [rng.choice([0.4, 0.8, 1.6]), rates, rng.choice([0.8, 0.9, 0.95])]


def _subgradient_cases(rng):
    yield "penalty_gradient", "signs", [{"float32": [-0.5, 2.0]}, 0.1]
    for count in (3, 5):
        yield "penalty_gradient", "signs", [{"float32": quarters(rng, count)}, rng.choice([0.2, 0.3, 0.5])]
    values = [*quarters(rng, 3), 0.0]
    rng.shuffle(values)
    yield "penalty_gradient", "zero", [{"float32": values}, rng.choice([0.2, 0.3])]


def _mask_cases(rng):
    def mask(count, kept):
        return [{"bool": [index in kept for index in range(count)]}]

    # Never channels 0 and 1 alone: a mask read as numbers would be right.
    yield "kept_channels", "several", mask(5, rng.sample(range(2, 5), 2))
    yield "kept_channels", "several", mask(7, rng.sample(range(1, 7), 3))
    yield "kept_channels", "all", mask(3, range(3))
    for index in rng.sample(range(2, 6), 2):
        yield "kept_channels", "one", mask(6, [index])


def _norm(rng, channels):
    state = {name: quarters(rng, channels) for name in ("weight", "bias", "running_mean")}
    return {"BatchNorm2d": state | {"running_var": quarters(rng, channels, 1, 24)}}


def _kept(rng, channels, count):
    return {"int64": sorted(rng.sample(range(1, channels), count))}


def _norm_cases(function):
    def cases(rng):
        for channels, count in ((3, 2), (6, 3), (4, 1)):
            yield function, "some", [_norm(rng, count), _norm(rng, channels), _kept(rng, channels, count)]
        yield function, "all", [_norm(rng, 3), _norm(rng, 3), {"int64": [0, 1, 2]}]

    return cases


def _linear(rng, classes, channels):
    weight = [quarters(rng, channels, -40, 40) for _ in range(classes)]
    return {"Linear": {"weight": weight, "bias": quarters(rng, classes)}}


def _weight_cases(rng):
    for classes, channels, count in ((2, 3, 2), (4, 5, 3), (3, 4, 1)):
        kept = _kept(rng, channels, count)
        yield "copy_linear_weight", "some", [_linear(rng, classes, count), _linear(rng, classes, channels), kept]
    kept = {"int64": [0, 1, 2]}
    yield "copy_linear_weight", "all", [_linear(rng, 3, 3), _linear(rng, 3, 3), kept]


def _bias_cases(rng):
    for classes, channels, count in ((2, 3, 1), (4, 5, 4), (3, 3, 3)):
        yield "copy_linear_bias", "any", [_linear(rng, classes, count), _linear(rng, classes, channels)]


def _guard_cases(rng):
    def scores(*widths, weak=None):
        """Distinct scores; the layer ``weak`` has the lowest of all, so that a threshold alone would empty it."""
        names = [f"conv{number}" for number, _ in enumerate(widths, 1)]
        order = sorted(range(len(widths)), key=lambda layer: layer != weak)
        values = quarters(rng, sum(widths), 1, 40)
        values = values if weak is None else sorted(values)
        drawn = {}
        for layer in order:
            drawn[layer], values = rng.sample(values[: widths[layer]], widths[layer]), values[widths[layer] :]
        return {"dict": {name: {"float32": drawn[layer]} for layer, name in enumerate(names)}}

    # No ratio asks for half a channel.
    yield "guarded_mask", "mixed", [scores(3, 4), 0.4, 1]
    yield "guarded_mask", "mixed", [scores(4, 3, 5), 0.5, 1]
    yield "guarded_mask", "emptied", [scores(2, 4, weak=0), 0.5, 1]
    yield "guarded_mask", "emptied", [scores(4, 3, weak=1), 0.6, 1]
    yield "guarded_mask", "emptied", [scores(4, 5, 3, weak=0), 0.45, 2]


def _convolution(rng, filters, inputs):
    return {"Conv2d": {"weight": [[_kernel(rng) for _ in range(inputs)] for _ in range(filters)]}}


def _kernel(rng):
    values = quarters(rng, 9, -40, 40)
    return [values[:3], values[3:6], values[6:]]


def _convolution_cases(rng):
    def case(group, filters, channels, kept, inputs):
        thin, conv = _convolution(rng, len(kept), len(inputs)), _convolution(rng, filters, channels)
        return "copy_convolution_weight", group, [thin, conv, {"int64": kept}, {"int64": inputs}]

    yield case("all", 1, 2, [0], [0, 1])
    yield case("first layer", 3, 2, _kept(rng, 3, 2)["int64"], [0, 1])
    yield case("all filters", 2, 3, [0, 1], [1, 2])
    kept, inputs = rng.sample(([0, 2], [1, 2], [1, 3], [2, 3]), 2)
    yield case("as many", 4, 4, kept, inputs)
    yield case("some", 4, 5, _kept(rng, 4, 2)["int64"], _kept(rng, 5, 3)["int64"])


BLANKS = (
    Blank(
        name="penalty",
        title="Blank 1 · the penalty, and the λ for a budget",
        notebook="01_sparsity_training",
        points=5,
        functions={"sparsity_penalty": ["gammas", "lam"], "lambda_for": ["budget", "learning_rates", "momentum"]},
        cases=_penalty_cases,
        credit=(
            Credit(2, function="sparsity_penalty", aspect="values"),
            Credit(1, function="sparsity_penalty", aspect="form"),
            Credit(2, function="lambda_for"),
        ),
        mistakes=(
            Mistake(
                "return sum(gamma.abs().sum() for gamma in gammas)",
                "λ is missing: the penalty is λ times the sum.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.sum() for gamma in gammas)",
                "The absolute value is missing: positive and negative scaling factors must not cancel.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.sum().abs() for gamma in gammas)",
                "|Σγ| is not Σ|γ|: take the absolute value of each factor first, then add.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum((gamma ** 2).sum() for gamma in gammas)",
                "That is Σγ², an L2 penalty: it makes factors small but never zero. The L1 penalty takes |γ|.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * gammas[-1].abs().sum()",
                "Only the last layer is counted: Γ holds the scaling factors of all layers.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * gammas[0].abs().sum()",
                "Only the first layer is counted (a return inside the loop?): Γ holds all layers.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.abs().mean() for gamma in gammas)",
                "A mean instead of a sum: the penalty counts every channel, wide layers weigh more.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.abs().sum().item() for gamma in gammas)",
                "The value is right, but it is a plain number: item() and float() cut the gradient off, and the "
                "penalty would train nothing. Return a tensor.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.detach().abs().sum() for gamma in gammas)",
                "The value is right, but no gradient flows: .data and .detach() cut it off, and the penalty would "
                "train nothing.",
                "sparsity_penalty",
            ),
            Mistake(
                "return torch.tensor(lam * sum(gamma.abs().sum().item() for gamma in gammas), requires_grad=True)",
                "The value is right, but torch.tensor() makes a new tensor that knows nothing of γ: its gradient "
                "never reaches them, and the penalty would train nothing.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * sum(gamma.abs().sum(0, keepdim=True) for gamma in gammas)",
                "The value is right, but it has shape (1,): one number for all layers has shape ().",
                "sparsity_penalty",
            ),
            Mistake(
                "return [lam * gamma.abs().sum() for gamma in gammas]",
                "One number a layer: the penalty is one number for all layers, so add them up.",
                "sparsity_penalty",
            ),
            Mistake(
                "return lam * gammas.abs().sum()",
                "gammas is a list of tensors, one a layer, and a list has no abs(): go through the layers.",
                "sparsity_penalty",
                "'list' object",
            ),
            Mistake(
                "return budget / sum(learning_rates)",
                "The momentum is missing: it lets a constant force move γ by 1/(1−μ) times as much, so λ is (1−μ) "
                "times as large.",
                "lambda_for",
            ),
            Mistake(
                "return budget * momentum / sum(learning_rates)",
                "μ instead of 1−μ: solve λ·Ση/(1−μ) = budget for λ.",
                "lambda_for",
            ),
            Mistake(
                "return budget / ((1 - momentum) * sum(learning_rates))",
                "1−μ is on the wrong side: solve λ·Ση/(1−μ) = budget for λ.",
                "lambda_for",
            ),
            Mistake(
                "return budget * sum(learning_rates) / (1 - momentum)",
                "That is the budget of a λ; asked is the λ of a budget. Solve λ·Ση/(1−μ) = budget for λ.",
                "lambda_for",
            ),
            Mistake(
                "return budget * (1 - momentum) / len(learning_rates)",
                "Divided by the number of steps: it is the sum of the learning rates that counts.",
                "lambda_for",
            ),
            Mistake(
                "return budget * (1 - momentum) / (sum(learning_rates) / len(learning_rates))",
                "Divided by the mean learning rate: the budget adds up every step, so take the sum.",
                "lambda_for",
            ),
            Mistake(
                "return budget * (1 - momentum) / learning_rates[0]",
                "Only the first learning rate is used: it changes from step to step, take the sum over all.",
                "lambda_for",
            ),
            Mistake(
                "return budget * (1 - momentum) / learning_rates.sum()",
                "learning_rates is a list, and a list has no method sum(): Python has a function for it.",
                "lambda_for",
                "'list' object",
            ),
        ),
    ),
    Blank(
        name="subgradient",
        title="Blank 2 · its subgradient",
        notebook="01_sparsity_training",
        points=5,
        functions={"penalty_gradient": ["gamma", "lam"]},
        cases=_subgradient_cases,
        credit=(
            Credit(2, groups=("signs",), aspect="values"),
            Credit(1, groups=("signs",), aspect="form"),
            Credit(1, groups=("zero",), aspect="values"),
            Credit(1, groups=("zero",), aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return lam * gamma",
                "γ instead of its sign: that is the gradient of an L2 penalty. The slope of |γ| is the same "
                "however large γ is.",
            ),
            Mistake("return gamma.sign()", "λ is missing: the subgradient of λ Σ|γ| is λ times the sign."),
            Mistake(
                "return -lam * gamma.sign()",
                "The sign is flipped: this is added to the gradient, which the optimizer then subtracts. Your "
                "version makes every factor grow.",
            ),
            Mistake(
                "return lam * gamma.abs()",
                "That is the penalty itself, channel by channel. Asked is its slope: how it changes when γ grows a little.",
            ),
            Mistake(
                "return lam * torch.where(gamma > 0, 1.0, -1.0)",
                "At γ = 0 it gives −λ, where the subgradient used here is 0: a channel that has arrived at zero "
                "must stay there.",
            ),
            Mistake(
                "return lam * torch.where(gamma >= 0, 1.0, -1.0)",
                "At γ = 0 it gives +λ, where the subgradient used here is 0: a channel that has arrived at zero "
                "must stay there.",
            ),
            Mistake(
                "return lam * gamma / gamma.abs()",
                "At γ = 0 it divides 0 by 0 and gives nan, which would spread through the whole network.",
            ),
            Mistake(
                "return lam * gamma.sign().sum()",
                "One number for all channels: every γ has its own slope, so return a tensor of γ's shape.",
            ),
            Mistake(
                "return lam * torch.ones_like(gamma)",
                "The same for every γ: where γ is negative, |γ| falls as γ grows, so the slope is negative there.",
            ),
            Mistake(
                "return gamma + lam * gamma.sign()",
                "The subgradient alone is asked for; adding it to the gradient of γ is done by the training loop.",
            ),
            Mistake(
                "return gamma - lam * gamma.sign()",
                "That is γ after a step. Asked is the subgradient; the step is the optimizer's.",
            ),
            Mistake(
                "return (lam * gamma.sign()).tolist()",
                "The numbers are right, but a list cannot be added to a gradient: return a tensor.",
            ),
            Mistake(
                "return lam * np.sign(gamma.numpy())",
                "The numbers are right, but a NumPy array cannot be added to a gradient: return a tensor.",
            ),
            Mistake(
                "return lam * gamma.cuda().sign()",
                "The code asks for CUDA, whatever the device of γ: leave the data where it is.",
            ),
            Mistake(
                "gamma.sign_()\nreturn lam * gamma",
                "The result is right, but your code changes its argument: functions that end in _ work in place, "
                "and the network's γ would be overwritten by its sign.",
            ),
        ),
    ),
    Blank(
        name="kept-channels",
        title="Blank 3 · from a mask to indices",
        notebook="03_channel_pruning",
        points=5,
        functions={"kept_channels": ["mask"]},
        cases=_mask_cases,
        credit=(
            Credit(2, groups=("several", "all"), aspect="values"),
            Credit(1, groups=("one",), aspect="values"),
            Credit(2, aspect="form"),
        ),
        mistakes=(
            Mistake(
                "return mask",
                "That is the mask itself: True and False, one a channel. Asked are the indices where it is True.",
            ),
            Mistake(
                "return mask.int()",
                "That is the mask as ones and zeros: as indices they would mean channels 1 and 0, many times.",
            ),
            Mistake(
                "return mask.nonzero()",
                "The numbers are right, the shape is (kept, 1): nonzero() gives one row a channel. Flatten it.",
            ),
            Mistake(
                "return mask.nonzero().squeeze()",
                "squeeze() breaks on one channel: it removes every axis of length 1, so a single kept channel "
                "becomes a number instead of a list of one. Layers with one channel are what pruning ends in.",
            ),
            Mistake(
                "return mask.nonzero(as_tuple=True)",
                "A tuple: with as_tuple=True nonzero() gives one tensor an axis. Take the first.",
            ),
            Mistake(
                "return (~mask).nonzero().flatten()",
                "These are the channels that are dropped; asked are those that stay.",
            ),
            Mistake("return mask.sum()", "That is how many channels stay. Asked is which."),
            Mistake(
                "return torch.arange(int(mask.sum()))",
                "The right number of channels, but always the first ones: which they are is what the mask says.",
            ),
            Mistake(
                "return [index for index, keep in enumerate(mask) if keep]",
                "The numbers are right, but it is a Python list: return an int64 tensor.",
            ),
            Mistake(
                "return np.argwhere(mask.numpy()).flatten()",
                "The numbers are right, but it is a NumPy array: return an int64 tensor.",
            ),
            Mistake(
                "return np.squeeze(np.argwhere(np.asarray(mask.cpu().numpy())))",
                "A NumPy array, and squeeze breaks on one channel: return a one-dimensional int64 tensor.",
            ),
            Mistake(
                "return mask.nonzero().flatten().float()",
                "The numbers are right, but as floats, and a float is no index: keep them int64.",
            ),
            Mistake(
                "return mask.nonzero().flatten().flip(0)",
                "The right channels, in descending order: the next layer's inputs would be copied in another "
                "order than this layer's outputs.",
            ),
            Mistake(
                "return mask.cuda().nonzero().flatten()",
                "The code asks for CUDA, whatever the device of the mask: leave the data where it is.",
            ),
        ),
    ),
    Blank(
        name="batchnorm-affine",
        title="Blank 4 · BatchNorm scale and shift",
        notebook="03_channel_pruning",
        points=5,
        functions={"copy_batchnorm_affine": ["thin_norm", "norm", "kept"]},
        watched=("weight", "bias"),
        cases=_norm_cases("copy_batchnorm_affine"),
        credit=(Credit(2, aspect="weight"), Credit(2, aspect="bias"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                "thin_norm.weight.data.copy_(norm.weight.data[kept])",
                "γ is right, β is missing: a channel needs its shift as well as its scale.",
            ),
            Mistake(
                "thin_norm.bias.data.copy_(norm.bias.data[kept])",
                "β is right, γ is missing: copy the scale (weight) as well as the shift (bias).",
            ),
            Mistake(
                "thin_norm.weight.data.copy_(norm.bias.data[kept])\nthin_norm.bias.data.copy_(norm.weight.data[kept])",
                "γ and β are exchanged: in BatchNorm, weight is the scale γ and bias is the shift β.",
            ),
            Mistake(
                "thin_norm.weight.data.copy_(norm.weight.data[:len(kept)])\n"
                "thin_norm.bias.data.copy_(norm.bias.data[:len(kept)])",
                FIRST_CHANNELS,
            ),
            Mistake("thin_norm.weight.data = norm.weight.data\nthin_norm.bias.data = norm.bias.data", ALL_CHANNELS),
            Mistake(
                "thin_norm.weight = nn.Parameter(norm.weight.data[kept])\n"
                "thin_norm.bias = nn.Parameter(norm.bias.data[kept])",
                "The values are right, but the parameters are new objects: an optimizer that holds the old ones "
                "would go on training those. Fill the parameter that is there.",
            ),
            Mistake(
                "thin_norm.weight.copy_(norm.weight[kept])\nthin_norm.bias.copy_(norm.bias[kept])",
                IN_PLACE,
                says="leaf Variable",
            ),
            Mistake(
                "thin_norm.weight = norm.weight[kept]\nthin_norm.bias = norm.bias[kept]",
                NO_PARAMETER,
                says="cannot assign",
            ),
            Mistake(
                "thin_norm.running_mean.copy_(norm.running_mean[kept])\n"
                "thin_norm.running_var.copy_(norm.running_var[kept])",
                "These are the running statistics, which are the next blank. Here: weight (γ) and bias (β).",
            ),
            Mistake(
                "thin_norm.weight.data[kept] = norm.weight.data[kept]\n"
                "thin_norm.bias.data[kept] = norm.bias.data[kept]",
                INDEXED_TWICE,
            ),
            Mistake(
                "norm.weight.data[kept] = thin_norm.weight.data\nnorm.bias.data[kept] = thin_norm.bias.data",
                WRONG_DIRECTION,
            ),
            Mistake(
                "weight, bias = thin_norm.weight.data, thin_norm.bias.data\n"
                "weight, bias = norm.weight.data[kept], norm.bias.data[kept]",
                "thin_norm is untouched: assigning to a name does not change the tensor it stood for. Use copy_().",
            ),
            Mistake(
                "thin_norm.weight.data = norm.weight.data[kept].cuda()\n"
                "thin_norm.bias.data = norm.bias.data[kept].cuda()",
                ON_CUDA,
            ),
        ),
    ),
    Blank(
        name="batchnorm-statistics",
        title="Blank 5 · BatchNorm running statistics",
        notebook="03_channel_pruning",
        points=5,
        functions={"copy_batchnorm_statistics": ["thin_norm", "norm", "kept"]},
        watched=("running_mean", "running_var"),
        cases=_norm_cases("copy_batchnorm_statistics"),
        credit=(Credit(2, aspect="running_mean"), Credit(2, aspect="running_var"), Credit(1, aspect="form")),
        mistakes=(
            Mistake(
                "thin_norm.running_mean.copy_(norm.running_mean[kept])",
                "The mean is right, the variance is missing: without it every channel has another scale.",
            ),
            Mistake(
                "thin_norm.running_var.copy_(norm.running_var[kept])",
                "The variance is right, the mean is missing.",
            ),
            Mistake(
                "thin_norm.running_mean.copy_(norm.running_var[kept])\n"
                "thin_norm.running_var.copy_(norm.running_mean[kept])",
                "Mean and variance are exchanged.",
            ),
            Mistake(
                "thin_norm.running_mean.copy_(norm.running_mean[kept])\n"
                "thin_norm.running_var.copy_(norm.running_var[kept].sqrt())",
                "running_var is a variance, and stays one: the square root is taken inside the layer.",
            ),
            Mistake(
                "thin_norm.running_mean.copy_(norm.running_mean[:len(kept)])\n"
                "thin_norm.running_var.copy_(norm.running_var[:len(kept)])",
                FIRST_CHANNELS,
            ),
            Mistake(
                "thin_norm.running_mean = norm.running_mean\nthin_norm.running_var = norm.running_var",
                ALL_CHANNELS,
            ),
            Mistake(
                "thin_norm.weight.data.copy_(norm.weight.data[kept])\nthin_norm.bias.data.copy_(norm.bias.data[kept])",
                "That is scale and shift, the previous blank. Here: running_mean and running_var.",
            ),
            Mistake(
                "thin_norm.running_mean[kept] = norm.running_mean[kept]\n"
                "thin_norm.running_var[kept] = norm.running_var[kept]",
                INDEXED_TWICE,
            ),
            Mistake(
                "norm.running_mean[kept] = thin_norm.running_mean\nnorm.running_var[kept] = thin_norm.running_var",
                WRONG_DIRECTION,
            ),
            Mistake(
                "thin_norm.mean = norm.running_mean[kept]\nthin_norm.var = norm.running_var[kept]",
                "thin_norm's statistics are untouched: they are called running_mean and running_var.",
            ),
            Mistake(
                "thin_norm.running_mean = norm.running_mean[kept].cuda()\n"
                "thin_norm.running_var = norm.running_var[kept].cuda()",
                ON_CUDA,
            ),
        ),
    ),
    Blank(
        name="linear-weight",
        title="Blank 6 · the linear layer's weight",
        notebook="03_channel_pruning",
        points=5,
        functions={"copy_linear_weight": ["thin_linear", "linear", "kept"]},
        watched=("weight",),
        cases=_weight_cases,
        credit=(Credit(4, aspect="weight"), Credit(1, aspect="form")),
        mistakes=(
            Mistake("thin_linear.weight.data = linear.weight.data[kept]", ROWS),
            Mistake("thin_linear.weight.data.copy_(linear.weight.data[kept])", ROWS),
            Mistake(
                "thin_linear.weight.data.copy_(linear.weight.data[:, :len(kept)])",
                "These are the first columns, not the kept ones. The shape fits, and the network is wrong.",
            ),
            Mistake(
                "thin_linear.weight.data.copy_(linear.weight.data)",
                "All columns are copied, but the thin layer has inputs for the kept channels only: select them.",
            ),
            Mistake(
                "thin_linear.weight.data = linear.weight.data",
                "All columns are taken over, and the memory is shared with the old layer: take the kept ones "
                "only, and copy their values.",
            ),
            Mistake(
                "thin_linear.weight.data = linear.weight.data[:, kept].t()",
                "Transposed: the weight of a linear layer is (outputs, inputs), here (classes, kept).",
            ),
            Mistake("thin_linear.weight = nn.Parameter(linear.weight.data[:, kept])", NEW_OBJECT),
            Mistake("thin_linear.weight.copy_(linear.weight[:, kept])", IN_PLACE, says="leaf Variable"),
            Mistake("thin_linear.weight = linear.weight[:, kept]", NO_PARAMETER, says="cannot assign"),
            Mistake(
                "thin_linear.weight.data[:, kept] = linear.weight.data[:, kept]",
                "kept numbers the columns of the old layer; the thin layer has only as many as are kept, numbered "
                "anew. Index the source only.",
            ),
            Mistake("linear.weight.data[:, kept] = thin_linear.weight.data", WRONG_DIRECTION),
            Mistake("pass", "thin_linear's weight is untouched."),
            Mistake("thin_linear.weight.data = linear.weight.data[:, kept].cuda()", ON_CUDA),
        ),
    ),
    Blank(
        name="linear-bias",
        title="Blank 7 · the linear layer's bias",
        notebook="03_channel_pruning",
        points=5,
        functions={"copy_linear_bias": ["thin_linear", "linear"]},
        watched=("bias",),
        cases=_bias_cases,
        credit=(Credit(3, aspect="bias"), Credit(2, aspect="form")),
        mistakes=(
            Mistake(
                "thin_linear.bias.data = linear.bias.data",
                "A view instead of a copy: both layers share their memory, and training the thin network changes "
                "the big one. Use copy_() or clone().",
            ),
            Mistake(
                "thin_linear.bias = linear.bias",
                "Both layers now hold the same parameter object: training the thin network changes the big one. "
                "Fill the parameter that is there.",
            ),
            Mistake("thin_linear.bias = nn.Parameter(linear.bias.data.clone())", NEW_OBJECT),
            Mistake("thin_linear.bias.copy_(linear.bias)", IN_PLACE, says="leaf Variable"),
            Mistake("thin_linear.bias = linear.bias.data.clone()", NO_PARAMETER, says="cannot assign"),
            Mistake("thin_linear.bias.data.zero_()", "The bias is set to zero: every class keeps its own."),
            Mistake(
                "thin_linear.bias.data.add_(linear.bias.data)",
                "Added to what was there: the thin layer's initial bias is random and has to go.",
            ),
            Mistake("linear.bias.data.copy_(thin_linear.bias.data)", WRONG_DIRECTION),
            Mistake(
                "thin_linear.bias.data.copy_(linear.weight.data[:, 0])",
                "That is a column of the weight; the bias is a tensor of its own, linear.bias.",
            ),
            Mistake("thin_linear.bias = None", "The bias is thrown away: every class keeps its own."),
            Mistake("pass", "thin_linear's bias is untouched."),
            Mistake("thin_linear.bias.data = linear.bias.data.cuda()", ON_CUDA),
        ),
    ),
    Blank(
        name="guard",
        title="Exercise A · the guard",
        notebook="03_channel_pruning",
        points=0,
        functions={"guarded_mask": ["scores", "ratio", "at_least"]},
        cases=_guard_cases,
        credit=(),
        mistakes=(
            Mistake(
                "everything = torch.cat(list(scores.values()))\n"
                "threshold = everything.sort().values[round(ratio * len(everything))]\n"
                "return {name: score >= threshold for name, score in scores.items()}",
                "There is no guard: a layer whose scores are all among the lowest loses every channel, or keeps fewer "
                "than at_least.",
            ),
            Mistake(
                "everything = torch.cat(list(scores.values()))\n"
                "threshold = everything.sort().values[round(ratio * len(everything))]\n"
                "masks = {name: score >= threshold for name, score in scores.items()}\n"
                "for name, score in scores.items():\n"
                "    masks[name][score.topk(at_least).indices] = True\n"
                "return masks",
                "Every layer keeps its best, but too few channels are cut in all: for each one that the guard saves, the "
                "next-lowest elsewhere must go. Protect first, then count.",
            ),
            Mistake(
                "everything = torch.cat(list(scores.values()))\n"
                "threshold = everything.sort().values[round(ratio * len(everything))]\n"
                "masks = {name: score >= threshold for name, score in scores.items()}\n"
                "for mask in masks.values():\n"
                "    if mask.sum() < at_least:\n"
                "        mask[:at_least] = True\n"
                "return masks",
                "The guard saves the first channels of a layer, not its best, and cuts nothing elsewhere for them: "
                "protect the best at_least of every layer first, then count.",
            ),
            Mistake(
                GUARDED.replace("score.topk(at_least).indices", ":at_least"),
                "The number of cut channels is right, but the guard protects the first channels of every layer: its best "
                "are those with the highest scores.",
            ),
            Mistake(
                GUARDED.replace("score.topk(at_least)", "score.topk(at_least, largest=False)"),
                "The number of cut channels is right, but the guard protects the lowest scores of every layer: its best "
                "are the highest.",
            ),
            Mistake(
                GUARDED.replace("at_least)", "1)"),
                "The guard keeps one channel a layer, whatever is asked: the number is at_least.",
            ),
            Mistake(
                GUARDED.replace(">=", ">"),
                "One channel too many is cut: the threshold's own channel goes as well. Of sorted scores, the one at "
                "place k (from 0) has k below it and stays itself.",
            ),
            Mistake(
                GUARDED.replace("k]", "k - 1]"),
                "One channel too few is cut: the threshold is the k-th lowest score, and it has to go itself.",
            ),
            Mistake(
                GUARDED.replace("round(", "int("),
                "int() cuts off: where ratio * n is 2.8, three channels are nearer than two. Asked is round().",
            ),
            Mistake(
                GUARDED.replace("ratio * len(ranked)", "ratio * len(scores)"),
                "len(scores) is the number of layers; the ratio is of all their channels together.",
            ),
            Mistake(
                GUARDED.replace("round(ratio", "round((1 - ratio)"),
                "ratio is the share that is cut; your code keeps that share.",
            ),
            Mistake(
                "masks = {}\n"
                "for name, score in scores.items():\n"
                "    k = min(round(ratio * len(score)), len(score) - at_least)\n"
                "    masks[name] = score >= score.sort().values[k]\n"
                "return masks",
                "Every layer loses the same share: the channels of all layers are ranked together, and a layer may lose "
                "nearly all of its channels or none.",
            ),
            Mistake(
                GUARDED.replace(">=", "<"),
                "The mask is the wrong way round: True is a channel that stays, False one that is cut.",
            ),
            Mistake(
                GUARDED.replace("k = round(ratio * len(ranked))", "k = len(ranked) - round(ratio * len(ranked))")
                .replace(">=", "<")
                .replace('"inf"', '"-inf"'),
                "The highest scores are cut: the least important channels are those with the lowest.",
            ),
            Mistake(
                GUARDED.replace("score.clone()", "score"),
                "The masks are right, but your code writes into scores, and who uses them next finds them changed: work "
                "on a copy, with clone().",
            ),
            Mistake(
                GUARDED.replace("score >= ranked[k]", "(score >= ranked[k]).int()"),
                "The right channels, but as ones and zeros: as indices they would mean channels 1 and 0. Return bool "
                "tensors.",
            ),
            Mistake(
                GUARDED.replace("score >= ranked[k]", "(score >= ranked[k]).nonzero().flatten()"),
                "These are the indices of the channels that stay; asked are masks, one bool a channel.",
            ),
            Mistake(
                GUARDED.replace(
                    "return {name: score >= ranked[k] for name, score in safe.items()}",
                    "return [score >= ranked[k] for score in safe.values()]",
                ),
                "The masks are right, but without their layers' names: return a dict from name to mask.",
            ),
            Mistake(
                GUARDED.replace(
                    "return {name: score >= ranked[k] for name, score in safe.items()}",
                    "return torch.cat(list(safe.values())) >= ranked[k]",
                ),
                "One mask for all layers: return a dict with one for each, from the layer's name to its mask.",
            ),
            Mistake(
                "return scores >= scores.sort().values[round(ratio * len(scores))]",
                "scores is a dict, and a dict has no sort(): put the scores of all layers into one tensor first.",
                says="'dict' object",
            ),
        ),
    ),
    Blank(
        name="convolution-weight",
        title="Exercise B · the convolution's weight",
        notebook="03_channel_pruning",
        points=0,
        functions={"copy_convolution_weight": ["thin_conv", "conv", "kept", "inputs"]},
        watched=("weight",),
        cases=_convolution_cases,
        credit=(),
        mistakes=(
            Mistake("thin_conv.weight.data = conv.weight.data[kept, inputs]", PAIRED, says="indexing tensors"),
            Mistake("thin_conv.weight.data.copy_(conv.weight.data[kept, inputs])", PAIRED, says="indexing tensors"),
            Mistake("thin_conv.weight.data = conv.weight.data[kept]", FILTERS_ALONE),
            Mistake("thin_conv.weight.data.copy_(conv.weight.data[kept])", FILTERS_ALONE, says="must match"),
            Mistake("thin_conv.weight.data = conv.weight.data[:, inputs]", INPUTS_ALONE),
            Mistake("thin_conv.weight.data.copy_(conv.weight.data[:, inputs])", INPUTS_ALONE, says="must match"),
            Mistake(
                "thin_conv.weight.data.copy_(conv.weight.data[:len(kept), :len(inputs)])",
                "These are the first filters and the first inputs, not the kept ones. The shape fits, and the network "
                "is wrong.",
            ),
            Mistake("thin_conv.weight.data = conv.weight.data[inputs][:, kept]", SWAPPED, says="out of bounds"),
            Mistake(
                "thin_conv.weight.data.copy_(conv.weight.data[inputs][:, kept])",
                SWAPPED,
                says="out of bounds|must match",
            ),
            Mistake(
                "thin_conv.weight.data = conv.weight.data[kept][:, inputs].transpose(0, 1)",
                "Transposed: the weight of a convolution is (outputs, inputs, 3, 3), and stays so.",
            ),
            Mistake(
                "thin_conv.weight.data = conv.weight.data",
                "All filters are taken over, and the memory is shared with the old layer: take the kept ones only, and "
                "copy their values.",
            ),
            Mistake(
                "thin_conv.weight.data.copy_(conv.weight.data)",
                "Filters and inputs are all copied, but the thin layer has only those that are left: select both.",
                says="must match",
            ),
            Mistake("thin_conv.weight = nn.Parameter(conv.weight.data[kept][:, inputs])", NEW_OBJECT),
            Mistake("thin_conv.weight.copy_(conv.weight[kept][:, inputs])", IN_PLACE, says="leaf Variable"),
            Mistake("thin_conv.weight = conv.weight[kept][:, inputs]", NO_PARAMETER, says="cannot assign"),
            Mistake(
                "thin_conv.weight.data[kept][:, inputs] = conv.weight.data[kept][:, inputs]",
                "kept and inputs number the channels of the old layer; the thin layer has only as many as are left, "
                "numbered anew. Index the source only.",
                says="out of bounds",
            ),
            Mistake(
                "pass",
                "thin_conv's weight is untouched: indexing twice gives a copy, and what is written there is lost.",
            ),
            Mistake("thin_conv.weight.data = conv.weight.data[kept][:, inputs].cuda()", ON_CUDA),
        ),
    ),
)
