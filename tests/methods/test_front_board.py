"""The board: what an honest entry shows, and what is refused, with a sentence."""

import copy
import json

import pytest
from workers import tiny_dataset, vgg_of

from labkit import criteria, foreign, measure, models, training
from labkit.methods import front
from labkit.methods.front.board import MOST_POLICIES
from labkit.pruning import filter_norms
from labkit.settings import Recipe


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A VGG-11 and a policy of it, both trained for an epoch."""
    lab, data, recipe = tmp_path_factory.mktemp("lab2"), tiny_dataset(), Recipe(1, batch=50, learning_rate=0.01)
    whole = models.build(models.named("vgg11", 0.1), seed=0)
    trained = training.fit(whole, data, recipe, folder=lab / "trained", kind=criteria.TRAINED)
    plan = front.policy(filter_norms(trained.model()), {"features.conv4": 0.5, "features.conv6": 0.5})
    return [front.fine_tuned("half", trained, plan, data, recipe, lab)]


@pytest.fixture(scope="module")
def honest(runs):
    return front.entry("me", runs)


@pytest.fixture
def read(tmp_path):
    """``read(content)``: the entry in a file of this content."""

    def write_and_read(content):
        path = tmp_path / "me.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return front.read_entry(path)

    return write_and_read


def test_an_honest_entry_shows_what_its_runs_are(runs, honest, read):
    entry = read(honest)
    (point,) = front.points_of(runs, models.named("vgg11", 0.1))
    assert (entry.name, entry.points) == ("me", [point])
    assert entry.runs[0].history == runs[0].history
    slim = models.build(runs[0].specification)
    assert honest["policies"][0]["claimed"]["macs"] == measure.macs(slim)


def test_a_saved_entry_is_what_the_board_reads_and_others_do_not_stop_it(runs, honest, tmp_path):
    assert front.save_entry("me", runs, tmp_path).name == "me.json"
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "notes.txt").write_text("not looked at")
    entries, refused = front.board(tmp_path)
    assert [entry.name for entry in entries] == ["me"] and list(refused) == ["bad.json"]
    points = [(0.9, 0.05)]
    table = front.board_table(entries, points)
    assert f"| 1 | me | {front.gained(points, entries[0].points):.3f} |" in table
    figure = front.board_figure(entries, points)
    assert "me" in figure.get_label() and figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()


def test_an_empty_folder_is_an_empty_board(tmp_path):
    assert front.board(tmp_path) == ([], {}) == front.board(tmp_path / "nowhere")
    assert front.board_figure([], [(0.5, 0.5)]).get_label()


def changed(honest, *path, to):
    """The entry with one thing changed; a function is applied to what was there."""
    content = copy.deepcopy(honest)
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to(place[path[-1]]) if callable(to) else to
    return content


POLICY, RECORD = ("policies", 0), ("policies", 0, "record")
KEPT = (*RECORD, "plan", "kept", "features.conv4")
HOSTILE = {
    "no plan": ((*RECORD, "plan"), None, "plan is None"),
    "an empty plan": ((*RECORD, "plan", "kept"), {}, "a plan that does not fit its network: other groups"),
    "an emptied group": (KEPT, [], "features.conv4' keeps []"),
    "a channel that is not there": (KEPT, [0, 4000], "features.conv4' keeps [0, 4000]"),
    "a channel twice": (KEPT, [1, 1], "keeps [1, 1]"),
    "unsorted channels": (KEPT, lambda kept: kept[::-1], "does not fit its network"),
    "other totals": ((*RECORD, "plan", "total", "features.conv4"), 5, "other groups or widths"),
    "another plan than the network's": (KEPT, lambda kept: kept[:-1], "another network than its plan makes"),
    "a path as name": (("name",), "../../elsewhere", "does not do"),
    "a slash in the name": (("name",), "a/b", "does not do"),
    "dots in the name": (("name",), "a..b", "does not do"),
    "a backslash in the name": (("name",), "a\\b", "does not do"),
    "a name that is no text": (("name",), 3, "name is 3"),
    "a better accuracy": ((*POLICY, "claimed", "accuracy"), 1.0, "claims an accuracy of 100.0000%; its record says"),
    "fewer MACs": ((*POLICY, "claimed", "macs"), 1, "claims"),
    "fewer parameters": ((*POLICY, "claimed", "parameters"), 1, "parameters and"),
    "a history of another length": ((*RECORD, "history"), lambda rows: rows * 2, "2 epochs in its history"),
    "no history": ((*RECORD, "history"), [], "0 epochs in its history"),
    "a last epoch of another accuracy": ((*RECORD, "history", 0, "validation_accuracy"), 0.5, "its record says"),
    "another kind": ((*RECORD, "kind"), "front-tuned", "kind is 'front-tuned'"),
    "something unknown": (("code",), "import os", "'code' is unknown"),
    "no policies": (("policies",), [], "policies is []"),
    "too many policies": (("policies",), lambda policies: policies * (MOST_POLICIES + 1), "policies is"),
    "another format": (("format",), 2, "format is 2"),
    "a network of no family": (("network", "family"), "perceptron", "family is 'perceptron'"),
    "wider than the catalogue": (("network", "widths"), [4096] * 8, "at their widths at most"),
    "more blocks than the catalogue": (("network",), vgg_of([8], [8]).to_dict(), "its network is none of"),
    "larger images": (("network", "size"), 1024, "at their widths at most"),
}


@pytest.mark.parametrize("path, to, said", HOSTILE.values(), ids=HOSTILE)
def test_an_entry_that_is_not_what_it_says_is_refused(honest, read, refused, path, to, said):
    with refused("me.json' is not on the board", said):
        read(changed(honest, *path, to=to))


def test_an_accuracy_that_no_count_of_images_gives_is_refused(honest, read, refused):
    content = changed(honest, *POLICY, "claimed", "accuracy", to=0.1234567)
    for path in (("results", "validation_accuracy"), ("history", 0, "validation_accuracy")):
        content = changed(content, *RECORD, *path, to=0.1234567)
    with refused("which no count of 50 images gives"):
        read(content)


BYTES = {
    "nothing": b"",
    "no JSON": b"import os",
    "a list": b"[1]",
    "not a number": b'{"format": NaN}',
    "too deep": b"[" * 100_000,
    "too large": b" " * (foreign.MOST_BYTES + 1),
    "too many values": b"[" + b"1," * (foreign.MOST_VALUES + 1) + b"1]",
    "no text": b"\xff\xfe\x00",
    "pickled": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94",
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES)
def test_a_file_that_is_no_entry_is_refused(content, read, refused):
    with refused("me.json' is not on the board"):
        read(content)


def test_links_are_not_followed_and_what_cannot_be_read_is_refused(runs, tmp_path, refused):
    front.save_entry("me", runs, tmp_path / "elsewhere")
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere" / "me.json")
    with refused("it is a link"):
        front.read_entry(tmp_path / "link.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("folder.json", "missing.json"):
        with refused("it is no plain file"):
            front.read_entry(tmp_path / name)


def test_nobody_stands_on_the_board_for_somebody_else(runs, tmp_path, refused):
    front.save_entry("me", runs, tmp_path).rename(tmp_path / "you.json")
    with refused("it is the entry of 'me', and a file is called after its student"):
        front.read_entry(tmp_path / "you.json")


def test_only_policies_go_on_the_board(runs, refused):
    with refused("1 to 3 runs of kind front-policy"):
        front.entry("me", [])
    with refused("1 to 3 runs"):
        front.entry("me", runs * (MOST_POLICIES + 1))
    with refused("does not do"):
        front.entry("../me", runs)
