"""Scores for verl: `reward.custom_reward_function.path=pkg://gradus_verify.verl`, `.name=compute_score`."""

from typing import Any

from ._native import Verdict, verify, verify_batch


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, **kwargs: Any
) -> dict[str, float | bool | str]:
    """1 for a right answer, else 0, with what verl logs beside it.

    verl has no score for "cannot tell": an undecided answer scores 0 and is marked by `verdict` and `undecided`.
    `extra_info` may hold `kind`, `tolerance` and `options`.
    """
    info = extra_info or {}
    settings = {name: info[name] for name in ("kind", "tolerance", "options") if info.get(name) is not None}
    return _score(verify(ground_truth, solution_str, form="text", **settings))


def compute_score_batch(
    data_sources: list[str],
    solution_strs: list[str],
    ground_truths: list[Any],
    extra_infos: list[dict[str, Any] | None],
    **kwargs: Any,
) -> list[dict[str, float | bool | str]]:
    """The same for verl's reward manager `batch`, on all cores where no row has settings of its own."""
    plain = not any(info and {"kind", "tolerance", "options"} & info.keys() for info in extra_infos)
    if plain:
        return [_score(verdict) for verdict in verify_batch(list(ground_truths), list(solution_strs), form="text")]
    rows = zip(data_sources, solution_strs, ground_truths, extra_infos, strict=True)
    return [compute_score(*row) for row in rows]


def _score(verdict: Verdict) -> dict[str, float | bool | str]:
    # The same keys for every row, and no None: verl makes arrays of them.
    return {
        "score": float(verdict.correct),
        "acc": verdict.correct,
        "pred": verdict.extracted or "",
        "verdict": verdict.outcome,
        "undecided": verdict.outcome == "undecided",
    }
