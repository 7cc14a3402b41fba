"""What the methods' papers report, to stand beside our own runs."""

from labkit.view.tables import markdown

# The table of the course's third session: method, network, data, accuracy before and after, parameters removed.
SESSION = (
    ("PCAS", "ResNet-56", "CIFAR-10", 0.9304, 0.9358, "53.7% of the parameters"),
    ("PCAS", "ResNet-50", "CIFAR-100", 0.7466, 0.7383, "76.5% of the parameters"),
    ("AMC", "ResNet-50", "CIFAR-10", 0.9353, 0.9355, "60% of the parameters"),
    ("ThiNet", "ResNet-50", "ImageNet", 0.7288, 0.7204, "33.7% of the parameters"),
)
# STR: Kusupati et al., ICML 2020, ResNet-50 on ImageNet; its dense network has 77.01 %.
STR = tuple(
    ("STR", "ResNet-50", "ImageNet", 0.7701, after, f"{share:.0%} of the weights")
    for share, after in ((0.81, 0.7612), (0.9, 0.7431), (0.95, 0.7023))
)


def published() -> str:
    """The papers' numbers as a Markdown table."""
    rows = [
        [method, network, data, f"{before:.2%}", f"{after:.2%}", f"{100 * (after - before):+.2f}", removed]
        for method, network, data, before, after, removed in (*SESSION, *STR)
    ]
    return markdown(["method", "network", "data", "before", "after", "points", "removed"], rows)
