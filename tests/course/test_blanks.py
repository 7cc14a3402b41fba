"""The table of blanks: every declared wrong answer is caught with its own sentence, right ones are accepted.

``PYTHONPATH=tests python tests/course/test_blanks.py`` prints the table.
"""

import json
import random

import needs
import pytest
from answers import NOT_QUITE, RIGHT

from labkit.course import answers, blanks, labs
from labkit.course.grading import grade, sandbox
from labkit.course.practice import check, judge, probe
from labkit.settings import LabError

BLANKS = {name: blank for lab in labs.LABS for name, blank in blanks.declared(lab).items()}
SEEDS = (answers.VISIBLE_SEED, "hidden 1", "hidden 2")

BODIES = [(name, f, body) for name, blank in BLANKS.items() for f in blank.functions for body in RIGHT[f]]
MISTAKES = [(name, mistake) for name, blank in BLANKS.items() for mistake in blank.mistakes]


@pytest.fixture(scope="module")
def materials():
    return {(name, seed): answers.material(name, seed) for name in BLANKS for seed in SEEDS}


def sources(name: str, function: str, body: str) -> list[str]:
    """The complete notebook's blank, then this body for one of its functions."""
    return [answers.solution(name), answers.function_source(function, BLANKS[name].functions[function], body)]


def verdict(material: dict, code: list[str]) -> judge.Verdict:
    functions = probe.functions_in(code, list(material["functions"]))
    return judge.judge(material, probe.observe_all(functions, material["functions"]))


def test_each_blank_has_at_least_five_mistakes_and_its_credit_adds_up():
    for blank in BLANKS.values():
        assert sum(credit.points for credit in blank.credit) == blank.points
        assert len(blank.mistakes) >= 5
        assert all(mistake.sentence.endswith((".", "?")) for mistake in blank.mistakes)


def test_what_has_no_points_is_an_exercise_and_is_not_graded():
    for lab in labs.LABS:
        exercises = {name: blank for name, blank in blanks.declared(lab).items() if not blank.points}
        assert all(blank.cell == f"exercise-{name}" for name, blank in exercises.items())
        graded = grade.hidden_materials(lab, "some seed")
        assert list(graded) == list(blanks.of(lab)) and not graded.keys() & exercises.keys()
        assert exercises.keys() <= json.loads(answers.visible_text(lab)).keys()


def test_credit_covers_all_that_is_compared(materials):
    """Or a wrong answer would have all points."""
    for (name, _), material in materials.items():
        for function, part in material["functions"].items():
            for case in part["cases"]:
                for aspect in case["expected"]:
                    covered = any(judge._covers(row, function, case["group"], aspect) for row in material["credit"])
                    assert covered == bool(BLANKS[name].points), (name, function, case["group"], aspect)


@pytest.mark.parametrize(("function", "body", "said"), NOT_QUITE)
def test_what_is_not_quite_right_gets_no_full_points_and_no_untrue_sentence(function, body, said, materials):
    name = next(name for name, blank in BLANKS.items() if function in blank.functions)
    for seed in SEEDS:
        found = verdict(materials[name, seed], sources(name, function, body))
        assert not found.right and said in found.sentences[0]


def test_inputs_in_which_mistakes_look_alike_are_drawn_again():
    for name, blank in BLANKS.items():
        drawn = [answers.material(name, seed) for seed in range(4)]
        for mistake in blank.mistakes:
            function = mistake.function or next(iter(blank.functions))
            functions = probe.functions_in(sources(name, function, mistake.body), list(blank.functions))
            for seed, material in enumerate(drawn):
                found = judge.judge(material, probe.observe_all(functions, material["functions"]))
                assert found.sentences == [mistake.sentence] and not found.right, (name, seed, mistake)


def test_a_blank_with_one_of_two_functions_is_not_called_empty(capsys):
    def sparsity_penalty(gammas, lam):
        return lam * sum(gamma.abs().sum() for gamma in gammas)

    def lambda_for(budget, learning_rates, momentum):
        raise NotImplementedError

    check.check("penalty", sparsity_penalty, lambda_for)
    assert capsys.readouterr().out == "✗ Blank 1 (3 of 5 points so far): lambda_for is still empty.\n"


def test_a_number_that_no_float_holds_is_wrong_and_nothing_more():
    material = check.visible()["kept-channels"]
    cases = material["functions"]["kept_channels"]["cases"]
    observed = [{"values": [10**400] * len(case["expected"]["values"]), "form": "?"} for case in cases]
    assert judge.judge(material, {"kept_channels": observed}).points == 0


