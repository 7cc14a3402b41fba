"""Lab 1, Network Slimming."""

RIGHT = {
    "sparsity_penalty": (
        "total = 0\nfor gamma in gammas:\n    total = total + torch.norm(gamma, 1)\nreturn lam * total",
        "return lam * torch.cat(gammas).abs().sum()",
        "return torch.stack([F.l1_loss(g, torch.zeros_like(g), reduction='sum') for g in gammas]).sum() * lam",
    ),
    "lambda_for": (
        "total = 0\nfor rate in learning_rates:\n    total += rate\nreturn budget / (total / (1 - momentum))",
        "return float(budget * (1 - momentum) / np.sum(learning_rates))",
        "reach_of_one = torch.tensor(learning_rates).sum() / (1 - momentum)\nreturn budget / reach_of_one",
    ),
    "penalty_gradient": (
        "return torch.sign(gamma).mul(lam)",
        "return torch.tensor([lam * ((g > 0) - (g < 0)) for g in gamma.tolist()], dtype=gamma.dtype)",
        "gamma = gamma.detach().clone().requires_grad_()\n(lam * gamma.abs().sum()).backward()\nreturn gamma.grad",
    ),
    "kept_channels": (
        "return torch.where(mask)[0]",
        "return torch.tensor([i for i in range(len(mask)) if mask[i]], dtype=torch.int64)",
        "return torch.from_numpy(np.argwhere(mask.numpy()).reshape(-1))",
    ),
    "copy_batchnorm_affine": (
        "with torch.no_grad():\n    thin_norm.weight.copy_(norm.weight[kept])\n    thin_norm.bias.copy_(norm.bias[kept])",
        "thin_norm.weight.data = norm.weight.data[kept].clone()\nthin_norm.bias.data = norm.bias.data[kept.tolist()]",
        "for new, old in enumerate(kept):\n    thin_norm.weight.data[new] = norm.weight.data[old]\n"
        "    thin_norm.bias.data[new] = norm.bias.data[old]",
    ),
    "copy_batchnorm_statistics": (
        "thin_norm.running_mean = norm.running_mean[kept].clone()\nthin_norm.running_var = norm.running_var[kept].clone()",
        "state = {'running_mean': norm.running_mean[kept], 'running_var': norm.running_var[kept]}\n"
        "thin_norm.load_state_dict(state, strict=False)",
        "thin_norm.running_mean[:] = torch.index_select(norm.running_mean, 0, kept)\n"
        "thin_norm.running_var[:] = torch.index_select(norm.running_var, 0, kept)",
    ),
    "copy_linear_weight": (
        "thin_linear.weight.data = linear.weight.data[:, kept.tolist()].clone()",
        "with torch.no_grad():\n    thin_linear.weight[:] = linear.weight.index_select(1, kept)",
        "for new, old in enumerate(kept.numpy()):\n    thin_linear.weight.data[:, new] = linear.weight.data[:, int(old)]",
    ),
    "copy_linear_bias": (
        "thin_linear.bias.data = linear.bias.data.clone()",
        "with torch.no_grad():\n    thin_linear.bias.copy_(linear.bias)",
        "for row in range(len(linear.bias)):\n    thin_linear.bias.data[row] = linear.bias[row].item()",
    ),
    "guarded_mask": (
        "n = sum(map(len, scores.values()))\n"
        "ranked = sorted((float(s), name, i) for name, score in scores.items() for i, s in enumerate(score))\n"
        "masks = {name: torch.ones(len(score), dtype=torch.bool) for name, score in scores.items()}\n"
        "cut = 0\n"
        "for _, name, i in ranked:\n"
        "    if cut < round(ratio * n) and masks[name].sum() > at_least:\n"
        "        masks[name][i] = False\n"
        "        cut += 1\n"
        "return masks",
        "best = {name: score >= score.sort().values[-at_least] for name, score in scores.items()}\n"
        "flat, safe = torch.cat(list(scores.values())), torch.cat(list(best.values()))\n"
        "keep = torch.ones_like(safe)\n"
        "keep[flat.masked_fill(safe, torch.inf).argsort()[: int(round(ratio * len(flat)))]] = False\n"
        "return dict(zip(reversed(list(scores)), reversed(keep.split([len(s) for s in scores.values()]))))",
        "values = np.concatenate([score.numpy() for score in scores.values()])\n"
        "limit = np.sort(np.concatenate([np.sort(score.numpy())[:-at_least] for score in scores.values()]))\n"
        "limit = limit[round(ratio * len(values)) - 1]\n"
        "return {name: (s > limit) | (s >= torch.topk(s, at_least).values.min()) for name, s in scores.items()}",
    ),
    "copy_convolution_weight": (
        "thin_conv.weight.data = conv.weight.data[kept][:, inputs].clone()",
        "thin_conv.weight.data.copy_(conv.weight.data[kept[:, None], inputs])",
        "with torch.no_grad():\n    thin_conv.weight[:] = conv.weight.index_select(0, kept).index_select(1, inputs)",
        "for new, old in enumerate(kept):\n    for place, column in enumerate(inputs.tolist()):\n"
        "        thin_conv.weight.data[new, place] = conv.weight.data[old, column]",
    ),
}

# function, body, and what it must hear; none may have full points
NOT_QUITE = (
    ("penalty_gradient", "return (lam * gamma.sign()).double()", "docstring"),
    ("penalty_gradient", "return lam * torch.sin(gamma)", "docstring"),
    ("kept_channels", "return mask.nonzero().flatten().to(torch.uint8)", "docstring"),
    ("lambda_for", "return [budget * (1 - momentum) / sum(learning_rates)]", "docstring"),
    (
        "lambda_for",
        "total = 0\nwhile learning_rates: total += learning_rates.pop()\nreturn budget * (1 - momentum) / total",
        "docstring",
    ),
    ("sparsity_penalty", "return lam * torch.absolut(gammas[0])", "stops with AttributeError"),
    ("copy_batchnorm_affine", "thin_norm.weight.data = norm.weight(kept)", "stops with TypeError"),
    ("copy_batchnorm_affine", "thin_norm.weight.data = norm.weight.data[kept].double()\n"
     "thin_norm.bias.data = norm.bias.data[kept].double()", "docstring"),
    ("copy_batchnorm_statistics", "thin_norm.running_mean = nn.Parameter(norm.running_mean[kept])\n"
     "thin_norm.running_var = nn.Parameter(norm.running_var[kept])", "docstring"),
    ("copy_linear_weight", "thin_linear.weight.data = linear.weight.data[:, kept].reshape(-1)", "docstring"),
    ("copy_linear_bias", "thin_linear.bias.data.copy_(linear.bias.data)\nraise NotImplementedError", "remove it"),
    ("copy_linear_bias", "raise NotImplementedError('later')", "stops with"),
    ("guarded_mask", "return scores", "docstring"),
    ("guarded_mask", "return {name: s > 0 for name, s in scores.items()}", "docstring"),
    ("copy_convolution_weight", "thin_conv.weight.data.copy_(conv.weight(kept))", "stops with TypeError"),
    ("copy_convolution_weight", "thin_conv.weight.data.copy_(torch.ones(7, 5))", "stops with RuntimeError"),
)  # fmt: skip
