"""Weight sharing and Deep Compression: what lies in a file is what the network computes with, to the bit."""

import copy
import math
from dataclasses import replace

import jsonschema
import pytest
import torch
from by_hand import fake_quantize, kmeans_step, packed_bytes, scale_and_zero_point
from hypothesis import given
from hypothesis import strategies as st
from joblib.externals.loky.backend.reduction import dumps
from torch.nn import functional as F
from torch.nn.utils import parametrize
from workers import Stopped, assert_same_run, stop_after, vgg

from labkit import quantization, records, settings, training
from labkit.methods.granularity.masks import apply, network_masks, prunable
from labkit.methods.quantization import compression, huffman, sharing
from labkit.settings import Recipe

RECIPE = Recipe(3, batch=50, schedule="linear")
COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any)


def with_weights(model, shared):
    """A copy of the network that computes with shared weights."""
    model = copy.deepcopy(model)
    for name, layer in prunable(model).items():
        layer.weight.data.copy_(shared[name].weights)
    return model


# k-means


def test_the_start_is_linear_and_the_end_is_a_fixed_point_with_less_error():
    weights = torch.randn(3, 5, 3, 3)
    start = quantization.linear_start(weights, 8)
    assert start[0] == weights.min() and start[-1] == weights.max()
    assert torch.allclose(start.diff(), (weights.max() - weights.min()) / 7)
    shared = quantization.kmeans(weights, 8, kmeans_step, steps=1000)
    indices, codebook = kmeans_step(weights.flatten(), shared.codebook)
    assert torch.equal(indices, shared.indices.flatten()) and torch.allclose(codebook, shared.codebook)
    nearest_start = start[(weights[..., None] - start).abs().argmin(-1)]
    assert (shared.weights - weights).square().sum() < 0.8 * (nearest_start - weights).square().sum()


def test_no_more_steps_are_taken_than_asked_for_and_none_after_the_last_change():
    taken = []

    def counting(weights, codebook):
        taken.append(codebook)
        return kmeans_step(weights, codebook)

    quantization.kmeans(torch.randn(500), 16, counting, steps=2)
    assert len(taken) == 2
    taken.clear()
    quantization.kmeans(torch.tensor([0.0, 1.0, 2.0, 3.0]), 4, counting)
    assert len(taken) == 2  # the second finds that nothing changed


@pytest.mark.parametrize("clusters", [0, -3, 2**16 + 1])
def test_clusters_that_no_index_tells_apart_are_refused(clusters, refused):
    with refused(clusters, "65,536"):
        quantization.linear_start(torch.randn(9), clusters)


def test_more_clusters_than_weights_are_refused_with_the_layers_name(refused):
    with refused("features.conv1", "216 weights", "256 clusters"):
        quantization.share(vgg([8], [16]), 256, kmeans_step)


def test_weights_that_are_not_finite_are_refused(refused):
    with refused("not finite"):
        quantization.kmeans(torch.tensor([1.0, math.inf]), 2, kmeans_step)


@pytest.mark.parametrize(
    "step",
    [
        lambda w, c: None,
        lambda w, c: (torch.zeros(3, dtype=torch.int64), c),
        lambda w, c: (torch.zeros_like(w), c),
        lambda w, c: (torch.full(w.shape, len(c)), c),
        lambda w, c: (torch.full(w.shape, -1), c),
        lambda w, c: (torch.zeros(w.shape, dtype=torch.int64), c[:1]),
        lambda w, c: (torch.zeros(w.shape, dtype=torch.int64), c / 0),
    ],
)
def test_what_is_no_step_is_refused(step, refused):
    with refused("kmeans_step gave", "return"):
        quantization.kmeans(torch.randn(20), 4, step)


def test_pruned_weights_stay_0_and_the_others_share_the_rest_of_the_codebook():
    model = vgg([8], [16])
    apply(model, network_masks(model, "layer-wise", 0.5))
    for name, shared in quantization.share(model, 8, kmeans_step).items():
        weight = prunable(model)[name].weight
        assert shared.codebook[0] == 0 and torch.equal(shared.indices == 0, weight == 0)
        assert len(shared.codebook) == 8 and torch.equal(shared.weights == 0, weight == 0)


