"""What is said of lab 2's records: the area that policies gain, and nothing for a record that claims too much."""

import json
from dataclasses import asdict, replace

import fronts
import pytest

from labkit import pruning, settings
from labkit.course import labs
from labkit.course.grading import findings, lab2
from labkit.methods import front

LAB = labs.named(2)
POLICY, FRONT, REASONS = "manual-policy", "manual-report-front", "manual-report-policy"


def case_of(contents, folder):
    """The case of these records; no reference run is known."""
    for name, content in contents.items():
        (folder / "records" / name).mkdir(parents=True)
        (folder / "records" / name / "record.json").write_text(json.dumps(content), encoding="utf-8")
    return findings.case_of(folder / "records", LAB, folder / "no reference")


def wrong(contents, folder):
    """The sentences on what is wrong, by cell."""
    case_of(contents, folder)
    said = findings.findings(folder / "records", LAB, folder / "no reference")
    return {cell: "\n".join(f["text"] for f in said if f["cell"] == cell and not f["well"]) for cell in lab2.CELLS}


def changed(name, part, **values):
    """The honest records, with other values in one part of the record ``name``."""
    found = fronts.honest()
    return found | {name: found[name] | {part: found[name][part] | values}}


def more(**policies):
    """The honest records and more policies, as (channels of every group after the fourth, right of 600)."""
    late = [f"features.conv{i}" for i in (5, 6, 7, 8)]
    plans = {
        name: pruning.width_plan(fronts.SCORES, dict.fromkeys(late, width)) for name, (width, _) in policies.items()
    }
    new = {f"policy-{name}": fronts.point(front.POLICY, plans[name], right) for name, (_, right) in policies.items()}
    return fronts.honest() | new


def cut_again(name, ratio):
    """A point of the global front from a ranking of its own."""
    scores = pruning.random_scores(fronts.SCORES, seed=1)
    return fronts.honest() | {name: fronts.point(front.TUNED, pruning.global_plan(scores, ratio), fronts.GLOBAL[ratio])}


def test_honest_records_are_consistent_in_every_cell(tmp_path):
    assert set(wrong(fronts.honest(), tmp_path).values()) == {""}


FOUR_EPOCHS = asdict(replace(fronts.RECIPE, epochs=4))
NARROW = fronts.TRAINED["network"] | {"widths": [8, *fronts.TRAINED["network"]["widths"][1:]]}
FORGERIES = {
    "another recipe": (changed("policy-late", "config", recipe=FOUR_EPOCHS), POLICY, "the recipe has 4 epochs"),
    "a penalty": (changed("policy-late", "config", **{"lambda": 0.1}), POLICY, "not fine-tuned by the one recipe"),
    "no parent": (changed("policy-late", "config", parent=None), POLICY, "made from None, which is not among"),
    "another parent": (changed("policy-late", "config", parent="../x"), POLICY, "made from '../x', which is not among"),
    "another network": (changed("policy-late", "network", widths=[8] * 8), POLICY, "network or classes differ"),
    "end not the history's": (changed("policy-late", "results", validation_accuracy=1.0), POLICY, "not that of the last"),
    "a group left out": (changed("policy-late", "plan", kept={}), POLICY, "the plan's layers are not those"),
    "not the course's": (changed("trained", "config", network=NARROW), FRONT, "trained: network or classes differ"),
    "another training": (changed("trained", "config", recipe=FOUR_EPOCHS), FRONT, "no profile of the course"),
    "another seed": (changed("policy-late", "config", seed=7), FRONT, "different seeds: [0, 7]"),
    "worse than what is cut from it": (
        fronts.honest() | {"trained": fronts.ending(fronts.TRAINED, 0.9)}, FRONT, "well above the unpruned network's 90.0%",
    ),
    "another count": (changed("global-30", "config", ratio=0.35), FRONT, "channels are pruned; 35% are"),
    "no ranking": (cut_again("global-40", 0.4), FRONT, "are kept, but pruned in global-10"),
}  # fmt: skip


