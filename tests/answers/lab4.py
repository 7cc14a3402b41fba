"""Lab 4, Explore."""

RIGHT = {
    "proximal_step": (
        "return F.softshrink(gammas, amount)",
        "return torch.where(gammas > amount, gammas - amount, torch.where(gammas < -amount, gammas + amount, 0.0))",
        "moved = []\n"
        "for gamma in gammas.tolist():\n"
        "    rest = max(abs(gamma) - amount, 0.0)\n"
        "    moved.append(rest if gamma > 0 else -rest)\n"
        "return torch.tensor(moved)",
    ),
    "soft_threshold": (
        "pruned = F.softshrink(weights, float(threshold))\n"
        "slope = (pruned != 0).to(weights.dtype)\n"
        "return pruned, slope, -pruned.sign()",
        "w, t = weights.detach().requires_grad_(), torch.full_like(weights, float(threshold)).requires_grad_()\n"
        "value = w.sign() * F.relu(w.abs() - t)\n"
        "slope_w, slope_t = torch.autograd.grad(value.sum(), (w, t))\n"
        "return value.detach(), slope_w, slope_t",
        "up, down = (weights > threshold).float(), (weights < -threshold).float()\n"
        "return up * (weights - threshold) + down * (weights + threshold), up + down, down - up",
    ),
    "coarse_gradient": (
        "return upstream * weights.sign() / (1 + torch.exp(-auxiliary))",
        "m = auxiliary.detach().clone().requires_grad_()\n"
        "F.softplus(m).backward(upstream * torch.sign(weights))\n"
        "return m.grad",
        "direction = (weights > 0).float() - (weights < 0).float()\n"
        "return torch.mul(upstream, direction).mul(torch.exp(auxiliary) / (1 + torch.exp(auxiliary)))",
    ),
    "attention_statistic": (
        "return attention.sum(0) / len(attention)",
        "return torch.stack([column.mean() for column in attention.T])",
        "total = torch.zeros(attention.shape[1])\n"
        "for image in attention:\n    total += image\n"
        "return total / attention.shape[0]",
    ),
    "bit_penalty": (
        "return torch.dot(bits, elements / elements.sum())",
        "total, penalty = sum(elements), 0\n"
        "for n, count in zip(bits, elements):\n    penalty = penalty + n * count / total\n"
        "return penalty",
        "share = elements / torch.sum(elements)\nreturn torch.einsum('i,i->', bits, share)",
    ),
}

NOT_QUITE = (
    ("proximal_step", "return torch.zeros_like(gammas)", "docstring"),
    ("proximal_step", "return F.hardshrink(gammas, amount) - amount", "docstring"),
    ("soft_threshold", "return [F.softshrink(weights, float(threshold)), weights, weights]", "docstring"),
    ("soft_threshold", "return weights.softthreshold(threshold)", "stops with AttributeError"),
    ("coarse_gradient", "return upstream * weights.sign() * torch.tanh(auxiliary)", "docstring"),
    ("attention_statistic", "return attention[0]", "docstring"),
    ("bit_penalty", "return (bits * elements).sum() / elements.max()", "docstring"),
)
