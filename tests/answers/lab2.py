"""Lab 2, the front."""

RIGHT = {
    "lp_norm": (
        "return torch.linalg.vector_norm(structure, p)",
        "total = 0.0\nfor w in structure.flatten().tolist():\n    total += abs(w) ** p\nreturn total ** (1 / p)",
        "return float(np.power(np.power(np.abs(structure.numpy()), p).sum(), 1 / p))",
    ),
    "filter_scores": (
        "return weight.abs().mean((1, 2, 3))",
        "return torch.stack([f.abs().sum() / f.numel() for f in weight])",
        "return torch.norm(weight.reshape(len(weight), -1), p=1, dim=1).div(weight[0].numel())",
    ),
    "average_percentage_of_zeros": (
        "images, channels, height, width = maps.shape\nreturn (maps == 0).sum((0, 2, 3)) / (images * height * width)",
        "return torch.stack([1 - torch.count_nonzero(maps[:, c]) / maps[:, c].numel() for c in range(maps.shape[1])])",
        "return 1 - maps.transpose(0, 1).flatten(1).bool().float().mean(1)",
    ),
    "thinet_step": (
        "best, least = None, float('inf')\n"
        "for c in range(contributions.shape[1]):\n"
        "    if c in removed:\n"
        "        continue\n"
        "    cost = float((contributions[:, removed + [c]].sum(1) ** 2).sum())\n"
        "    if cost < least:\n"
        "        best, least = c, cost\n"
        "return best",
        "cost = (contributions[:, removed].sum(1, keepdim=True) + contributions).pow(2).mean(0)\n"
        "cost[removed] = float('inf')\n"
        "return cost.argmin()",
        "gram = contributions.T @ contributions\n"
        "cost = gram.diag() + 2 * gram[:, removed].sum(1)\n"
        "return next(c for c in cost.argsort().tolist() if c not in removed)",
    ),
    "reconstruct": (
        "x, y = inputs[:, kept], inputs @ weight.T\nreturn (torch.linalg.pinv(x) @ y).T",
        "x = inputs[:, kept]\nreturn torch.linalg.solve(x.T @ x, x.T @ (inputs @ weight.T)).T",
        "x, y = inputs[:, kept].numpy(), (inputs @ weight.T).numpy()\n"
        "return torch.from_numpy(np.linalg.lstsq(x, y, rcond=None)[0].T.copy())",
    ),
}

# function, body, and what it must hear; none may have full points
NOT_QUITE = (
    ("lp_norm", "return structure.abs().pow(p).sum().pow(1 / p).reshape(1)", "docstring"),
    ("lp_norm", "return structure.lp(p)", "stops with AttributeError"),
    ("filter_scores", "return weight.abs().flatten(1).mean(1).double()", "docstring"),
    ("average_percentage_of_zeros", "return (maps > 0.25).float().mean((0, 2, 3))", "docstring"),
    ("thinet_step", "return len(removed)", "docstring"),
    ("thinet_step", "removed.append(0)\nreturn 0", "docstring"),
    ("reconstruct", "return inputs", "docstring"),
)

# 09 · Ratios

RIGHT |= {
    "ratios_from_sensitivity": (
        "chosen = {}\n"
        "for name, curve in curves.items():\n"
        "    best = ratios[0]\n"
        "    for i in range(1, len(ratios)):\n"
        "        if curve[0] - curve[i] > drop:\n"
        "            break\n"
        "        best = ratios[i]\n"
        "    chosen[name] = best\n"
        "return chosen",
        "holds = {name: np.array(curve) >= curve[0] - drop for name, curve in curves.items()}\n"
        "return {name: ratios[int(np.cumprod(good).sum()) - 1] for name, good in holds.items()}",
        "def fails(curve):\n"
        "    return [i for i, a in enumerate(curve) if a < curve[0] - drop] + [len(curve)]\n"
        "return {name: ratios[fails(curve)[0] - 1] for name, curve in curves.items()}",
    ),
    "bisection": (
        "while high - low > tolerance:\n"
        "    middle = low + (high - low) / 2\n"
        "    if cost(middle) <= target:\n"
        "        high = middle\n"
        "    else:\n"
        "        low = middle\n"
        "return high",
        "if cost(high) > target:\n"
        "    return high\n"
        "def search(a, b):\n"
        "    if b - a <= tolerance:\n"
        "        return b\n"
        "    m = (a + b) / 2\n"
        "    return search(a, m) if cost(m) <= target else search(m, b)\n"
        "return search(low, high)",
        "width = high - low\n"
        "for _ in range(100):\n"
        "    if width <= tolerance:\n"
        "        break\n"
        "    width /= 2\n"
        "    if cost(high - width) <= target:\n"
        "        high -= width\n"
        "return torch.tensor(high)",
    ),
    "rising_ratios": (
        "ratios, left = [], 1.0\n"
        "for _ in range(steps - 1):\n"
        "    left *= (1 - final) ** (1 / steps)\n"
        "    ratios.append(1 - left)\n"
        "return ratios + [final]",
        "return (1 - np.power(1 - final, np.arange(1, steps + 1) / steps)).tolist()",
        "return tuple(1 - math.exp(k / steps * math.log(1 - final)) for k in range(1, steps + 1))",
    ),
    "best_candidate": (
        "best = None\n"
        "for i in range(len(after)):\n"
        "    if latency[i] <= budget and (best is None or after[i] > after[best]):\n"
        "        best = i\n"
        "return best",
        "order = sorted(range(len(after)), key=lambda i: -after[i])\n"
        "return next((i for i in order if latency[i] <= budget), None)",
        "allowed = np.where(np.array(latency) <= budget, np.array(after), -1.0)\n"
        "return int(allowed.argmax()) if allowed.max() >= 0 else None",
    ),
}

NOT_QUITE += (
    ("ratios_from_sensitivity", "return {name: 0.1 for name in curves}", "docstring"),
    ("ratios_from_sensitivity", "return list(curves.values())[0]", "docstring"),
    ("bisection", "return (low + high) / 2", "docstring"),
    ("bisection", "while True:\n    cost(low)", "stops with RuntimeError"),
    ("rising_ratios", "return [final]", "docstring"),
    ("best_candidate", "return 0", "docstring"),
    ("best_candidate", "return after", "docstring"),
)
