"""Scores of chains of thought by size of the teacher, paired by question: for examples/math5_sizes.yaml.

    python scripts/by_size.py RUN_DIR        (needs numpy and pyarrow)

For each family, each score of a model is held against the smallest model's on the questions that both solved: the mean
difference, and the same with length controlled, which is the intercept at equal length of a regression of the
differences on the differences of log length. Intervals: 95 %, percentiles of 2,000 resamples of the questions.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

FAMILIES = {
    "Qwen2.5": ["3B", "7B", "32B", "72B"],
    "Llama-3.1": ["8B", "70B", "405B"],
}
SCORES = ["length", "rv", "cd", "mean_nll", "rsr", "naturalness"]
RESAMPLES = 2000
FEWEST = 5


def main():
    tables = Path(sys.argv[1]) / "tables"
    cots = pq.read_table(tables / "cots.parquet", columns=["cot_id", "verdict"]).to_pylist()
    right = {cot["cot_id"] for cot in cots if cot["verdict"] == "correct"}
    rows = pq.read_table(tables / "annotations.parquet").to_pylist()
    rows = [row for row in rows if row["cot_id"] in right]
    print("| family | size | against | score | questions | difference | at equal length |")
    print("|---|---|---|---|---|---|---|")
    for family, sizes in FAMILIES.items():
        models = {size: of_model(rows, family, size) for size in sizes}
        for size in sizes[1:]:
            for score in SCORES:
                compare(family, sizes[0], size, score, models[sizes[0]], models[size])


def of_model(rows, family, size):
    """The annotations of one model, by question."""
    return {
        row["question_id"]: row
        for row in rows
        if family in row["teacher"] and f"-{size}-" in row["teacher"]
    }


def compare(family, small, size, score, base, other):
    """Prints one line: the larger model minus the smallest one of its family."""
    shared = sorted(
        question
        for question in base.keys() & other.keys()
        if all(side[question][score] is not None for side in (base, other))
    )
    if len(shared) < FEWEST:
        if shared:
            print(f"| {family} | {size} | {small} | {score} | {len(shared)} | too few | |")
        return
    value = np.log if score == "length" else np.asarray
    difference = np.array([value(other[q][score]) - value(base[q][score]) for q in shared])
    longer = np.array([np.log(other[q]["length"]) - np.log(base[q]["length"]) for q in shared])
    raw = interval(difference, longer, lambda d, _: d.mean())
    held = "" if score == "length" else interval(difference, longer, at_equal_length)
    name = "log length" if score == "length" else score
    print(f"| {family} | {size} | {small} | {name} | {len(shared)} | {raw} | {held} |")


def at_equal_length(difference, longer):
    """Intercept of the least-squares line of the differences on those of log length."""
    design = np.column_stack([np.ones_like(longer), longer])
    return np.linalg.lstsq(design, difference, rcond=None)[0][0]


def interval(difference, longer, estimate):
    """An estimate with its bootstrap interval over questions."""
    rng = np.random.default_rng(0)
    n = len(difference)
    picks = (rng.integers(0, n, n) for _ in range(RESAMPLES))
    resampled = [estimate(difference[pick], longer[pick]) for pick in picks]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{estimate(difference, longer):+.3f} ({low:+.3f} to {high:+.3f})"


main()