def test_a_layer_that_is_all_zeros_is_shared_and_trains_nothing():
    model = vgg([8], [16])
    nothing = prunable(model)["features.conv1"].weight
    torch.nn.init.zeros_(nothing)
    shared = quantization.share(model, 4, kmeans_step)["features.conv1"]
    assert torch.equal(shared.weights, nothing) and len(shared.codebook) == 4
    assert quantization.counts(shared) == [nothing.numel(), 0, 0, 0]
    assert torch.equal(sharing._Lookup(shared)(nothing), nothing)


def test_a_slow_step_is_said_once_and_a_fast_one_never(monkeypatch, capsys):
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: next(clock))
    quantization.kmeans(torch.randn(500), 16, kmeans_step, steps=5)
    said = capsys.readouterr().out
    assert said.count("kmeans_step took 7.0 s for 500 weights, and up to 4 steps more") == 1
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: 0.0)
    quantization.kmeans(torch.randn(500), 16, kmeans_step, steps=5)
    assert capsys.readouterr().out == ""


# Files


@given(st.integers(0, 16), st.integers(0, 70), st.randoms(use_true_random=False))
def test_packed_indices_are_read_back_and_take_their_bits_rounded_up_once(bits, count, random):
    indices = torch.tensor([random.randrange(2**bits) for _ in range(count)], dtype=torch.int64)
    packed = quantization.pack(indices, bits)
    assert len(packed) == math.ceil(count * bits / 8)
    assert torch.equal(quantization.unpack(packed, bits, count), indices)


def test_bits_lie_one_after_the_other_the_highest_first():
    assert quantization.pack(torch.tensor([5, 0, 3]), 3) == bytes([0b10100001, 0b10000000])


@pytest.mark.parametrize(("index", "bits"), [(8, 3), (-1, 3), (0, 17), (0, -1), (1, 0)])
def test_an_index_that_does_not_fit_is_refused(index, bits, refused):
    with refused(f"{bits} bits"):
        quantization.pack(torch.tensor([index]), bits)


def test_too_few_bytes_are_refused(refused):
    with refused("2 bytes", "6 numbers of 3 bits"):
        quantization.unpack(b"ab", 3, 6)


@pytest.mark.parametrize("clusters", [1, 2, 3, 5, 16, 100, 216])
def test_the_file_is_as_long_as_the_formula_says_and_read_back_bit_by_bit(clusters, tmp_path):
    model = vgg([8], [16])
    model = replaced_classifier(model)
    shared = quantization.share(model, clusters, kmeans_step)
    path = quantization.write_weights(shared, tmp_path / "weights.bin")
    assert path.stat().st_size == sum(packed_bytes(layer.indices.numel(), clusters) for layer in shared.values())
    back = quantization.read_weights(path, model, clusters)
    for name, layer in shared.items():
        assert torch.equal(back[name].weights, layer.weights) and torch.equal(back[name].indices, layer.indices)
    x = torch.randn(2, 3, 32, 32)
    one, other = (with_weights(model, found).eval() for found in (shared, back))
    assert torch.equal(one(x), other(x))


def replaced_classifier(model):
    """The classifier has 160 weights: fewer than some numbers of clusters."""
    model.classifier = torch.nn.Linear(16, 20)
    return model


def test_a_file_of_another_length_and_none_at_all_are_refused(tmp_path, refused):
    model = vgg([8], [16])
    path = quantization.write_weights(quantization.share(model, 4, kmeans_step), tmp_path / "weights.bin")
    whole = path.read_bytes()
    for content, clusters, part in (
        (whole, 8, "fewer"),
        (whole, 2, "more"),
        (whole[:-1], 4, "fewer"),
        (whole + b"0", 4, "more"),
        (b"", 4, "fewer"),
    ):
        path.write_bytes(content)
        with refused("weights.bin", f"{len(content):,} bytes", part, f"{clusters} clusters"):
            quantization.read_weights(path, model, clusters)
    with refused("cannot be read"):
        quantization.read_weights(tmp_path / "none.bin", model, 4)


