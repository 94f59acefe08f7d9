from collections.abc import Mapping, Sequence
from typing import Literal, final

Kind = Literal["math", "choice", "text"]
Form = Literal["bare", "text"]
Reference = str | int | float | Sequence[str | int | float]
Tolerance = float | Mapping[Literal["relative", "absolute"], float]

RULES_VERSION: str
"""Version of the rules: verdicts of one version are the same on every machine."""

@final
class Extracted:
    """The final answer in a response."""

    text: str
    span: tuple[int, int]
    """Characters of the response, as in `response[start:end]`."""
    rule: str

@final
class Verdict:
    """What was decided, and why. It has no truth value: four outcomes are not two."""

    outcome: Literal["correct", "incorrect", "no_answer", "undecided"]
    correct: bool
    """Whether the outcome is `correct`."""
    extracted: str | None
    rule: str | None
    """Which rule found the final answer."""
    span: tuple[int, int] | None
    method: str
    """How both sides were read, for example `fraction=decimal`."""
    proof: Literal["exact", "certified", "probabilistic"] | None
    bits: int | None
    """Agreement in bits, for a probabilistic proof."""
    witness: str | None
    explanation: str

def verify(
    reference: Reference,
    answer: str,
    *,
    kind: Kind = "math",
    form: Form = "bare",
    tolerance: Tolerance | None = None,
    options: Sequence[str] | None = None,
) -> Verdict:
    """Compare one answer with its reference, or with several accepted ones.

    `form`: `bare` for a final answer as it stands, `text` for a full response. `tolerance`: a share of the reference, or
    `{"absolute": distance}`. `options`: texts of the options A, B, C ... for `kind="choice"`.
    """

def verify_batch(
    references: Sequence[Reference],
    answers: Sequence[str],
    *,
    kind: Kind = "math",
    form: Form = "bare",
    tolerance: Tolerance | None = None,
    options: Sequence[Sequence[str] | None] | None = None,
    threads: int | None = None,
) -> list[Verdict]:
    """Compare many answers, each with its reference; verdicts come in the same order.

    The interpreter's lock is released. `threads`: all cores by default; the verdicts do not depend on it.
    """

def extract(response: str, kind: Kind = "math") -> Extracted | None:
    """The final answer of a response, or None if it holds none."""
