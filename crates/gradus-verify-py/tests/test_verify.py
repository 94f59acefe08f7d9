"""The functions of the module, against the built wheel."""

import doctest
import threading
import time

import pytest

import gradus_verify
from gradus_verify import extract, verify, verify_batch


def test_the_doctest_of_the_package_holds():
    assert doctest.testmod(gradus_verify).failed == 0


@pytest.mark.parametrize(
    ("reference", "answer", "outcome"),
    [
        (r"\frac{1}{2}", "0.5", "correct"),
        ("0.5", "0.51", "incorrect"),
        (3, r"\boxed{3}", "correct"),
        (0.25, "1/4", "correct"),
        (["7", "8"], "8", "correct"),
        ("x", "", "no_answer"),
        ("1.8", r"\sqrt{\pi}", "undecided"),
    ],
)
def test_outcomes(reference, answer, outcome):
    verdict = verify(reference, answer)
    assert verdict.outcome == outcome, verdict
    assert verdict.correct is (outcome == "correct")


def test_a_verdict_tells_what_it_found_and_why():
    response = "Für $x$ gilt: die Lösung ist \\boxed{7}."
    verdict = verify("8", response, form="text")
    start, end = verdict.span
    assert (verdict.extracted, response[start:end], verdict.rule) == ("7", "7", "boxed")
    assert (verdict.outcome, verdict.method, verdict.proof) == ("incorrect", "integer=integer", "certified")
    assert verdict.witness and verdict.explanation and "incorrect" in repr(verdict)
    assert extract(response).text == "7"
    assert extract("<think>hm") is None


def test_a_probabilistic_proof_says_how_many_bits():
    verdict = verify(r"\frac{\sqrt2}{2}", r"\sin 45^\circ")
    assert verdict.proof == "probabilistic" and verdict.bits > 100


def test_a_verdict_has_no_truth_value():
    with pytest.raises(TypeError, match="four outcomes"):
        bool(verify("1", "2"))


def test_tolerance_and_options():
    assert verify("100", "103", tolerance=0.05).correct
    assert verify("100", "103", tolerance={"relative": 0.05}).correct
    assert not verify("100", "103", tolerance={"absolute": 2}).correct
    assert verify("B", "one half", kind="choice", options=["two", "one half"]).correct


@pytest.mark.parametrize(
    ("arguments", "settings", "error"),
    [
        (("1", "1"), {"kind": "essay"}, ValueError),
        (("1", "1"), {"form": "full"}, ValueError),
        (("1", "1"), {"tolerance": -1}, ValueError),
        (("1", "1"), {"tolerance": {"share": 1}}, ValueError),
        (([], "1"), {}, ValueError),
        ((None, "1"), {}, TypeError),
        ((True, "1"), {}, TypeError),
        (("1", 1), {}, TypeError),
    ],
)
def test_what_cannot_be_meant_is_an_error(arguments, settings, error):
    with pytest.raises(error):
        verify(*arguments, **settings)


def test_a_batch_keeps_its_order_on_any_number_of_threads():
    references = [str(k) for k in range(1000)]
    answers = [str(k if k % 3 else k + 1) for k in range(1000)]
    expected = ["correct" if k % 3 else "incorrect" for k in range(1000)]
    for threads in (None, 1, 2, 8):
        verdicts = verify_batch(references, answers, threads=threads)
        assert [verdict.outcome for verdict in verdicts] == expected
    assert verify_batch([], []) == []
    with pytest.raises(ValueError, match="2 references, 1 answers"):
        verify_batch(["1", "2"], ["1"])


def test_a_batch_leaves_the_interpreter_to_other_threads():
    slow = [r"\sum_{k=1}^{2900}\frac{1}{k^3+1}"] * 400
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.monotonic()
    verify_batch(slow, ["1.5"] * len(slow), threads=1)
    took = time.monotonic() - start
    done.set()
    ticker.join()
    within = [at for at in ticks if start < at < start + took]
    # With the lock held there would be none but at the edges.
    assert len(within) > 5, f"{len(within)} ticks in {took:.3f} s"


def test_it_works_outside_of_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(verify("1", "2").outcome))
    thread.start()
    thread.join()
    assert found == ["incorrect"]
