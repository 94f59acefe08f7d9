#!/usr/bin/env python3
"""Check quickstart.jsonl without the program that wrote it.

Every answer is found again from the text of its question, by another route
than the generator's: counting, trying all cases, exact fractions, simulation.
A question that no rule or more than one rule understands is a failure, so
nothing passes unread. Facts that cannot be computed (legs of a spider) are
compared with a second table, written by hand. Code: the solution must pass its
tests, agree with a second implementation on drawn inputs, and useless programs
must fail.

    python3 check_bank.py         exit code 0 if all is right, 1 if not
"""

import datetime
import itertools
import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

from check_code import check_code
from check_rules import RULES, calculate, cell_count, exact, is_prime, number, real, week, year

HERE = Path(__file__).parent
FIELDS = ["id", "kind", "question", "options", "answer", "tests", "level", "subject", "meta"]


# ---- Choices: a rule per question that says of any option whether it is right

def same_function(formula, other):
    code = re.sub(r"(\d)x", r"\1*x", formula).replace(" e^x", "*E").replace("^", "**")
    return all(math.isclose(eval(code, {"x": x, "E": math.exp(x)}), other(x), rel_tol=1e-6) for x in (0.3, 1.7, -0.9, 2.2))


def prize_fits(option):
    labels = lambda place: [place != 1, place != 2, place == 2]
    places = [place for place in (1, 2, 3) if sum(labels(place)) == 1]
    return option == (f"box {places[0]}" if len(places) == 1 else "this cannot be decided")


def follows(option):
    """Whether a sentence holds in every world of up to 3 things in which the two premises hold."""
    kinds = list(itertools.product((False, True), repeat=3))  # cat, animal, black
    says = {
        "Every cat is an animal.": lambda w: all(a for c, a, _ in w if c),
        "Some cats are black.": lambda w: any(c and b for c, _, b in w),
        "All animals are cats.": lambda w: all(c for c, a, _ in w if a),
        "No cat is black.": lambda w: not any(c and b for c, _, b in w),
    }[option]
    worlds = [w for n in (1, 2, 3) for w in itertools.product(kinds, repeat=n)
              if all(a for c, a, _ in w if c) and any(a and b for _, a, b in w)]
    return all(map(says, worlds))


def generators(modulus):
    return sum(len({g * k % modulus for k in range(modulus)}) == modulus for g in range(modulus))


AU = {"Mercury": 0.39, "Venus": 0.72, "Earth": 1.0, "Mars": 1.52, "Jupiter": 5.2}
CHOICES = {
    "Which number is the largest?": lambda o, all_: int(o) == max(map(int, all_)),
    "Which number is the smallest?": lambda o, all_: int(o) == min(map(int, all_)),
    "What is 2 + 2?": lambda o, _: int(o) == len("oo" + "oo"),
    "What is 5 + 1?": lambda o, _: int(o) == len("ooooo" + "o"),
    "What is 3 - 1?": lambda o, _: int(o) == len("ooo"[1:]),
    "Which day comes right after Monday?": lambda o, _: week.index(o) == week.index("Monday") + 1,
    "Which month comes right after March?": lambda o, _: year.index(o) == year.index("March") + 1,
    "Which shape has three sides?": lambda o, _: {"triangle": 3, "square": 4, "circle": 0, "hexagon": 6}[o] == 3,
    "Which of these is an animal?": lambda o, _: o in {"cat", "dog", "horse"},
    "Which of these is a fruit?": lambda o, _: o in {"apple", "pear", "plum"},
    "What is the color of fresh snow?": lambda o, _: o == "white",
    "What is the opposite of hot?": lambda o, _: o == "cold",
    "What do people see with?": lambda o, _: o == "eyes",
    "Which letter comes right after B in the alphabet?": lambda o, _: ord(o) == ord("B") + 1,
    "Which number is even?": lambda o, _: o[-1] in "02468",
    "What is 6 times 7?": lambda o, _: int(o) == cell_count(6, 7),
    "Which fraction is equal to 1/2?": lambda o, _: Fraction(o) == Fraction(1, 2),
    "Which number is the largest of these decimals?": lambda o, all_: Fraction(o) == max(map(Fraction, all_)),
    "What is 67 rounded to the nearest ten?": lambda o, _: int(o) == min(range(0, 101, 10), key=lambda n: abs(n - 67)),
    "A film starts at 3:40 and lasts 50 minutes. When does it end?":
        lambda o, _: o == str(datetime.timedelta(hours=3, minutes=40) + datetime.timedelta(minutes=50))[:-3],
    "Which planet is closest to the Sun?": lambda o, _: AU[o] == min(AU.values()),
    "What does water become when it freezes?": lambda o, _: o == "ice",
    "Which color do you get when you mix blue and yellow paint?": lambda o, _: o == "green",
    "Which of these numbers is prime?": lambda o, _: is_prime(int(o)),
    "Which of these numbers is divisible by 9?": lambda o, _: int(o) in range(0, 1000, 9),
    "Which of these is equal to 35 percent?": lambda o, _: Fraction(o) * 100 == 35,
    "Which expression is equal to 2(x + 3)?":
        lambda o, _: all(calculate(o, x=x) == calculate("2*(x + 3)", x=x) for x in range(5)),
    "What is the chemical formula of water?": lambda o, _: Counter(H=2, O=1) == Counter(
        {a: int(n or 1) for a, n in re.findall(r"([A-Z][a-z]?)(\d?)", o)}),
    "What does the Python expression len('hello') give?": lambda o, _: o == str(len("hello")),
    "Which gas do green plants take in from the air to make sugar?": lambda o, _: o == "carbon dioxide",
    "Only one of these numbers is prime. Which one?": lambda o, _: is_prime(int(o)),
    "What is the slope of the line through the points (1, 2) and (4, 11)?":
        lambda o, _: 2 + Fraction(o) * (4 - 1) == 11,
    "What does the Python expression [x * x for x in range(4)][-1] give?":
        lambda o, _: o == str([x * x for x in range(4)][-1]),
    "Which of these numbers is irrational?":
        lambda o, _: "sqrt" in o and math.isqrt(int(o[5:-1])) ** 2 != int(o[5:-1]),
    "Which of these powers is the largest?":
        lambda o, all_: calculate(o) == max(map(calculate, all_)),
    "All cats are animals. Some animals are black. What follows for certain?": lambda o, _: follows(o),
    "Exactly one of three boxes holds a prize. The label of box 1 says \"not here\", the label of box 2 says "
    "\"not here\", the label of box 3 says \"in box 2\". Exactly one label is true. Where is the prize?":
        lambda o, _: prize_fits(o),
    "What is the derivative of x^2 * e^x?": lambda o, _: same_function(
        o, lambda x: ((x + 1e-6) ** 2 * math.exp(x + 1e-6) - (x - 1e-6) ** 2 * math.exp(x - 1e-6)) / 2e-6),
    "Which number x satisfies 7x = 1 modulo 31?": lambda o, _: 7 * int(o) % 31 == 1,
    "How many elements of the additive group of integers modulo 12 generate the whole group on their own?":
        lambda o, _: int(o) == generators(12),
}


