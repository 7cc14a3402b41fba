"""Compare what a student's functions did with what was expected: plain values against plain values.

A blank's *material* is data, made by ``labkit.course.blanks`` for one seed:

``{"name", "title", "points", "notebook", "credit": {pattern: points}, "functions": {function:
{"parameters": [...], "watched": [...], "cases": [{"group", "arguments", "expected"}],
"mistakes": [{"sentence", "observed": [one for each case]}]}}}``

A pattern such as ``"*/zero/values"`` (function / group of cases / aspect, shell wildcards) earns
its points if every comparison that it covers is right. Nothing here runs a student's code.
"""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

RELATIVE, ABSOLUTE = 1e-4, 1e-6


@dataclass(frozen=True)
class Example:
    """The smallest case that went wrong: expected and got, by aspect."""

    function: str
    parameters: list[str]
    arguments: list
    expected: dict
    got: dict


@dataclass(frozen=True)
class Verdict:
    """Points for one blank; for each of its functions that is not right, what to say and show."""

    name: str
    points: float
    of: float
    sentences: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    empty: bool = False

    @property
    def right(self) -> bool:
        return self.points == self.of


def equal(expected, got) -> bool:
    """Equal words, or lists of numbers equal to four digits."""
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_close, expected, got))
    return type(expected) is type(got) is str and expected == got


def _close(a, b) -> bool:
    if type(a) in (int, float) and type(b) in (int, float):
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(a) is type(b) is str and a == b


def compare(expected: dict, got: dict) -> dict[str, bool]:
    """By aspect of ``expected``, whether ``got`` has it. The form counts only where every value is right."""
    right = {aspect: equal(value, got.get(aspect)) for aspect, value in expected.items()}
    if "form" in right:
        right["form"] = all(right.values())
    return right


def same(a: dict, b: dict) -> bool:
    """Whether two observations show the same behaviour; of errors, only the type counts."""
    if "raised" in a or "raised" in b:
        return a.get("raised") == b.get("raised")
    return a.keys() == b.keys() and all(equal(a[aspect], b[aspect]) for aspect in a)


def judge(material: dict, observed: dict[str, list[dict]]) -> Verdict:
    """The verdict on a blank; ``observed`` holds one observation a case for each function."""
    right: dict[str, bool] = {}
    for function, part in material["functions"].items():
        for case, got in zip(part["cases"], _complete(observed.get(function), part["cases"])):
            for aspect, well in compare(case["expected"], got).items():
                key = f"{function}/{case['group']}/{aspect}"
                right[key] = right.get(key, True) and well

    earned, wrong = 0, set()
    for pattern, points in material["credit"].items():
        failed = [key for key, well in right.items() if fnmatchcase(key, pattern) and not well]
        earned += 0 if failed else points
        wrong.update(key.partition("/")[0] for key in failed)

    sentences, examples, empty = [], [], []
    for function, part in material["functions"].items():
        if function in wrong:
            got = _complete(observed.get(function), part["cases"])
            sentences.append(_sentence(function, part, got))
            examples += _smallest(function, part, got)
            empty.append(got[0].get("raised") == "NotImplementedError")
    return Verdict(
        material["name"], earned, material["points"], tuple(sentences), tuple(examples), any(empty) and all(empty)
    )


def _complete(observations, cases: list) -> list[dict]:
    """One dictionary a case, whatever came back."""
    given = observations if isinstance(observations, list) else []
    given = [item if isinstance(item, dict) else {} for item in given[: len(cases)]]
    return given + [{"raised": "nothing came back", "message": ""}] * (len(cases) - len(given))


def _sentence(function: str, part: dict, got: list[dict]) -> str:
    """What this mistake deserves to hear: its own sentence if it is a known one."""
    for mistake in part["mistakes"]:
        if all(map(same, mistake["observed"], got)):
            return mistake["sentence"]
    first = next(item for item, case in zip(got, part["cases"]) if not all(compare(case["expected"], item).values()))
    match first.get("raised"):
        case "NotImplementedError":
            return f"{function} is still empty."
        case "no CUDA device":
            return "The code asks for CUDA, whatever the device of its arguments: leave the data where it is."
        case str(error):
            return f"{function} stops with {error}" + (f": {first['message']}" if first.get("message") else ".")
    if first.get("form") == "nothing":
        return f"{function} returns nothing: end with return."
    return f"{function} does not do what its docstring says."


def _smallest(function: str, part: dict, got: list[dict]) -> list[Example]:
    """The failing case with the fewest numbers, as a list of one."""
    failing = [
        (len(str(case["arguments"])), index, case, item)
        for index, (case, item) in enumerate(zip(part["cases"], got))
        if not all(compare(case["expected"], item).values())
    ]
    _, _, case, item = min(failing, key=lambda entry: entry[:2])
    return [Example(function, part["parameters"], case["arguments"], case["expected"], item)]