def test_a_shared_network_is_read_back_and_another_one_refused(refused):
    model = vgg([8], [16])
    apply(model, network_masks(model, "global", 0.3))
    shared = quantization.share(model, 8, kmeans_step)
    found = quantization.of_network(with_weights(model, shared), 8)
    for name, layer in shared.items():
        assert torch.equal(found[name].weights, layer.weights) and len(found[name].codebook) == 8
        assert torch.equal(found[name].indices == 0, layer.weights == 0)
    with refused("features.conv1", "share them first"):
        quantization.of_network(model, 8)


# Huffman's code


def test_a_known_code():
    lengths = quantization.code_lengths([5, 9, 12, 13, 16, 45])
    assert lengths == [4, 4, 3, 3, 3, 1]
    assert quantization.codes(lengths) == ["1110", "1111", "100", "101", "110", "0"]
    assert quantization.encode(torch.tensor([5, 0]), lengths) == bytes([0b01110000])


@given(COUNTS)
def test_no_word_begins_another_and_the_mean_is_within_a_bit_of_the_entropy(counts):
    lengths, total = quantization.code_lengths(counts), sum(counts)
    words = [word for word in quantization.codes(lengths) if word]
    assert [len(word) for word in quantization.codes(lengths)] == lengths
    assert [bool(length) for length in lengths] == [bool(count) for count in counts]
    assert not any(a != b and b.startswith(a) for a in words for b in words) and len(set(words)) == len(words)
    if len(words) > 1:
        assert sum(2.0**-length for length in lengths if length) == 1
    mean = sum(count * length for count, length in zip(counts, lengths)) / total
    assert quantization.entropy(counts) - 1e-9 <= mean < quantization.entropy(counts) + 1 + (len(words) == 1)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_no_other_code_is_shorter(counts):
    def best(nodes):  # merge every pair, not only the two rarest
        if len(nodes) == 1:
            return 0
        return min(
            nodes[i] + nodes[j] + best([*(n for k, n in enumerate(nodes) if k not in (i, j)), nodes[i] + nodes[j]])
            for i in range(len(nodes))
            for j in range(i)
        )

    assert sum(c * length for c, length in zip(counts, quantization.code_lengths(counts))) == best(counts)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=200))
def test_coded_symbols_are_read_back(symbols):
    numbers = torch.tensor(symbols)
    lengths = quantization.code_lengths(torch.bincount(numbers).tolist())
    coded = quantization.encode(numbers, lengths)
    assert torch.equal(quantization.decode(coded, lengths, len(symbols)), numbers)
    assert len(coded) == math.ceil(sum(lengths[symbol] for symbol in symbols) / 8)


def test_what_cannot_be_coded_or_read_is_refused(refused):
    lengths = quantization.code_lengths([3, 0, 2, 1])
    with refused("nothing to code"):
        quantization.code_lengths([0, 0])
    with refused("no word for 1"):
        quantization.encode(torch.tensor([0, 1]), lengths)
    with refused("hold 8 symbols and not 9"):
        quantization.decode(b"\x00", lengths, 9)
    with refused("is no word"):
        quantization.decode(b"\xff", [1], 3)


# Relative indices


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 4))
def test_gaps_say_where_the_weights_are(row, bits):
    indices = torch.tensor(row)
    gaps, values = quantization.relative(indices, bits)
    assert ((0 <= gaps) & (gaps < 2**bits)).all()
    assert torch.equal(quantization.absolute(gaps, values, len(row)), indices)
    assert values.count_nonzero() == indices.count_nonzero()


