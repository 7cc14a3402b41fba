"""JupyterLab, with formgrader or without, and a headless Chromium that looks at it: for tests and for
docs/make_pictures.py.

Both run with folders of their own, on localhost; the browser can reach nothing else.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
from needs import BROWSERS

from labkit.course import labs
from labkit.course.grading import gradebook

LAB = labs.named(1)
PATIENCE = 60  # seconds, for anything that usually takes one


def formgrader(course: Path, folder: Path):
    """``served`` JupyterLab as ``labkit formgrader`` starts it."""
    return served(gradebook.formgrader_command(course, LAB), course, folder)


def jupyterlab(notebooks: Path, folder: Path):
    """``served`` JupyterLab on a folder of notebooks; its pages have the application as ``window.jupyterapp``."""
    command = [sys.executable, "-m", "jupyter", "lab", "--LabApp.expose_app_in_browser=True"]
    return served([*command, f"--ServerApp.root_dir={notebooks}"], notebooks, folder)


@contextmanager
def served(command: list[str], root: Path, folder: Path):
    """A server that runs in the folder ``root``; gives ``address(path)``, which makes URLs that are logged in.
    ``folder`` takes Jupyter's settings and its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    options = {"IdentityProvider.token": token, "ServerApp.port": port, "ServerApp.port_retries": 0}
    options |= {"ServerApp.ip": "127.0.0.1", "ServerApp.open_browser": False, "ServerApp.allow_root": True}
    command = [*command, *(f"--{name}={value}" for name, value in options.items())]
    log = folder / "server.log"
    with open(log, "wb") as file:
        environment = {**os.environ, **own, "IPYTHONDIR": str(folder / "ipython")}
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=file)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, log)
        yield lambda path: f"http://127.0.0.1:{port}{path}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return urllib.request.urlopen(url, timeout=PATIENCE).close()
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}") from None
            time.sleep(0.1)


@contextmanager
def chromium(folder: Path, width: int = 1200, height: int = 900):
    """A headless Chromium driven by selenium, with its profile in ``folder``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for argument in (
        "--headless=new",
        "--no-sandbox",  # pages of our own making only, and tests may run as root
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={folder}",
        f"--window-size={width},{height}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def until(driver, script: str):
    """Wait until the JavaScript expression ``script`` is true on the page, and return its value."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, PATIENCE, 0.05).until(lambda page: page.execute_script(f"return {script}"), script)


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook with a code cell for each source, for this Python."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def run_notebook(driver, address, name: str) -> None:
    """Open a notebook of ``jupyterlab`` alone on the page, and set all its cells going."""
    driver.get(address(f"/doc/tree/{name}"))
    until(driver, "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'")
    driver.execute_script("jupyterapp.commands.execute('notebook:run-all-cells')")


def open_submission(driver, address, notebook: str, student: str) -> None:
    """Go the TA's way from a notebook's list of submissions to the page that grades one student's."""
    driver.get(address(f"/formgrader/gradebook/{LAB.name}/{notebook}"))
    until(driver, "typeof models == 'object' && models.loaded")
    link = until(driver, f"$('a.name-shown').filter((_, a) => a.text == {student!r})[0].href")
    driver.get(link)
    until(driver, "formgrader.grades && formgrader.grades.loaded && formgrader.comments.loaded")


def enter(driver, element: str, text: str) -> None:
    """Type ``text`` into the field with this id, leave it, and wait until formgrader has saved it."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    field = driver.find_element(By.ID, element)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
    driver.execute_script("window.saved = 0; $(document).on('finished_saving', () => { window.saved += 1 })")
    field.send_keys(text + Keys.TAB)
    until(driver, "window.saved > 0 && $.active == 0")
