"""Quick questions, without a browser; tests/notebooks/test_in_jupyterlab.py has one."""

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient

from labkit.view import quiz

QUESTION = quiz.Question(
    "Is `a < b`?",
    (quiz.Option("Yes", "It is the one."), quiz.Option("No", "`a < b` is false here.", right=True)),
)
CELL = """
from labkit.view.quiz import Option, Question, ask
ask(Question("Is it?", (Option("Yes", "First " + "reason."), Option("No", "Second " + "reason.", right=True))))
"""


@pytest.fixture
def chosen():
    """``chosen(letter)`` -> what the explanation says once the button with this letter has been clicked."""
    box = quiz.buttons(QUESTION)
    row, explanation = box.children
    assert explanation.value == ""

    def click(letter):
        (button,) = (button for button in row.children if button.description == letter)
        button.click()
        return explanation.value

    return click


def test_the_question_is_a_list_with_letters_that_gives_no_answer():
    assert QUESTION.markdown() == "**Quick question.** Is `a < b`?\n\n- **A.** Yes\n- **B.** No"


def test_choosing_says_in_words_whether_it_is_right_and_why_as_often_as_one_likes(chosen):
    assert "A: Not quite." in (wrong := chosen("A")) and "It is the one." in wrong
    assert "B: Right." in (right := chosen("B")) and "It is the one." not in right
    assert chosen("A") == wrong


def test_an_explanation_is_text_and_not_html(chosen):
    assert "<code>a &lt; b</code> is false here." in chosen("B")


def test_buttons_say_their_option_to_a_screen_reader_and_are_core_widgets():
    box = quiz.buttons(QUESTION)
    row, explanation = box.children
    assert [(button.description, button.tooltip) for button in row.children] == [("A", "Yes"), ("B", "No")]
    assert all(type(w).__module__.startswith("ipywidgets.") for w in (box, row, explanation, *row.children))
    assert all(isinstance(button, ipywidgets.Button) for button in row.children)


def test_in_a_kernel_the_question_stays_as_text_and_nothing_saved_has_an_explanation():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    still, widget = (output.data for output in notebook.cells[0].outputs)
    assert still["text/markdown"] == still["text/plain"] == "**Quick question.** Is it?\n\n- **A.** Yes\n- **B.** No"
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert widget[quiz.WIDGET]["model_id"] in state and widget["text/plain"] == quiz.STILL
    assert not any(explanation in nbformat.writes(notebook) for explanation in ("First reason.", "Second reason."))