def test_a_gap_that_is_too_long_has_a_filler_as_in_the_papers_figure():
    row = torch.zeros(16, dtype=torch.int64)
    row[1], row[4], row[15] = 1, 2, 3  # figure 2: places 1, 4 and 15; gaps of 3 bits
    gaps, values = quantization.relative(row, 3)
    assert gaps.tolist() == [1, 2, 7, 2] and values.tolist() == [1, 2, 0, 3]


def test_with_0_bits_all_is_stored_up_to_the_last_and_a_full_layer_takes_them(refused):
    gaps, values = quantization.relative(torch.tensor([0, 2, 0, 1, 0]), 0)
    assert not gaps.any() and values.tolist() == [0, 2, 0, 1]
    assert quantization.gap_bits(torch.ones(50).long(), 4) == 0 and quantization.gap_bits(torch.eye(50).long(), 4) >= 4
    with refused("place 3 of 2"):
        quantization.absolute(gaps, values, 2)


# Trained


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return replace(settings.current({}, lab=3), runs=tmp_path_factory.mktemp("sharing"))


@pytest.fixture(scope="module")
def made(tiny_data, here):
    """By name, every record of rounded and shared weights of one experiment."""
    facts = {"seed": 0, "parent": None}
    dense = training.fit(
        vgg([8], [16]), tiny_data, RECIPE, folder=here.folder / "trained", kind="quantization-trained", **facts
    )
    facts["parent"] = "trained"
    thin = training.fit(
        dense.model(), tiny_data, RECIPE, folder=here.folder / "thin", kind="quantization-thin", **facts
    )
    shared = [quantization.train_shared(thin, here, tiny_data, kmeans_step, bits) for bits in (4, 2)]
    pruned = quantization.prune(thin, here, tiny_data)
    of_pruned = quantization.train_shared(pruned, here, tiny_data, kmeans_step, 3)
    found = [dense, thin, *shared, pruned, of_pruned]
    found += [quantization.compress(dense, thin, pruned, of_pruned, here, tiny_data)]
    found += [quantization.round_weights(run, here, tiny_data, scale_and_zero_point) for run in (dense, thin)]
    trained = ((2, False), (2, True))
    found += [
        quantization.train_in_bits(thin, here, tiny_data, scale_and_zero_point, fake_quantize, *way) for way in trained
    ]
    return {run.name: run for run in found}


def test_every_record_fits_its_schema_and_is_made_once(made, here, tiny_data):
    assert set(made) >= {"shared-thin-4", "shared-pruned-thin-3", "low-bits-thin-2-flat", "rounded-dense"}
    for run in made.values():
        if run.kind not in ("quantization-trained", "quantization-thin"):  # stand-ins here
            jsonschema.validate(records.read_json(run.folder / "record.json"), quantization.KINDS[run.kind])
    again = quantization.round_weights(made["thin"], here, tiny_data, scale_and_zero_point)
    assert again.folder == made["rounded-thin"].folder


def test_a_codebook_learns_by_the_sums_of_its_weights_gradients():
    shared = quantization.kmeans(torch.randn(6, 4, 3, 3), 5, kmeans_step)
    lookup, x = sharing._Lookup(shared), torch.randn(2, 4, 8, 8)
    F.conv2d(x, lookup(None)).square().mean().backward()
    weight = shared.weights.clone().requires_grad_()
    F.conv2d(x, weight).square().mean().backward()
    for entry in range(5):
        assert torch.isclose(lookup.codebook.grad[entry], weight.grad[shared.indices == entry].sum(), rtol=1e-4)