def test_a_private_verdict_repeats_nothing_that_the_code_chose():
    material = check.visible()["kept-channels"]
    count = len(material["functions"]["kept_channels"]["cases"])
    for raised, said in (("Inputs1010", "an exception of its own"), ("ValueError", "stops with ValueError.")):
        observed = [{"raised": raised, "message": "inputs 1010"}] * count
        found = judge.judge(material, {"kept_channels": observed}, private=True)
        assert said in found.sentences[0] and "1010" not in str(found)


@pytest.mark.parametrize("name", BLANKS)
def test_the_solution_in_the_notebook_is_right_for_every_seed(name, materials):
    for seed in SEEDS:
        assert verdict(materials[name, seed], [answers.solution(name)]).right


@pytest.mark.parametrize(("name", "function", "body"), BODIES)
def test_right_answers_of_another_style_are_accepted(name, function, body, materials):
    for seed in SEEDS:
        found = verdict(materials[name, seed], sources(name, function, body))
        assert found.right, found


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=lambda value: getattr(value, "body", value))
def test_every_declared_mistake_gets_its_own_sentence(name, mistake, materials):
    function = mistake.function or next(iter(BLANKS[name].functions))
    for seed in SEEDS:
        found = verdict(materials[name, seed], sources(name, function, mistake.body))
        assert found.sentences == [mistake.sentence] and not found.right
        assert found.points < found.of or found.of == 0


@needs.bubblewrap
def test_sandbox_and_kernel_say_the_same_of_every_mistake_and_every_right_answer(materials):
    wanted = {}
    for name, function, body in BODIES:
        wanted[f"{name} {len(wanted)}"] = (name, sources(name, function, body), [])
    for name, mistake in MISTAKES:
        function = mistake.function or next(iter(BLANKS[name].functions))
        wanted[f"{name} {len(wanted)}"] = (name, sources(name, function, mistake.body), [mistake.sentence])
    jobs = {
        key: grade._job(materials[name, SEEDS[1]], {"code": {}}, "\n".join(code))
        for key, (name, code, _) in wanted.items()
    }
    with sandbox.opened() as way:
        outcomes = sandbox.run(jobs, way)
    for key, outcome in outcomes.items():
        name, _, sentences = wanted[key]
        assert outcome.end == "done", (key, outcome)
        assert judge.judge(materials[name, SEEDS[1]], outcome.observed).sentences == sentences, key


def test_visible_json_is_what_the_table_gives():
    made = {name: blank for lab in labs.LABS for name, blank in json.loads(answers.visible_text(lab)).items()}
    assert rounded(check.visible()) == rounded(made)


