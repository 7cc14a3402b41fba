"""A quick question in a notebook: options as buttons, an explanation for each. Core ipywidgets only, as the prune
explorer; question and options are Markdown beside them, so that they can be read without a kernel and on paper."""

import html
import re
from dataclasses import dataclass
from string import ascii_uppercase

WIDGET = "application/vnd.jupyter.widget-view+json"
STILL = "Buttons stand here while the notebook runs: choose an option and see why it is right or not."


@dataclass(frozen=True)
class Option:
    """``why``: what is shown once the option is chosen; plain text, with code between backticks."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """``text`` and the options' texts are Markdown."""

    text: str
    options: tuple[Option, ...]

    def markdown(self) -> str:
        """The question and its options, a letter each; neither says which is right."""
        rows = [f"- **{letter}.** {option.text}" for letter, option in zip(ascii_uppercase, self.options)]
        return "\n".join([f"**Quick question.** {self.text}", "", *rows])


def ask(question: Question) -> None:
    """Display the question, and below it a button for each option. Choosing one shows its explanation, as often as
    one likes; nothing is counted or kept."""
    from IPython.display import display

    text = question.markdown()
    display({"text/markdown": text, "text/plain": text}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": buttons(question).model_id}
    display({WIDGET: view, "text/plain": STILL}, raw=True)


def buttons(question: Question):
    """The ``ipywidgets.VBox`` of a row of buttons and an explanation, which is empty until one is chosen."""
    import ipywidgets

    explanation = ipywidgets.HTML()

    def button(letter: str, option: Option):
        widget = ipywidgets.Button(description=letter, tooltip=option.text, layout=ipywidgets.Layout(width="4em"))
        widget.on_click(lambda _: setattr(explanation, "value", explained(letter, option)))
        return widget

    row = ipywidgets.HBox([button(letter, option) for letter, option in zip(ascii_uppercase, question.options)])
    return ipywidgets.VBox([row, explanation])


def explained(letter: str, option: Option) -> str:
    """What is shown when an option is chosen, as HTML."""
    sign = "Right." if option.right else "Not quite."
    why = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(option.why))
    return f'<div style="line-height: 1.5; max-width: 50em"><b>{letter}: {sign}</b> {why}</div>'
