"""The adapters, called as the trainers call them.

Where TRL or verl is installed, the names of the arguments are read from its source (nothing of it is imported: that
would need torch); elsewhere they are those of TRL 1.16 and verl 0.9.
"""

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest

from gradus_verify import trl, verl


def source_of(package, *path):
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(found.submodule_search_locations[0], *path)
    return file.read_text() if file.exists() else None


def calls(source, name):
    """Keyword names of each call of a function or method of this name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
            names = {keyword.arg for keyword in node.keywords if keyword.arg}
            if called == name and names:
                found.append(names)
    return found


def chat(text):
    return [{"role": "assistant", "content": text}]


RIGHT, WRONG, NONE = "So it is $\\boxed{\\frac12}$.", "The answer is 0.6.", "<think>I wonder"


def test_trl_gets_a_reward_a_row():
    source = source_of("trl", "trainer", "grpo_trainer.py")
    found = calls(source, "reward_func") if source else []
    names = max(found, key=len, default={"prompts", "completions", "completion_ids"})
    assert {"prompts", "completions"} <= names
    arguments = {name: [None] * 3 for name in names}
    for dress in (chat, str):
        arguments["completions"] = [dress(RIGHT), dress(WRONG), dress(NONE)]
        columns = {"solution": ["0.5"] * 3, "level": [1] * 3, "trainer_state": None, "log_extra": print}
        assert trl.accuracy_reward(**arguments, **columns) == [1.0, 0.0, 0.0]


def test_trl_leaves_undecided_rows_out():
    sentence = "The prism is a right one with a cyclic base"
    arguments = {"completions": [chat(f"The answer is: {sentence}.")], "answer": ["A right prism whose base is inscribed"]}
    reward = trl.accuracy_reward_of("answer", kind="text")
    assert reward(prompts=["?"], **arguments) == [None]
    assert reward.__name__ == "accuracy_reward_of_answer"
    assert trl.accuracy_reward_of("answer", kind="text", undecided=0.5)(**arguments) == [0.5]


def test_trl_reads_content_in_parts():
    parts = [{"type": "text", "text": "\\boxed{1"}, {"type": "image"}, {"type": "text", "text": "2}"}]
    completions = [[{"role": "assistant", "content": parts}], [{"role": "assistant", "content": None}]]
    assert trl.accuracy_reward(completions, ["12", "12"]) == [1.0, 0.0]


def test_trl_rewards_each_row_by_its_kind():
    rows = [
        (RIGHT, ["0.5", "1/2"], "math", [], None),
        (WRONG, ["0.5"], "math", None, None),
        ("It is \\boxed{103}.", ["100"], "math", [], 0.05),
        ("The answer is B.", ["B"], "choice", ["2", "1/2"], None),
        ("The answer is (A).", ["B"], "choice", ["2", "1/2"], None),
        ("```python\nprint(1)\n```", [], "code", [], None),
    ]
    texts, answers, kind, options, tolerance = (list(column) for column in zip(*rows))
    columns = {"answers": answers, "kind": kind, "options": options, "tolerance": tolerance, "log_metric": print}
    rewards = trl.reward_by_kind(prompts=["?"] * 6, completions=[chat(text) for text in texts], **columns)
    assert rewards == [1.0, 0.0, 1.0, 1.0, 0.0, None]
    assert trl.reward_by_kind([RIGHT], [["0.5"]], ["math"]) == [1.0]


@pytest.mark.parametrize("manager", ["naive.py", "dapo.py"])
def test_verl_gets_a_score_a_row(manager):
    source = source_of("verl", "workers", "reward_manager", manager)
    names = {"data_source", "solution_str", "ground_truth", "extra_info"}
    for found in calls(source, "compute_score") if source else [names]:
        assert names <= found
        inspect.signature(verl.compute_score).bind(**dict.fromkeys(found))
    for text, score in ((RIGHT, 1.0), (WRONG, 0.0), (NONE, 0.0)):
        result = verl.compute_score(data_source="x", solution_str=text, ground_truth="0.5", extra_info={"index": 3})
        assert result["score"] == score
        assert set(result) == {"score", "acc", "pred", "verdict", "undecided"}
        assert None not in result.values()
    near = verl.compute_score("x", "It is \\boxed{103}.", "100", {"tolerance": 0.05})
    assert near["score"] == 1.0


def test_verl_gets_the_scores_of_a_batch():
    source = source_of("verl", "workers", "reward_manager", "batch.py")
    names = {"data_sources", "solution_strs", "ground_truths", "extra_infos"}
    for found in calls(source, "compute_score") if source else [names]:
        assert names <= found
    rows = {"data_sources": ["x"] * 2, "solution_strs": [RIGHT, WRONG], "ground_truths": ["1/2", "1/2"]}
    plain = verl.compute_score_batch(**rows, extra_infos=[{"rollout_reward_scores": {}}, None])
    loose = verl.compute_score_batch(**rows, extra_infos=[{}, {"tolerance": 0.3}])
    assert [score["score"] for score in plain] == [1.0, 0.0]
    assert [score["score"] for score in loose] == [1.0, 1.0]