def rounded(value):
    """Another torch may differ in the last digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def test_hidden_inputs_differ_from_the_visible_ones_and_repeat_for_the_same_seed():
    for blank in BLANKS.values():
        visible, hidden, again = (list(blank.cases(random.Random(seed))) for seed in ("0", "1", "1"))
        assert visible != hidden == again


def test_check_prints_the_verdict_and_the_smallest_counter_example(capsys):
    check.check("kept-channels", lambda mask: mask.nonzero().flatten())
    assert capsys.readouterr().out == "✓ Blank 3: right.\n"

    def kept_channels(mask):
        raise NotImplementedError

    check.check("kept-channels", kept_channels)
    assert "○ Blank 3 is still empty" in capsys.readouterr().out
    check.check("kept-channels", lambda mask: mask.nonzero().squeeze())
    printed = capsys.readouterr().out
    assert "squeeze() breaks on one channel" in printed and "(3 of 5 points so far)" in printed
    assert "type and shape: expected int64 tensor of shape (1,), got int64 tensor of shape ()" in printed
    assert "value:" not in printed, "what is right is not shown"
    check.check("kept-channels", lambda mask: [7])
    assert "does not do what its docstring says" in capsys.readouterr().out
    check.check("kept-channels", lambda mask: 1 / 0)
    printed = capsys.readouterr().out
    assert "stops with ZeroDivisionError." in printed and "    division by zero" in printed
    check.check("kept-channels", lambda mask: None)
    assert "returns nothing" in capsys.readouterr().out


def test_check_shows_a_picture_where_columns_are_meant(capsys):
    def copy_linear_weight(thin_linear, linear, kept):
        thin_linear.weight.data.copy_(linear.weight.data[:, : len(kept)])

    check.check("linear-weight", copy_linear_weight)
    assert "first columns" in capsys.readouterr().out
    (fault,) = check.verdict("linear-weight", {"copy_linear_weight": copy_linear_weight}).faults
    assert [axis.get_title() for axis in check.picture(fault.example).axes][1:] == ["expected", "yours"]


def test_check_shows_the_kernels_that_stay(capsys):
    def copy_convolution_weight(thin_conv, conv, kept, inputs):
        thin_conv.weight.data.copy_(conv.weight.data[: len(kept), : len(inputs)])

    check.check("convolution-weight", copy_convolution_weight)
    printed = capsys.readouterr().out
    assert "✗ Exercise B: These are the first filters" in printed and "conv=Conv2d(weight=[[[[" in printed
    (fault,) = check.verdict("convolution-weight", {"copy_convolution_weight": copy_convolution_weight}).faults
    old, *_ = check.picture(fault.example).axes
    kept, inputs = (argument["int64"] for argument in fault.example.arguments[2:])
    assert len(old.patches) == len(kept) * len(inputs)


def test_an_exercise_is_checked_as_a_blank_is_and_names_no_points(capsys):
    def guarded_mask(scores, ratio, at_least):
        raise NotImplementedError

    check.check("guard", guarded_mask)
    assert capsys.readouterr().out.startswith("○ Exercise A is still empty.")
    assert not check.ready(guarded_mask)
    assert capsys.readouterr().out.startswith("This cell waits for exercise A (guarded_mask); the notebook goes on")
    check.check("guard", lambda scores, ratio, at_least: scores)
    printed = capsys.readouterr().out
    assert printed.startswith("✗ Exercise A: ") and "points" not in printed
    assert "guarded_mask(scores={'conv1': tensor([" in printed


@pytest.mark.parametrize(
    "arguments", [("no such blank", len), ("kept-channels",), ("penalty", len), ("linear-bias", 3)]
)
def test_check_refuses_what_it_cannot_check(arguments, refused):
    with refused(arguments[0]):
        check.check(*arguments)


def test_ready_judges_each_function_alone(capsys):
    def lambda_for(budget, learning_rates, momentum):
        return budget * (1 - momentum) / sum(learning_rates)

    def penalty_gradient(gamma, lam):
        raise NotImplementedError

    assert check.ready(lambda_for) and not capsys.readouterr().out
    assert not check.ready(lambda_for, penalty_gradient)
    assert "waits for blank 2 (penalty_gradient)" in capsys.readouterr().out
    with pytest.raises(LabError):
        check.ready(len)


NOTEBOOK = [
    "import math\nimport no_such_package\n%matplotlib inline\n!ls",
    "HALF = 0.5\nraise RuntimeError('never executed')",
    "def twice(x):\n    return 2 * x\n\ndef unused():\n    return undefined",
    "broken =",
    "def wanted(x):\n    return math.floor(twice(x) * HALF)",
]


@pytest.mark.parametrize(
    ("cells", "result"),
    [
        (NOTEBOOK, 3),
        ([*NOTEBOOK, "def wanted(x):\n    return 'the later one'"], "the later one"),
        ([*NOTEBOOK, "wanted = lambda x: x + 1"], 4),
        (["low = torch.sign\nA, B = 1, 2\nC: int = 4", "if A:\n    def wanted(x):\n        return A + B + C"], 7),
        (
            ["if True:\n    x = y = undefined_elsewhere()", "def wanted(x):\n    y = x\n    return [x for x in [y]]"],
            [3],
        ),
        (["def wanted(x):\n    return torch.zeros(1).shape, np.ones(1).shape, F.relu, nn.Linear"], None),
    ],
)
def test_functions_are_taken_from_a_notebook_with_what_they_use(cells, result):
    found = probe.functions_in(cells, ["wanted"])["wanted"](3)
    assert result is None or found == result


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def wanted(x):\nreturn 1", "IndentationError"),
        ("def other(x):\n    return 1", "NameError"),
        ("def wanted(x, y=undefined):\n    return 1", "NameError"),
        ("@exit\ndef wanted(x):\n    return 1", "SystemExit"),
        ("wanted = 3", "NameError"),
        ("def wanted(x):\n    return " + "(" * 5000 + ")" * 5000, None),
        ("def wanted(x):\n    return not_in_the_notebook", "NameError"),
    ],
)
def test_a_function_that_is_not_there_raises_the_reason(source, error):
    raised = probe.observe(probe.functions_in([source], ["wanted"])["wanted"], [1], [])["raised"]
    assert error is None or raised == error


def table() -> str:
    """Blanks x wrong answers: points, and whether it was caught with its own sentence."""
    lines = []
    for name, mistake in MISTAKES:
        function = mistake.function or next(iter(BLANKS[name].functions))
        found = [verdict(answers.material(name, seed), sources(name, function, mistake.body)) for seed in SEEDS]
        caught = all(v.sentences == [mistake.sentence] and not v.right for v in found)
        lines.append(
            f"{name:21s} {'caught' if caught else 'MISSED'} {found[0].points} of {found[0].of}  {mistake.sentence}"
        )
    right = [all(verdict(answers.material(n, s), sources(n, f, b)).right for s in SEEDS) for n, f, b in BODIES]
    return "\n".join([*lines, f"{len(MISTAKES)} wrong answers; {sum(right)} of {len(right)} right ones accepted"])


if __name__ == "__main__":
    print(table())