# ---- Rows

def check_choice(row):
    stem, *lines = row["question"].split("\n")
    options = row["options"]
    if lines != [f"{letter}) {option}" for letter, option in zip("ABCD", options)] or len(set(options)) != 4:
        return "options and text differ"
    if stem not in CHOICES:
        return "no rule for this choice"
    right = [letter for letter, option in zip("ABCD", options) if CHOICES[stem](option, options)]
    return None if right == [row["answer"]] else f"right are {right}"


def check_answer(row):
    question, answer = row["question"], row["answer"]
    matches = [(match, function) for pattern, function in RULES if (match := pattern.fullmatch(question))]
    if len(matches) != 1:
        return f"{len(matches)} rules understand it"
    match, function = matches[0]
    expected = function(*map(number, match.groups()))
    if callable(expected):
        return None if expected(answer) else "wrong"
    if isinstance(expected, str):
        return None if answer == expected else f"expected {expected}"
    if "as a fraction" in question or "lowest terms" in question or "give a fraction" in question:
        parts = re.fullmatch(r"-?\\frac\{(\d+)\}\{(\d+)\}", answer)
        if not parts or int(parts[2]) == 1 or math.gcd(int(parts[1]), int(parts[2])) != 1:
            return "not a fraction in lowest terms"
    elif "\\frac" in answer:
        return "a fraction that was not asked for"
    if isinstance(expected, float):
        value = exact(answer)
        value = real(answer) if value is None else float(value)
        return None if math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9) else f"expected {expected}"
    return None if exact(answer) == expected else f"expected {expected}"


CHECKS = {"math": check_answer, "text": check_answer, "choice": check_choice, "code_function": check_code}


def check_form(row):
    order = [field for field in FIELDS if field in row]
    needed = {"math": "answer", "text": "answer", "choice": "answer options", "code_function": "tests"}.get(row["kind"])
    if needed is None or list(row) != order or set(row) != {"id", "kind", "question", "level", "subject", "meta", *needed.split()}:
        return "wrong fields"
    if row["level"] not in range(1, 6) or not row["subject"] or not row["meta"]["topic"]:
        return "level, subject or topic is missing"
    if row["question"] != row["question"].strip() or "  " in row["question"]:
        return "stray spaces"
    return None


def table(rows):
    """How many questions of each subject and kind stand at each level, as a Markdown table."""
    lines = ["| subject | 1 | 2 | 3 | 4 | 5 | all |", "|---|--:|--:|--:|--:|--:|--:|"]
    groups = [(value, [row for row in rows if row[field] == value])
              for field in ("subject", "kind") for value in sorted({row[field] for row in rows}, key=str.lower)]
    n_subjects = len({row["subject"] for row in rows})
    for i, (name, group) in enumerate([*groups, ("all", rows)]):
        levels = Counter(row["level"] for row in group)
        cells = [name if i < n_subjects else f"**{name}**", *(levels[level] or "" for level in range(1, 6)), len(group)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main():
    bank = HERE / "quickstart.jsonl"
    data = bank.read_bytes()
    rows = [json.loads(line) for line in data.decode("ascii").splitlines()]
    faults = []
    for row in rows:
        try:
            fault = check_form(row) or CHECKS[row["kind"]](row)
        except Exception as error:  # A rule that breaks is a fault of the row or of the rule: report it.
            fault = f"{type(error).__name__}: {error}"
        if fault:
            faults.append(f"{row['id']}: {fault}: {row['question']} => {row.get('answer')}")
    for name, key in [("id", lambda row: row["id"]),
                      ("question", lambda row: " ".join(re.findall(r"[a-z0-9]+", row["question"].lower())))]:
        faults += [f"{name} stands {n} times: {k}" for k, n in Counter(map(key, rows)).items() if n > 1]
    if not 330 <= len(rows) <= 420:
        faults.append(f"{len(rows)} questions, not 330 to 420")
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.jsonl"
        subprocess.run([sys.executable, HERE / "make_bank.py", again], check=True, stdout=subprocess.DEVNULL)
        if again.read_bytes() != data:
            faults.append("make_bank.py writes another file than the one here")

    counts = table(rows)
    if counts not in (HERE / "README.md").read_text(encoding="utf-8"):
        faults.append("README.md shows other counts")
    print(counts)
    print("\n".join(faults + [f"{len(rows)} questions, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
