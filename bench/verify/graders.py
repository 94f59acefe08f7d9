"""Graders behind one protocol: a JSON row a line in, a JSON row a line out; an empty line flushes.

`python graders.py math-verify|math-verify-best|strings`. A row is
{"id", "reference", "answer", "form": "bare"|"text", "kind": "math"|"choice"}; the reply
{"id", "verdict": "correct"|"incorrect", "parsed": bool}, where `parsed` says whether the reference was read as something
else than a string.
"""

import json
import re
import sys


def math_verify(best):
    """Math-Verify as it comes, or in its best configuration."""
    import logging

    logging.disable(logging.CRITICAL)
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

    usual = [LatexExtractionConfig(), ExprExtractionConfig()]
    letters = [StringExtractionConfig(strings=tuple("ABCDEFGHIJ")), *usual]

    def dressed(text):
        if "$" in text or "\\boxed" in text or "\\[" in text or "\\(" in text:
            return text
        return f"\\boxed{{{text}}}" if best else f"${text}$"

    def grade(row):
        choice = best and row["kind"] == "choice"
        config = letters if choice else usual
        answer = row["answer"] if row["form"] == "text" else dressed(row["answer"])
        reference = row["reference"] if choice else dressed(row["reference"])
        gold = parse(reference, extraction_config=config, parsing_timeout=5)
        found = parse(answer, extraction_config=config, parsing_timeout=5)
        right = verify(gold, found, allow_set_relation_comp=best, timeout_seconds=5)
        return right, any(not isinstance(value, str) for value in gold)

    return grade


def strings():
    """What many harnesses do: the last box, a few rewritings, equality of strings. An anchor for speed."""
    dropped = re.compile(r"\\left|\\right|\\!|\\,|\\;|\\ |\\quad|\$|\\%|%|\\text\{\s*[a-z]+\s*\}$|\^\{?\\circ\}?|\s")
    fraction = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
    number = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

    def box(text):
        start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
        if start < 0:
            return None
        start = text.index("{", start) + 1
        depth = 1
        for end in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[start:end]
        return None

    def normal(text):
        text = fraction.sub(lambda m: f"{m[1] or m[2]}/{m[3] or m[4]}", dropped.sub("", text))
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text).rstrip(".")
        text = re.sub(r"^[a-zA-Z]=", "", text)
        return re.sub(r"^\.(?=\d)", "0.", re.sub(r"\.0+$", "", text))

    def final(row):
        text = row["answer"]
        if row["form"] == "bare":
            return box(text) or text
        text = text.rsplit("</think>", 1)[-1]
        inner = box(text)
        if inner is not None:
            return inner
        if row["kind"] == "choice":
            found = re.findall(r"\b([A-J])\b", text)
        else:
            found = number.findall(text)
        return found[-1] if found else text

    def grade(row):
        reference = normal(box(row["reference"]) or row["reference"])
        return reference == normal(final(row)), False

    return grade


def main():
    name = sys.argv[1]
    grade = strings() if name == "strings" else math_verify(best=name == "math-verify-best")
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "\n":
            sys.stdout.flush()
            continue
        row = json.loads(line)
        try:
            right, parsed = grade(row)
        except Exception:  # what a training loop would count as wrong
            right, parsed = False, False
        verdict = "correct" if right else "incorrect"
        sys.stdout.write(json.dumps({"id": row["id"], "verdict": verdict, "parsed": parsed}) + "\n")


main()