@pytest.mark.parametrize("name", ["shared-thin-4", "shared-thin-2", "shared-pruned-thin-3"])
def test_what_a_training_leaves_is_shared_and_its_bytes_are_those_of_the_file(made, tiny_data, tmp_path, name):
    run, parent = made[name], made[made[name].config["parent"]]
    clusters, network = 2 ** run.results["bits"], run.model()
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    shared = quantization.of_network(network, clusters)
    path, size = quantization.write_weights(shared, tmp_path / "weights.bin"), run.results["bytes"]
    assert path.stat().st_size == size["indices"] + size["codebooks"]
    assert size["indices"] + size["codebooks"] == sum(
        packed_bytes(layer.indices.numel(), clusters) for layer in shared.values()
    )
    assert size["others"] == sharing.other_bytes(network) == 4 * (4 * (8 + 16) + 10)
    as_it_stood = with_weights(parent.model(), quantization.share(parent.model(), clusters, kmeans_step))
    assert run.results["before"] == pytest.approx(training.evaluate(as_it_stood, tiny_data.validation), abs=1e-6)
    assert training.evaluate(network, tiny_data.validation) == run.results["validation_accuracy"]
    for layer, before in prunable(as_it_stood).items():
        after = prunable(network)[layer].weight
        assert not torch.allclose(after, before.weight)  # the codebook moved
        assert torch.equal(after == 0, before.weight == 0)  # what was pruned did not
        together = before.weight.detach().unique(return_inverse=True)[1]
        assert all(len(after[together == group].unique()) == 1 for group in together.unique())


def test_a_training_of_codebooks_that_is_broken_off_ends_bit_equal(made, tiny_data, tmp_path):
    method = quantization.TrainedCodebook(kmeans_step, 4)
    facts = {"kind": sharing.SHARED, "method": method, "save_every": 0}
    training.fit(made["thin"].model(), tiny_data, RECIPE, folder=tmp_path / "whole", **facts)
    for epochs in (1, 3):
        with pytest.raises(Stopped):
            training.fit(
                made["thin"].model(), tiny_data, RECIPE, folder=tmp_path / "cut", watch=stop_after(epochs), **facts
            )
    training.fit(made["thin"].model(), tiny_data, RECIPE, folder=tmp_path / "cut", **facts)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_the_method_can_be_sent_and_tells_functions_apart():
    method = quantization.TrainedCodebook(kmeans_step, 4)
    dumps(method)
    frozen = quantization.TrainedCodebook(lambda w, c: (kmeans_step(w, c)[0], c), 4)
    assert method.describe()["probe"] != frozen.describe()["probe"]


@pytest.mark.parametrize("bits", [0, 9])
def test_bits_that_are_not_for_sharing_are_refused(made, here, tiny_data, bits, refused):
    with refused(f"{bits} bits"):
        quantization.train_shared(made["thin"], here, tiny_data, kmeans_step, bits)


# Deep Compression


def test_the_share_of_the_weights_that_was_asked_for_is_gone(made):
    weights = torch.cat([layer.weight.detach().flatten() for layer in prunable(made["pruned-thin"].model()).values()])
    assert int((weights == 0).sum()) == round(quantization.RATIO * len(weights))


def test_the_bytes_of_each_step_are_those_of_streams_that_give_the_network_back(made):
    steps = {row["step"]: row["bytes"] for row in made["compressed-thin"].results["steps"]}
    network = made["shared-pruned-thin-3"].model()
    layers = quantization.of_network(network, 8)
    size = dict.fromkeys(("packed", "coded", "tables"), 0)
    for name, layer in layers.items():
        bits = quantization.gap_bits(layer.indices, 3)
        gaps, values = quantization.relative(layer.indices, bits)
        back = []
        for stream, width in ((gaps, bits), (values, 3)):
            packed = quantization.pack(stream, width)
            lengths = quantization.code_lengths(torch.bincount(stream, minlength=2**width).tolist())
            coded = huffman.encode(stream, lengths)
            assert torch.equal(
                quantization.unpack(packed, width, len(stream)), huffman.decode(coded, lengths, len(stream))
            )
            back.append(huffman.decode(coded, lengths, len(stream)))
            for key, more in (("packed", len(packed)), ("coded", len(coded)), ("tables", len(lengths))):
                size[key] += more
        restored = quantization.absolute(*back, layer.indices.numel()).view(layer.indices.shape)
        assert torch.equal(layer.codebook[restored], prunable(network)[name].weight)
    assert steps["shared"]["values"] + steps["shared"]["positions"] == size["packed"]
    assert steps["coded"]["values"] + steps["coded"]["positions"] == size["coded"]
    assert steps["coded"]["tables"] == size["tables"] and steps["coded"]["codebooks"] == 3 * 8 * 4


