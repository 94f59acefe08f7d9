"""Rewards for TRL's GRPO and RLOO trainers: `GRPOTrainer(reward_funcs=accuracy_reward, ...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._native import verify, verify_batch

if TYPE_CHECKING:
    from ._native import Kind, Reference, Tolerance

Completion = str | list[dict[str, Any]]


def accuracy_reward(completions: Sequence[Completion], solution: Sequence[Reference], **columns: Any) -> list[float | None]:
    """1 for a right answer, 0 for a wrong or a missing one, None (no reward, the row is left out) where undecided."""
    return _rewards(completions, solution, None, "math", None)


def accuracy_reward_of(
    column: str, *, kind: Kind = "math", tolerance: Tolerance | None = None, undecided: float | None = None
) -> Callable[..., list[float | None]]:
    """A reward for a data set whose reference stands in another column, is of another kind, or has a tolerance.

    `undecided` is the reward where it cannot be told; None leaves the row out.
    """

    def reward(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        return _rewards(completions, columns[column], undecided, kind, tolerance)

    # TRL logs rewards by this name.
    reward.__name__ = f"accuracy_reward_of_{column}"
    return reward


def reward_by_kind(
    completions: Sequence[Completion],
    answers: Sequence[Sequence[str]],
    kind: Sequence[Kind],
    options: Sequence[Sequence[str] | None] | None = None,
    tolerance: Sequence[float | None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The reward for Gradus's own rows (`trl_grpo`), where each question says how its answer is checked.

    Any of its `answers` is right. None (no reward) where undecided, and for code, whose tests nobody runs here.
    """
    none = [None] * len(completions)
    rows = zip(completions, answers, kind, options or none, tolerance or none, strict=True)
    return [_reward_of_row(*row) for row in rows]


def _reward_of_row(completion, answers, kind, options, tolerance):
    if kind == "code" or not answers:
        return None
    verdict = verify(
        list(answers), _text(completion), kind=kind, form="text", tolerance=tolerance, options=list(options or []) or None
    )
    return None if verdict.outcome == "undecided" else float(verdict.correct)


def _rewards(completions, references, undecided, kind, tolerance):
    texts = [_text(completion) for completion in completions]
    verdicts = verify_batch(list(references), texts, kind=kind, form="text", tolerance=tolerance)
    return [undecided if verdict.outcome == "undecided" else float(verdict.correct) for verdict in verdicts]


def _text(completion):
    """The text itself, or that of the last message, which may come in parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""
