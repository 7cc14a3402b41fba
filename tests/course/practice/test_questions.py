"""Quick questions of all labs: complete, found by name, and silent about the answer until somebody chooses."""

import tomllib

import pytest

from labkit.course import labs
from labkit.course.practice import ask
from labkit.view import quiz

FILES = sorted(ask.QUESTIONS.glob("*.toml"))
TWO = '[[{name}.options]]\ntext = "a"\nwhy = "x"\nright = {first}\n[[{name}.options]]\ntext = "b"\nwhy = "y"\nright = {second}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of ``questions/``."""
    monkeypatch.setattr(ask, "QUESTIONS", tmp_path)
    ask.questions.cache_clear()
    yield tmp_path
    ask.questions.cache_clear()


def written(folder, lab, name, first="true", second="false"):
    (folder / f"{lab}.toml").write_text(f'[{name}]\ntext = "?"\n' + TWO.format(name=name, first=first, second=second))


@pytest.mark.parametrize("name", ask.questions())
def test_each_question_has_one_right_option_and_explains_every_option(name):
    question = ask.questions()[name]
    assert sum(option.right for option in question.options) == 1
    assert 3 <= len(question.options) <= 4 and question.text.endswith("?")
    for option in question.options:
        assert option.text and len(option.why) > 30 and option.why[-1] in ".)"
    for texts in ([option.text for option in question.options], [option.why for option in question.options]):
        assert len(texts) == len(set(texts))


@pytest.mark.parametrize("name", ask.questions())
def test_what_is_shown_and_saved_before_choosing_gives_no_answer(name):
    question = ask.questions()[name]
    row, explanation = quiz.buttons(question).children
    shown = question.markdown() + str([button.get_state() for button in row.children]) + explanation.value
    assert not any(option.why in shown for option in question.options)
    states = [button.get_state() for button in row.children]
    alike = [
        {k: v for k, v in state.items() if k not in ("description", "layout", "style", "tooltip")} for state in states
    ]
    assert all(state == alike[0] for state in alike)


def test_the_right_option_has_not_always_the_same_letter():
    places = [[option.right for option in question.options].index(True) for question in ask.questions().values()]
    assert max(map(places.count, places)) <= len(places) / 2


def test_no_two_files_share_a_name_and_each_belongs_to_a_lab():
    names = [name for file in FILES for name in tomllib.loads(file.read_text(encoding="utf-8"))]
    assert len(names) == len(set(names)) and set(names) == set(ask.questions())
    assert {file.stem for file in FILES} <= {lab.name for lab in labs.LABS}


def test_a_question_is_found_by_name_in_any_lab(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(quiz, "ask", shown.append)
    written(folder, "lab1", "one")
    written(folder, "lab2", "two", "false", "true")
    ask.ask("two")
    assert [option.right for option in shown[0].options] == [False, True]


def test_a_wrong_name_is_refused_with_the_names(folder, refused):
    written(folder, "lab1", "one")
    written(folder, "lab2", "two")
    with refused("'thre'", "one, two"):
        ask.ask("thre")


@pytest.mark.parametrize(("first", "second", "number"), [("true", "true", 2), ("false", "false", 0)])
def test_not_exactly_one_right_option_is_refused(folder, refused, first, second, number):
    written(folder, "lab7", "odd-one", first, second)
    with refused("lab7.toml", "'odd-one'", f"{number} options"):
        ask.questions()
