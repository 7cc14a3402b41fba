"""The widgets of the lab as a student meets them: in JupyterLab, in a real browser, by keyboard."""

import browser
import nbformat
import needs

from labkit.course import release
from labkit.course.practice import ask

QUESTION = "zero-gamma"
ASKING = f'from labkit.course import ask\n\nask("{QUESTION}")'
TEXT = "document.querySelector('.jp-Notebook').innerText"
EXPLORING = """
import torch

from labkit import models, slimming
from labkit.records import Record


class Run(Record):
    def gammas(self):
        layers = models.convolutions(models.build(self.specification))
        return [{name: torch.linspace(0, 1, conv.out_channels) for name, (conv, _) in layers.items()}]


specification = models.Specification("vgg", (1, 1), (16, 32), 10, 32)
slimming.prune_explorer(Run("sparsity", {"lambda": 0.1}, specification.to_dict()))
"""

EDITING = """
from pathlib import Path

import torch

from labkit import front, models, pruning
from labkit.data import Dataset, Images, shapes

pixels, labels = (torch.from_numpy(array) for array in shapes.generate(60, seed=1))
images = Images(pixels, labels)
few = Dataset("few", shapes.CLASSES, images[:40], images[40:50], images[50:])
model = models.build(models.named("vgg11", 0.1), seed=0).eval()
front.editor(model, pruning.filter_norms(model), few, Path("plans"))
"""


@needs.browser
def test_a_slider_of_the_editor_is_moved_a_plan_tried_and_saved(tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    (tmp_path / "notebooks").mkdir()
    browser.write_notebook(tmp_path / "notebooks" / "editor.ipynb", EDITING)
    with browser.jupyterlab(tmp_path / "notebooks", tmp_path) as address, browser.chromium(tmp_path / "chrome") as page:
        browser.run_notebook(page, address, "editor.ipynb")
        browser.until(page, f"{TEXT}.includes('MACs (100.0%)')")
        page.find_element(By.CLASS_NAME, "noUi-handle").send_keys(Keys.END)
        browser.until(page, f"!{TEXT}.includes('MACs (100.0%)') && {TEXT}.includes(' MACs (')")
        accuracy, save = page.find_elements(By.CLASS_NAME, "jupyter-button")
        accuracy.send_keys(Keys.SPACE)
        browser.until(page, f"{TEXT}.includes('without training: ')")
        save.send_keys(Keys.SPACE)
        browser.until(page, f"{TEXT}.includes('saved as my-plan.json')")
    assert (tmp_path / "notebooks" / "plans" / "my-plan.json").exists()


@needs.browser
def test_a_question_is_answered_and_the_explorer_moved_by_keyboard(tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    question = ask.questions()[QUESTION]
    (tmp_path / "notebooks").mkdir()
    browser.write_notebook(tmp_path / "notebooks" / "widgets.ipynb", ASKING, EXPLORING)
    with browser.jupyterlab(tmp_path / "notebooks", tmp_path) as address, browser.chromium(tmp_path / "chrome") as page:
        browser.run_notebook(page, address, "widgets.ipynb")

        browser.until(page, f"document.querySelectorAll('.jupyter-button').length == {len(question.options)}")
        assert question.text in text(page)
        assert not any(sign in text(page) for sign in ("Right.", "Not quite."))
        for letter, option, button in zip(
            "ABCD", question.options, page.find_elements(By.CLASS_NAME, "jupyter-button")
        ):
            button.send_keys(Keys.SPACE)
            sign = "Right." if option.right else "Not quite."
            browser.until(page, f"{TEXT}.includes('{letter}: {sign}')")
            assert option.why in text(page)

        picture = "document.querySelector('.jupyter-widgets img')?.src"
        before = browser.until(page, picture)
        page.find_element(By.CLASS_NAME, "noUi-handle").send_keys(Keys.RIGHT)
        browser.until(page, f"{picture} != {before!r}")


@needs.browser
def test_the_set_up_cell_is_folded_and_says_that_it_has_nothing_to_do(tmp_path):
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "first.ipynb"
    browser.write_notebook(path, "print(6 * 7)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, release.setup_cell(release.course_at("someone/pruning-lab", "v1")))
    nbformat.write(notebook, path)
    with browser.jupyterlab(tmp_path / "notebooks", tmp_path) as address, browser.chromium(tmp_path / "chrome") as page:
        browser.run_notebook(page, address, "first.ipynb")
        browser.until(page, f"{TEXT}.includes('Nothing to set up') && {TEXT}.includes('42')")
        assert "subprocess" not in text(page) and "6 * 7" in text(page)
        assert page.execute_script("return document.querySelectorAll('.jp-InputPlaceholder').length") == 1


def text(page) -> str:
    return page.execute_script(f"return {TEXT}")