@pytest.mark.parametrize(("contents", "cell", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_value_is_found_in_its_cell(contents, cell, words, tmp_path):
    found = wrong(contents, tmp_path)
    assert words in found[cell], found


def test_over_a_front_with_gaps_nothing_is_gained(tmp_path):
    whole = lab2.standing(case_of(fronts.honest(), tmp_path / "whole"))
    contents = fronts.honest()
    del contents["global-55"]
    gap = lab2.standing(case_of(contents, tmp_path / "gap"))
    assert gap.gained == gap.points == 0 < whole.gained and gap.policies == whole.policies
    assert "no point that counts at 55%" in wrong(contents, tmp_path / "said")[POLICY]


def test_a_weak_front_is_compared_with_the_courses(tmp_path):
    """The course's runs are the honest ones here."""
    for name, content in fronts.honest().items():
        folder = tmp_path / "reference" / "quick-shapes-seed0" / LAB.name / name
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
    weak = fronts.honest()
    for ratio, right in fronts.GLOBAL.items():
        plan = pruning.global_plan(fronts.SCORES, ratio)
        weak[f"global-{100 * ratio:g}"] = fronts.point(front.TUNED, plan, right - 90)
    case_of(weak, tmp_path)
    said = findings.findings(tmp_path / "records", LAB, tmp_path / "reference")
    assert any("under the course's it is 0.887 or more" in f["text"] for f in said if f["cell"] == FRONT)


def test_the_best_three_count_and_what_the_course_made_does_not(tmp_path):
    few = lab2.standing(case_of(more(a=(12, 596)), tmp_path / "few"))
    many = lab2.standing(case_of(more(a=(12, 596), b=(4, 594), c=(110, 598)), tmp_path / "many"))
    assert len(few.policies) == 3 and len(many.policies) == 5
    assert few.gained == pytest.approx(gained(few, few.policies))
    ranked = [gained(many, [a, b, c]) for a in many.policies for b in many.policies for c in many.policies]
    assert many.gained == pytest.approx(max(ranked)) and many.gained < gained(many, many.policies)
    given = more(**{"sensitivity-60": (8, 597)})
    assert "policy-sensitivity-60" in given
    assert lab2.standing(case_of(given, tmp_path / "given")) == lab2.standing(
        case_of(fronts.honest(), tmp_path / "own")
    )


def gained(standing, names):
    base = [
        front.Point(front.cost(fronts.NETWORK, plan_of(ratio).widths), n / 600) for ratio, n in fronts.GLOBAL.items()
    ]
    return front.gained(base, [standing.policies[name] for name in names])


def plan_of(ratio):
    return pruning.global_plan(fronts.SCORES, ratio)


def test_a_student_may_have_many_policies_and_the_network_is_still_seen(tmp_path):
    many = {f"a{i}": (1 + i, 580) for i in range(findings.MOST_RUNS)}
    case = case_of(more(**many), tmp_path)
    assert len(case.runs) == findings.MOST_RUNS and {"trained", "global-70"} <= {run.name for run in case.runs}


SEARCHES = {
    name: json.loads((settings.REFERENCE / "quick-shapes-seed0/lab2" / name / "record.json").read_text("utf-8"))
    for name in ("amc-vgg", "random-vgg")
}


def searched(**changes):
    """The honest records with the two searches; ``changes`` of the agent's, by part."""
    agent = SEARCHES["amc-vgg"]
    return fronts.honest() | SEARCHES | {"amc-vgg": agent | {part: agent[part] | new for part, new in changes.items()}}


def test_honest_searches_are_consistent_and_their_best_is_said(tmp_path):
    assert set(wrong(searched(), tmp_path).values()) == {""}
    said = lab2.found_by_searches(case_of(searched(), tmp_path / "again"))
    assert all(f"{name} {max(run['results']['accuracies']):.1%}" in said for name, run in SEARCHES.items())


RESULTS = SEARCHES["amc-vgg"]["results"]
FORGED_SEARCHES = {
    "another best": ({"results": {"best": (RESULTS["best"] + 1) % 300}}, "is called its best, but the highest reward"),
    "no count": ({"results": {"accuracies": [0.9999, *RESULTS["accuracies"][1:]]}}, "episode 1: 0.9999 is no count"),
    "beyond the budget": ({"results": {"widths": [[16, 32, 64, 64, *[128] * 4]] * 300}}, "the policy of episode 1 "),
    "groups too many": ({"results": {"widths": [[4] * 9] * 300}}, "the policy of episode 1 is outside its bounds"),
    "one policy less": ({"results": {"widths": RESULTS["widths"][1:]}}, "300 rewards of 299 policies"),
    "another parent": ({"config": {"parent": "nowhere"}}, "which is not the network that it says to prune"),
    "no way": ({"config": {"budget": 0.001}}, "it cannot have searched"),
}


@pytest.mark.parametrize(("changes", "sentence"), FORGED_SEARCHES.values(), ids=FORGED_SEARCHES)
def test_a_search_that_cannot_have_been_is_named(tmp_path, changes, sentence):
    found = wrong(searched(**changes), tmp_path)["manual-amc"]
    assert "amc-vgg: " in found and sentence in found


def test_a_search_without_its_control_is_named_and_none_at_all_is_not(tmp_path):
    alone = {name: run for name, run in searched().items() if name != "random-vgg"}
    assert "amc-vgg: no search by chance has the same options" in wrong(alone, tmp_path)["manual-amc"]
    assert wrong(fronts.honest(), tmp_path / "none")["manual-amc"] == ""


def test_nothing_handed_in_is_said_in_every_cell(tmp_path):
    (tmp_path / "records").mkdir()
    found = wrong({}, tmp_path)
    assert found[POLICY].startswith("There is no record of front-policy.")
    assert "criteria-trained or front-tuned" in found[FRONT] and found[REASONS]
