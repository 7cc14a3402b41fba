"""What others report, to stand beside our own runs."""

# The term project that notebook 06 follows: ResNet18, CIFAR-10, global unstructured pruning with
# torch.nn.utils.prune, not retrained; test accuracy by prune ratio. Of its 17 ratios, those that its report gives.
TERM_PROJECT = {
    0.001: {0.0: 0.9078, 0.5: 0.861, 0.6: 0.644, 0.7: 0.327, 0.8: 0.164},
    0.01: {0.0: 0.9043, 0.5: 0.902, 0.6: 0.884, 0.7: 0.829, 0.8: 0.654},
}
# Milliseconds for one inference at every ratio: the mean of 100, and their standard deviation.
TERM_PROJECT_MILLISECONDS = {"mean": 46.0, "deviation": 6.3}

# The lecture's table (AlexNet and VGG-16 as in Han et al., *Learning both Weights and Connections for Efficient Neural
# Networks*, NeurIPS 2015): million parameters before and after, and how many times fewer parameters and MACs it prints.
LECTURE = {
    "AlexNet": {"before": 61, "after": 6.7, "parameters": 9, "macs": 3},
    "VGG-16": {"before": 138, "after": 10.3, "parameters": 12, "macs": 5},
    "GoogLeNet": {"before": 7, "after": 2.0, "parameters": 3.5, "macs": 5},
    "ResNet50": {"before": 26, "after": 7.47, "parameters": 3.4, "macs": 6.3},
    "SqueezeNet": {"before": 1, "after": 0.38, "parameters": 3.2, "macs": 3.5},
}
