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
    "front_area": (
        "edge, area = reference[1], 0\n"
        "for i, (cost, accuracy) in enumerate(sorted(map(tuple, points), key=lambda p: (p[0], -p[1]))):\n"
        "    area += max(0, accuracy - edge) * (reference[0] - cost)\n"
        "    edge = max(edge, accuracy)\n"
        "return area",
        "costs = sorted({cost for cost, _ in points} | {reference[0]})\n"
        "total = 0.0\n"
        "for left, right in zip(costs, costs[1:]):\n"
        "    total += (right - left) * (max(a for c, a in points if c <= left) - reference[1])\n"
        "return total",
        "array = np.array(points)\n"
        "array = array[np.lexsort((array[:, 1], array[:, 0]))]\n"
        "best = np.maximum.accumulate(array[:, 1])\n"
        "widths = np.diff(np.append(array[:, 0], reference[0]))\n"
        "return float(((best - reference[1]) * widths).sum())",
    ),
    "group_score": (
        "total = sum(w.abs().flatten(1).sum(1) for w in weights)\nreturn total / sum(w[0].numel() for w in weights)",
        "scores = []\n"
        "for c in range(len(weights[0])):\n"
        "    own = torch.cat([w[c].reshape(-1) for w in weights])\n"
        "    scores.append(own.norm(p=1) / len(own))\n"
        "return torch.stack(scores)",
        "rows = np.concatenate([np.abs(w.numpy()).reshape(len(w), -1) for w in weights], axis=1)\n"
        "return torch.from_numpy(rows.mean(axis=1))",
    ),
    "global_selection": (
        "names = [(n, i) for n in scores for i in range(len(scores[n]))]\n"
        "names.sort(key=lambda pair: float(scores[pair[0]][pair[1]]))\n"
        "goal = share * sum(len(scores[n]) * costs[n] for n in scores)\n"
        "gone, paid = set(), 0\n"
        "for n, i in names:\n"
        "    if paid >= goal:\n        break\n"
        "    if sum(1 for m, _ in gone if m == n) == len(scores[n]) - 1:\n        continue\n"
        "    gone.add((n, i))\n    paid += costs[n]\n"
        "return {n: [i for i in range(len(scores[n])) if (n, i) not in gone] for n in scores}",
        "masks = {n: torch.ones(len(s), dtype=torch.bool) for n, s in scores.items()}\n"
        "everything = torch.cat(list(scores.values()))\n"
        "owner = [(n, i) for n, s in scores.items() for i in range(len(s))]\n"
        "paid, goal = 0, share * sum(costs[n] for n, _ in owner)\n"
        "for k in everything.argsort().tolist():\n"
        "    n, i = owner[k]\n"
        "    if paid < goal and masks[n].sum() > 1:\n        masks[n][i] = False\n        paid += costs[n]\n"
        "return {n: m.nonzero().flatten().tolist() for n, m in masks.items()}",
        "left = {n: list(enumerate(s.tolist())) for n, s in scores.items()}\n"
        "need = share * sum(costs[n] * len(c) for n, c in left.items())\n"
        "while need > 0:\n"
        "    free = [(v, n, i) for n, c in left.items() if len(c) > 1 for i, v in c]\n"
        "    if not free:\n        break\n"
        "    v, n, i = min(free)\n"
        "    left[n].remove((i, v))\n    need -= costs[n]\n"
        "return {n: [i for i, _ in c] for n, c in left.items()}",
    ),
    "layer_wise": (
        "return {n: sorted(s.topk(max(1, len(s) - round(share * len(s)))).indices.tolist()) for n, s in scores.items()}",
        "kept = {}\n"
        "for n, s in scores.items():\n"
        "    gone = min(round(share * len(s)), len(s) - 1)\n"
        "    order = np.argsort(s.numpy())\n"
        "    kept[n] = [int(i) for i in np.sort(order[gone:])]\n"
        "return kept",
        "kept = {}\n"
        "for n, s in scores.items():\n"
        "    values = s.tolist()\n"
        "    stay = list(range(len(values)))\n"
        "    for _ in range(min(round(share * len(values)), len(values) - 1)):\n"
        "        stay.remove(min(stay, key=lambda i: values[i]))\n"
        "    kept[n] = stay\n"
        "return kept",
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
    ("front_area", "return 0.5", "docstring"),
    ("front_area", "points.sort()\nreturn 0.0", "docstring"),
    ("group_score", "return weights[0].mean()", "docstring"),
    ("global_selection", "return {name: [0] for name in scores}", "docstring"),
    ("global_selection", "scores.clear()\nreturn {}", "docstring"),
    ("layer_wise", "return {name: [0] for name in scores}", "docstring"),
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

# 10 · AMC

RIGHT |= {
    "budget_clamp": (
        "width = len(costs) - 1\n"
        "fitting = [k for k in range(width + 1) if costs[k] <= budget]\n"
        "return max(least, min(round(share * width), max(fitting)))",
        "kept = int(share * (len(costs) - 1) + 0.5)\n"
        "if kept < least:\n    kept = least\n"
        "for number in range(kept, least, -1):\n"
        "    if costs[number] <= budget:\n        return number\n"
        "return least",
        "allowed = np.searchsorted(np.array(costs), budget, side='right') - 1\n"
        "return int(np.clip(np.rint(share * (len(costs) - 1)), least, max(least, allowed)))",
    ),
    "budget_state": (
        "all_of_it = sum(whole)\nreturn 1 - sum(left) / all_of_it, sum(whole[group + 1:]) / all_of_it",
        "gone = sum(w - now for w, now in zip(whole, left))\n"
        "later = 0\n"
        "for place, macs in enumerate(whole):\n"
        "    if place > group:\n        later += macs\n"
        "return [gone / sum(whole), later / sum(whole)]",
        "w, now = np.array(whole, float), np.array(left, float)\n"
        "return float((w - now).sum() / w.sum()), float(w[group + 1:].sum() / w.sum())",
    ),
    "soft_update": (
        "return {name: old + tau * (online[name] - old) for name, old in target.items()}",
        "new = {}\nfor name in target:\n    new[name] = torch.lerp(target[name], online[name], tau)\nreturn new",
        "moved = [(1 - tau) * a + tau * b for a, b in zip(target.values(), online.values())]\n"
        "return dict(zip(target, moved))",
    ),
    "reward": (
        "value = accuracy - 1\nif kind == 'error-log-flops':\n    value = value * math.log(macs * 2)\nreturn value",
        "factors = {'error': 1.0, 'error-log-flops': float(np.log(2 * macs))}\nreturn -(1 - accuracy) * factors[kind]",
        "error = torch.tensor(1 - accuracy, dtype=torch.float64)\n"
        "factor = torch.log(torch.tensor(2.0 * macs, dtype=torch.float64)) if kind.endswith('flops') else 1\n"
        "return float(-error * factor)",
    ),
}

NOT_QUITE += (
    ("budget_clamp", "return 0", "docstring"),
    ("budget_clamp", "return costs", "docstring"),
    ("budget_state", "return 0.5, 0.5", "docstring"),
    ("budget_state", "whole.clear()\nreturn 0.0, 0.0", "docstring"),
    ("soft_update", "return {}", "docstring"),
    ("soft_update", "for n in target:\n    target[n].lerp_(online[n], tau)\nreturn {}", "docstring"),
    ("soft_update", "return target['weight']", "docstring"),
    ("reward", "return 0.0", "docstring"),
    ("reward", "return kind", "docstring"),
)