def test_the_steps_begin_with_the_whole_networks_and_get_smaller(made):
    steps = made["compressed-thin"].results["steps"]
    totals = [sum(row["bytes"].values()) for row in steps]
    assert [row["step"] for row in steps] == ["dense", "thin", "pruned", "shared", "coded"]
    every = sum(v.numel() for v in made["trained"].model().state_dict().values() if v.is_floating_point())
    assert totals[0] == 4 * every and totals[1] > totals[2] > totals[3]
    assert steps[4]["accuracy"] == made["shared-pruned-thin-3"].results["validation_accuracy"]
    network = made["pruned-thin"].model()
    stored = [compression.pruned_bytes(layer.weight) for layer in prunable(network).values()]
    assert steps[2]["bytes"]["values"] == sum(row["values"] for row in stored)
    assert steps[2]["bytes"]["values"] >= 4 * sum(
        int(part.weight.count_nonzero()) for part in prunable(network).values()
    )


def test_steps_that_do_not_belong_together_are_refused(made, here, tiny_data, refused):
    with refused("shared-thin-2 is made from thin and not from pruned-thin"):
        quantization.compress(
            made["trained"], made["thin"], made["pruned-thin"], made["shared-thin-2"], here, tiny_data
        )


# Figures and tables


def test_every_figure_is_drawn_from_the_records_and_says_what_it_shows(made, here):
    drawn = quantization.figures(here.folder)
    assert list(drawn) == [f"quantization-{name}" for name in ("bits", "low-bits", "sharing", "compression")]
    for figure in drawn.values():
        assert len(figure.get_label()) > 60 and all(axis.get_xlabel() for axis in figure.axes)
        assert any(axis.get_ylabel() for axis in figure.axes)
    labels = [label.get_text() for label in drawn["quantization-low-bits"].axes[0].get_xticklabels()]
    assert labels == ["2 bits\nstraight-through\nslope", "2 bits\ntrue\nslope"]
    heights = [bar.get_height() for bar in drawn["quantization-low-bits"].axes[0].patches]
    trained, flat = made["low-bits-thin-2"].results, made["low-bits-thin-2-flat"].results
    assert heights == [trained["before"], flat["before"], trained["validation_accuracy"], flat["validation_accuracy"]]
    total = max(sum(row["bytes"].values()) for row in made["compressed-thin"].results["steps"][3:]) / 1000
    tops = [bar.get_y() + bar.get_height() for bar in drawn["quantization-compression"].axes[1].patches]
    assert max(tops) == pytest.approx(total)


def test_the_lines_over_bits_are_the_records(made):
    left, _ = quantization.accuracy_over_bits([made["rounded-dense"], made["rounded-thin"]]).axes
    for line, name in zip(left.get_lines(), quantization.WAYS):
        assert list(line.get_xdata()) == list(quantization.BITS)
        assert list(line.get_ydata()) == made["rounded-dense"].results[name]


def test_the_tables_hold_every_record(made, here):
    page = quantization.results(here.folder.parent)
    for text in (
        "dense, per tensor",
        "thin, 2 bits, straight-through slope",
        "thin, 2 bits, true slope",
        "pruned-thin, 3 bits, shared",
        "coded",
    ):
        assert text in page
    assert f"{made['shared-thin-2'].results['validation_accuracy']:.1%}" in page
    assert quantization.results(here.runs / "nothing") == "" and quantization.figures(here.runs / "nothing") == {}


@pytest.mark.parametrize(
    "draw", [quantization.accuracy_over_bits, quantization.low_bits, quantization.sharing_accuracy]
)
def test_no_runs_are_refused(draw, refused):
    with refused("no runs to draw"):
        draw([])
