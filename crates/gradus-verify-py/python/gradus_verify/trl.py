"""Rewards for TRL's GRPO and RLOO trainers: `GRPOTrainer(reward_funcs=accuracy_reward, ...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._native import verify_batch

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


def _rewards(completions, references, undecided, kind, tolerance):
    texts = [completion if isinstance(completion, str) else _last_content(completion) for completion in completions]
    verdicts = verify_batch(list(references), texts, kind=kind, form="text", tolerance=tolerance)
    return [undecided if verdict.outcome == "undecided" else float(verdict.correct) for verdict in verdicts]


def _last_content(messages):
    """The last message's text, which may come in parts."""
    content = messages[-1].get("content") if messages else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""
