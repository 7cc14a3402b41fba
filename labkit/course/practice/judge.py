"""Compare what a student's functions did with what was expected: plain values against plain values.

A blank's *material* is data, made by ``labkit.course.answers`` for one seed:

``{"name", "title", "points", "notebook", "credit": [{"points", "function", "groups", "aspect"}],
"functions": {function: {"parameters": [...], "watched": [...], "cases": [{"group", "arguments",
"expected"}], "mistakes": [{"sentence", "says", "observed": [one for each case]}]}}}``

A row of ``credit`` earns its points if all comparisons that it covers are right: of its function, in its
groups of cases, in its aspect of what was observed, where None covers all. An exercise has neither points nor
credit: it is right or it is not. Nothing here runs a student's code.
"""

import builtins
import math
from dataclasses import dataclass

RELATIVE, ABSOLUTE = 1e-4, 1e-6
EMPTY = "NotImplementedError"
NUMBERS = (
    "float32 tensor of shape ()",
    "float64 tensor of shape ()",
    "int64 tensor of shape ()",
    "a float32",
    "a int64",
)  # as good as a number
EXCEPTIONS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
}
EXCEPTIONS |= {"SystemExit", "nothing came back"}


@dataclass(frozen=True)
class Example:
    """The smallest case that went wrong: expected and got, by aspect."""

    function: str
    parameters: list[str]
    arguments: list
    expected: dict
    got: dict


@dataclass(frozen=True)
class Fault:
    """What one function of a blank gets to hear, and the case that shows it."""

    sentence: str
    example: Example | None = None


@dataclass(frozen=True)
class Verdict:
    """Points for one blank, and a fault for each of its functions that is not right."""

    name: str
    points: float
    of: float
    faults: tuple[Fault, ...] = ()
    empty: bool = False

    @property
    def right(self) -> bool:
        return not self.faults

    @property
    def sentences(self) -> list[str]:
        return [fault.sentence for fault in self.faults]


def equal(expected, got) -> bool:
    """Equal words, or lists of numbers equal to four digits."""
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_close, expected, got))
    return type(expected) is type(got) is str and expected == got


def _close(a, b) -> bool:
    if type(a) in (int, float) and type(b) in (int, float):
        try:
            return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        except OverflowError:  # JSON knows whole numbers that no float can hold
            return False
    return type(a) is type(b) is str and a == b


def compare(expected: dict, got: dict) -> dict[str, bool]:
    """By aspect of ``expected``, whether ``got`` has it. The form counts only where every value is right."""
    if expected.get("form") == "a number" and got.get("form") in NUMBERS:
        got = got | {"form": "a number"}
    right = {aspect: equal(value, got.get(aspect)) for aspect, value in expected.items()}
    if "form" in right:
        right["form"] = all(right.values())
    return right


def same(declared: dict, got: dict, says: str = "") -> bool:
    """Whether an observation shows the declared behaviour; of errors, the type counts and what the
    message ``says`` (alternatives are separated by a bar)."""
    if "raised" in declared or "raised" in got:
        message = got.get("message")
        fits = isinstance(message, str) and any(words in message for words in says.split("|"))
        return declared.get("raised") == got.get("raised") and (fits or not says)
    return declared.keys() == got.keys() and all(equal(declared[aspect], got[aspect]) for aspect in declared)


def judge(material: dict, observed: dict[str, list[dict]], private: bool = False) -> Verdict:
    """The verdict on a blank; ``observed`` holds one observation per case for each function. A ``private``
    one repeats nothing that the student's code chose, such as an exception's name or message: it could
    carry the hidden inputs to whoever reads the sentence."""
    right: dict[tuple[str, str, str], bool] = {}  # by function, group and aspect
    for function, part in material["functions"].items():
        for case, got in zip(part["cases"], _complete(observed.get(function), part["cases"])):
            for aspect, well in compare(case["expected"], got).items():
                key = function, case["group"], aspect
                right[key] = right.get(key, True) and well

    failed = [key for key, well in right.items() if not well]
    wrong = {function for function, _, _ in failed}
    earned = sum(row["points"] for row in material["credit"] if not any(_covers(row, *key) for key in failed))

    faults, empty = [], 0
    for function, part in material["functions"].items():
        if function in wrong:
            got = _complete(observed.get(function), part["cases"])
            case, first = _smallest(part, got)
            example = Example(function, part["parameters"], case["arguments"], case["expected"], first)
            faults.append(Fault(_sentence(function, part, got, first, private), None if private else example))
            empty += first.get("raised") == EMPTY
    return Verdict(material["name"], earned, material["points"], tuple(faults), empty == len(material["functions"]))


def _covers(row: dict, function: str, group: str, aspect: str) -> bool:
    """Whether a row of the credit is about this comparison."""
    groups = row["groups"] or [group]
    return row["function"] in (None, function) and group in groups and row["aspect"] in (None, aspect)


def _complete(observations, cases: list) -> list[dict]:
    """One dictionary a case, whatever came back."""
    given = observations if isinstance(observations, list) else []
    given = [item if isinstance(item, dict) else {} for item in given[: len(cases)]]
    return given + [{"raised": "nothing came back", "message": ""}] * (len(cases) - len(given))


def _sentence(function: str, part: dict, got: list[dict], first: dict, private: bool) -> str:
    """What this mistake deserves to hear: its own sentence if it is a known one."""
    for mistake in part["mistakes"]:
        if all(same(declared, item, mistake["says"]) for declared, item in zip(mistake["observed"], got)):
            return mistake["sentence"]
    match first.get("raised"):
        case "NotImplementedError":
            return f"{function} is still empty."
        case "line left over":
            return f"{function} is filled in, but the line raise NotImplementedError is still there: remove it."
        case "no CUDA device":
            return "The code asks for CUDA, whatever the device of its arguments: leave the data where it is."
        case str(error) if private:
            return f"{function} stops with {error if error in EXCEPTIONS else 'an exception of its own'}."
        case str(error):
            return f"{function} stops with {error}."
    if first.get("form") == "nothing":
        return f"{function} returns nothing: end with return."
    return f"{function} does not do what its docstring says."


def _smallest(part: dict, got: list[dict]) -> tuple[dict, dict]:
    """The failing case with the fewest numbers, and what was observed in it."""
    failing = [
        (case, item) for case, item in zip(part["cases"], got) if not all(compare(case["expected"], item).values())
    ]
    return min(failing, key=lambda pair: len(str(pair[0]["arguments"])))
