"""What right and wrong answers do, as plain data: by executing the complete notebooks' solutions and
the declared mistakes on inputs drawn from a seed.

``python -m labkit.course.answers [N]`` writes the data of lab N, or of all, for the visible seed: one file a lab,
which travel with the student edition. (Another Python rounds the last digit of a sum in another way.) Not in the student edition: this module, which reads the answers.
"""

import json
import random
import re
import sys
from dataclasses import asdict
from functools import cache

import nbformat

from labkit import settings
from labkit.course import blanks
from labkit.course.blanks import Blank
from labkit.course.labs import Lab, chosen
from labkit.course.practice import check, probe
from labkit.course.practice.judge import judge

NOTEBOOKS = settings.REPOSITORY / "notebooks"
VISIBLE_SEED = 0
DRAWS = 100  # of inputs, until all mistakes can be told apart


def function_source(function: str, parameters: list[str], body: str) -> str:
    """A function with this body, as a student would have typed it."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"def {function}({', '.join(parameters)}):\n{lines}"


@cache
def solution(name: str) -> str:
    """The source of a blank's cell in the complete notebook, answers in."""
    blank = blanks.named(name)
    cells = nbformat.read(NOTEBOOKS / f"{blank.notebook}.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if cell.get("id") == blank.cell)
    return unmarked(source) + "\n"


def unmarked(source: str) -> str:
    """A cell's source without the lines that mark its solution regions."""
    return re.sub(r"^ *### (BEGIN|END) SOLUTION\n", "", source + "\n", flags=re.MULTILINE).removesuffix("\n")


def material(name: str, seed) -> dict:
    """The blank as plain data: its cases for ``seed``, what the right answer does in each of them, and
    what each declared mistake does. Inputs in which a mistake looks right, or like another, are drawn again."""
    drawn = (_drawn(blanks.named(name), random.Random(f"{name} {seed} {number}")) for number in range(DRAWS))
    chosen = next(filter(_telling, drawn))
    for part in chosen["functions"].values():
        for observation in (item for mistake in part["mistakes"] for item in mistake["observed"]):
            observation.pop("message", None)  # another version of torch may word it in another way
    return chosen


def _drawn(blank: Blank, rng: random.Random) -> dict:
    functions = {
        function: {"parameters": parameters, "watched": list(blank.watched), "cases": [], "mistakes": []}
        for function, parameters in blank.functions.items()
    }
    for function, group, arguments in blank.cases(rng):
        functions[function]["cases"].append({"group": group, "arguments": arguments})
    answers = probe.functions_in([solution(blank.name)], list(functions))
    for function, observed in probe.observe_all(answers, functions).items():
        for case, expected in zip(functions[function]["cases"], observed):
            case["expected"] = expected
    for mistake in blank.mistakes:
        function = mistake.function or next(iter(functions))
        part = functions[function]
        wrong = probe.functions_in([function_source(function, part["parameters"], mistake.body)], [function])
        observed = probe.observe_all(wrong, {function: part})[function]
        part["mistakes"].append({"sentence": mistake.sentence, "says": mistake.says, "observed": observed})
    facts = {key: getattr(blank, key) for key in ("name", "title", "notebook", "points")}
    return facts | {"credit": list(map(asdict, blank.credit)), "functions": functions}


def _telling(material: dict) -> bool:
    """Whether each declared mistake fails, and is told its own sentence."""
    for function, part in material["functions"].items():
        alone = material | {"functions": {function: part}}
        for mistake in part["mistakes"]:
            if judge(alone, {function: mistake["observed"]}).sentences != [mistake["sentence"]]:
                return False
    return True


def visible_text(lab: Lab) -> str:
    """The content of the lab's file of visible examples: the material of every blank and exercise for the visible seed."""
    materials = {name: material(name, VISIBLE_SEED) for name in blanks.declared(lab)}
    return json.dumps(materials, ensure_ascii=False, indent=0) + "\n"


if __name__ == "__main__":
    for lab in chosen(sys.argv[1] if sys.argv[1:] else "all"):
        (check.VISIBLE / f"{lab.name}.json").write_text(visible_text(lab), encoding="utf-8")
