"""Lab 3, What speeds up."""

RIGHT = {
    "stored_bytes": (
        "kept = mask.sum().item()\nreturn math.ceil((kept * value_bits + kept / block * index_bits) / 8)",
        "blocks = int(mask.reshape(-1, block).any(1).sum())\n"
        "return (blocks * (block * value_bits + index_bits) + 7) // 8",
        "bits = 0\nfor i, stays in enumerate(mask.tolist()):\n    if stays:\n        bits += value_bits\n"
        "        bits += index_bits if i % block == 0 else 0\nreturn int(np.ceil(bits / 8))",
    ),
    "global_masks": (
        "every = torch.cat([w.reshape(-1) for w in weights.values()]).abs()\n"
        "k = round(ratio * len(every))\n"
        "limit = every.kthvalue(k).values if k else -1\n"
        "return {name: w.abs() > limit for name, w in weights.items()}",
        "flat = torch.cat([w.flatten() for w in weights.values()])\n"
        "stays = torch.ones(len(flat), dtype=torch.bool)\n"
        "stays[flat.abs().argsort()[: round(ratio * len(flat))]] = False\n"
        "parts = stays.split([w.numel() for w in weights.values()])\n"
        "return {name: part.view_as(w) for (name, w), part in zip(weights.items(), parts)}",
        "ranked = sorted(abs(v) for w in weights.values() for v in w.flatten().tolist())\n"
        "gone = set(ranked[: round(ratio * len(ranked))])\n"
        "return {name: torch.tensor([abs(v) not in gone for v in w.flatten().tolist()]).reshape(w.shape)\n"
        "        for name, w in weights.items()}",
    ),
    "make_permanent": (
        "prune.CustomFromMask.apply(layer, 'weight', mask)\nprune.remove(layer, 'weight')\nreturn layer",
        "with torch.no_grad():\n    layer.weight.mul_(mask)\nreturn layer",
        "layer.weight.data = torch.where(mask, layer.weight.data, torch.zeros(()))\nreturn layer",
    ),
    "zero_weights": (
        "return layer.weight.numel() - int(layer.weight.count_nonzero())",
        "return sum(value == 0 for value in layer.weight.flatten().tolist())",
        "used = layer.weight_orig * layer.weight_mask if prune.is_pruned(layer) else layer.weight\n"
        "return (used == 0).sum().item()",
    ),
    "latency_quartiles": (
        "old = torch.get_num_threads()\ntry:\n    torch.set_num_threads(threads)\n    times = []\n"
        "    for i in range(warm_up + runs):\n        a = machine.clock()\n        machine.run()\n"
        "        times.append(machine.clock() - a)\nfinally:\n    torch.set_num_threads(old)\n"
        "return [1000 * float(q) for q in np.percentile(times[warm_up:], [25, 50, 75])]",
        "old = torch.get_num_threads()\ntorch.set_num_threads(threads)\n[machine.run() for _ in range(warm_up)]\n"
        "marks = [machine.clock()]\nfor _ in range(runs):\n    machine.run()\n    marks.append(machine.clock())\n"
        "torch.set_num_threads(old)\n"
        "times = torch.tensor(marks, dtype=torch.float64).diff() * 1000\n"
        "return times.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()",
        "old = torch.get_num_threads()\ntorch.set_num_threads(threads)\nfor _ in range(warm_up): machine.run()\n"
        "def once():\n    a = machine.clock()\n    machine.run()\n    return 1e3 * (machine.clock() - a)\n"
        "times = sorted(once() for _ in range(runs))\ntorch.set_num_threads(old)\n"
        "return statistics.median(times[: runs // 2]), statistics.median(times), statistics.median(times[(runs + 1) // 2 :])",
    ),
    "two_four_mask": (
        "groups = weight.abs().view(len(weight), -1, 4)\nlimit = groups.sort(-1).values[..., 2:3]\n"
        "return (groups >= limit).view(weight.shape)",
        "mask = torch.zeros_like(weight, dtype=torch.bool)\nfor row in range(len(weight)):\n"
        "    for start in range(0, weight.shape[1], 4):\n"
        "        four = weight[row, start : start + 4].abs()\n"
        "        mask[row, start + four.argsort()[2:]] = True\nreturn mask",
        "four = weight.abs().reshape(-1, 4)\nrank = four.argsort(1).argsort(1)\nreturn (rank > 1).reshape(weight.shape)",
    ),
    "scale_and_zero_point": (
        "low, high = min(low, 0), max(high, 0)\nif low == high:\n    return 1.0, 0\n"
        "scale = (high - low) / (2**bits - 1)\nreturn scale, int(round(abs(low) / scale))",
        "ends = np.array([low, high, 0.0])\nwidth = ends.max() - ends.min()\nlevels = 2**bits - 1\n"
        "if not width:\n    return 1.0, 0\nreturn float(width / levels), int(np.rint(-ends.min() / width * levels))",
        "if low > 0: low = 0.0\nif high < 0: high = 0.0\nscale = (high - low) / ((1 << bits) - 1) or 1.0\n"
        "return [scale, round(-low / scale)]",
    ),
    "fake_quantize": (
        "q = torch.clamp(torch.round(values / scale), -zero_point, 2**bits - 1 - zero_point)\n"
        "low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale\n"
        "return q * scale, torch.where((values < low) | (values > high), 0.0, 1.0)",
        "numbers = values.div(scale).round().add(zero_point)\n"
        "kept = torch.clip(numbers, 0, 2**bits - 1)\n"
        "return [(kept - zero_point) * scale, (numbers == kept).to(values.dtype)]",
        "x = values.clone().requires_grad_()\n"
        "y = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 2**bits - 1)\n"
        "y.sum().backward()\nreturn y.detach(), x.grad",
    ),
    "kmeans_step": (
        "nearest = torch.cdist(weights[:, None], codebook[:, None]).argmin(1)\n"
        "one_hot = F.one_hot(nearest, len(codebook)).float()\ncount = one_hot.sum(0)\n"
        "return nearest, torch.where(count > 0, one_hot.T @ weights / count.clamp(min=1), codebook)",
        "nearest = torch.tensor([min(range(len(codebook)), key=lambda k: abs(w - codebook[k])) for w in weights])\n"
        "new = [weights[nearest == k].mean() if (nearest == k).any() else c for k, c in enumerate(codebook)]\n"
        "return nearest, torch.stack(new)",
        "nearest = ((weights[:, None] - codebook) ** 2).argmin(1)\n"
        "total = torch.zeros_like(codebook).index_add(0, nearest, weights)\n"
        "count = torch.bincount(nearest, minlength=len(codebook))\n"
        "moved = codebook.clone()\nmoved[count > 0] = (total / count)[count > 0]\nreturn nearest, moved",
    ),
    "packed_bytes": (
        "bits = (clusters - 1).bit_length()\nreturn (weights * bits + 7) // 8 + 4 * clusters",
        "bits = int(np.ceil(np.log2(clusters)))\nreturn int(np.ceil(weights * bits / 8)) + clusters * 32 // 8",
        "bits = 0\nwhile 2**bits < clusters:\n    bits += 1\nwhole, rest = divmod(weights * bits, 8)\n"
        "return whole + (rest > 0) + 4 * clusters",
    ),
    "calibration_range": (
        "flat = values.flatten()\nreturn (torch.quantile(flat, 1 - percentile / 100).item(),\n"
        "        torch.quantile(flat, percentile / 100).item())",
        "low, high = np.percentile(values.numpy(), [100 - percentile, percentile])\nreturn float(low), float(high)",
        "ranked = values.flatten().sort().values.tolist()\ndef at(share):\n    place = share * (len(ranked) - 1)\n"
        "    below = min(int(place), len(ranked) - 2)\n"
        "    return ranked[below] + (place - below) * (ranked[below + 1] - ranked[below])\n"
        "return [at(1 - percentile / 100), at(percentile / 100)]",
    ),
}

