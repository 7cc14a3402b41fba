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