# function, body, and what it must hear; none may have full points
NOT_QUITE = (
    ("stored_bytes", "return int(mask.sum()) * 4", "docstring"),
    ("stored_bytes", "return math.ceil(mask.sum() * bits)", "stops with NameError"),
    ("global_masks", "return weights", "docstring"),
    ("global_masks", "return {name: w.abs() >= w.abs().median() for name, w in weights.items()}", "docstring"),
    ("global_masks", "return weights.abs() > ratio", "stops with AttributeError"),
    ("make_permanent", "return layer", "mask is not used"),
    ("zero_weights", "return torch.tensor([1])", "docstring"),
    ("latency_quartiles", "return [0.0, 0.0, 0.0]", "docstring"),
    ("latency_quartiles", "machine()", "stops with TypeError"),
    ("two_four_mask", "return weight.abs() > 1", "docstring"),
    ("two_four_mask", "return weight.unflatten(1, (-1, 4)).topk(2).indices", "docstring"),
    ("scale_and_zero_point", "return 1.0, 0", "docstring"),
    ("scale_and_zero_point", "return (high - low) / 2 ** (bits - 1), 2 ** (bits - 1)", "docstring"),
    ("scale_and_zero_point", "return scale, zero_point", "stops with NameError"),
    ("fake_quantize", "return values, torch.ones_like(values)", "docstring"),
    ("fake_quantize", "return torch.round(values)", "docstring"),
    ("fake_quantize", "return values.quantize(bits)", "stops with AttributeError"),
    ("kmeans_step", "return weights, codebook", "docstring"),
    ("kmeans_step", "return (weights - codebook).abs().argmin(), codebook", "stops with RuntimeError"),
    ("packed_bytes", "return weights", "docstring"),
    ("packed_bytes", "return weights.numel() // 2", "stops with AttributeError"),
    ("calibration_range", "return -1.0, 1.0", "docstring"),
    ("calibration_range", "return torch.kthvalue(values, percentile)", "stops with TypeError"),
)
