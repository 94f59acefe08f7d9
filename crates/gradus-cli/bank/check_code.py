"""The part of check_bank.py that checks the Python tasks.

For each task: a second implementation (REFERENCE) and a maker of inputs
(INPUTS). The solution in the bank must pass its tests in a fresh interpreter
and agree with the second implementation on 300 drawn inputs; every expected
value and every example in the text must agree with it too; and programs that
return nothing, their argument, or one of the expected values always must fail.
"""

import ast
import functools
import itertools
import math
import random
import re
import subprocess
import sys
from collections import Counter


def word(dice, letters="abcAB ", longest=8):
    return "".join(dice.choices(letters, k=dice.randrange(longest + 1)))


def numbers(dice, low=-6, high=9, longest=8):
    return [dice.randint(low, high) for _ in range(dice.randrange(longest + 1))]


def formula(dice, depth=3):
    if depth == 0 or dice.random() < 0.2:
        return str(dice.randint(0, 99))
    left, right = formula(dice, depth - 1), formula(dice, depth - 1)
    text = left + dice.choice("+-*") + right
    return f"({text})" if dice.random() < 0.5 else text


def roman(n):
    signs = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
             (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
    text = ""
    for value, sign in signs:
        while n >= value:
            text, n = text + sign, n - value
    return text


def balanced(text):
    while (shorter := text.replace("()", "").replace("[]", "")) != text:
        text = shorter
    return text == ""


def edit_distance(a, b):
    @functools.cache
    def steps(i, j):
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        if a[i] == b[j]:
            return steps(i + 1, j + 1)
        return 1 + min(steps(i + 1, j), steps(i, j + 1), steps(i + 1, j + 1))
    return steps(0, 0)


def fewest_coins(coins, amount):
    reached, count, seen = {0}, 0, set()
    while reached:
        if amount in reached:
            return count
        seen |= reached
        reached = {r + c for r in reached for c in coins if r + c <= amount} - seen
        count += 1
    return -1


def second_largest(items):
    return next((x for x in sorted(items, reverse=True) if x != max(items)), None)


def rotate(grid):
    height, width = len(grid), len(grid[0])
    return [[grid[height - 1 - column][row] for column in range(height)] for row in range(width)]


def caesar(text, k):
    letters = "abcdefghijklmnopqrstuvwxyz"
    return text.translate(str.maketrans(letters, letters[k:] + letters[:k]))


REFERENCE = {
    "add": lambda a, b: sum([a, b]),
    "double": lambda n: n + n,
    "is_even": lambda n: str(n)[-1] in "02468",
    "larger": lambda a, b: max(a, b),
    "last_letter": lambda w: list(reversed(w))[0],
    "shout": lambda t: "".join(c.upper() for c in t) + chr(33),
    "count_items": lambda items: sum(1 for _ in items),
    "sum_of_even": lambda items: sum(x - x * (x % 2) for x in items),
    "count_vowels": lambda t: sum(t.count(v) for v in "aeiouAEIOU"),
    "reverse_words": lambda t: " ".join(reversed(t.split())),
    "is_palindrome": lambda w: all(w[i] == w[len(w) - 1 - i] for i in range(len(w))),
    "factorial": math.factorial,
    "remove_repeats": lambda items: list(dict.fromkeys(items)),
    "digit_sum": lambda n: n % 10 + REFERENCE["digit_sum"](n // 10) if n else 0,
    "is_prime": lambda n: n > 1 and all(n % d for d in range(2, n)),
    "common_divisor": math.gcd,
    "merge": lambda a, b: sorted(a + b),
    "second_largest": second_largest,
    "run_lengths": lambda t: "".join(f"{c}{len(list(g))}" for c, g in itertools.groupby(t)),
    "caesar": caesar,
    "balanced": balanced,
    "roman_to_int": lambda t: next(n for n in range(1, 4000) if roman(n) == t),
    "pair_with_sum": lambda items, total: min(
        ((i, j) for i, j in itertools.combinations(range(len(items)), 2) if items[i] + items[j] == total), default=None),
    "longest_rising": lambda items: max(
        (j - i for i, j in itertools.combinations(range(len(items) + 1), 2)
         if all(x < y for x, y in zip(items[i:j], items[i + 1:j]))), default=0),
    "rotate": rotate,
    "fewest_coins": fewest_coins,
    "edit_distance": edit_distance,
    "calculate": lambda text: eval(re.sub(r"\b0+(?=\d)", "", text)),
}

INPUTS = {
    "add": lambda d: (d.randint(-99, 99), d.randint(-99, 99)),
    "double": lambda d: (d.randint(-99, 99),),
    "is_even": lambda d: (d.randint(-99, 99),),
    "larger": lambda d: (d.randint(-9, 9), d.randint(-9, 9)),
    "last_letter": lambda d: (word(d) + d.choice("xyz"),),
    "shout": lambda d: (word(d),),
    "count_items": lambda d: (numbers(d),),
    "sum_of_even": lambda d: (numbers(d),),
    "count_vowels": lambda d: (word(d, "aeiouAEIOUxyzXYZ "),),
    "reverse_words": lambda d: (" ".join(word(d, "abc") or "x" for _ in range(d.randrange(5))),),
    "is_palindrome": lambda d: (word(d, "abA", 5),),
    "factorial": lambda d: (d.randrange(20),),
    "remove_repeats": lambda d: (numbers(d, 0, 4),),
    "digit_sum": lambda d: (d.randrange(100000),),
    "is_prime": lambda d: (d.randint(-5, 300),),
    "common_divisor": lambda d: (d.randint(1, 300), d.randint(1, 300)),
    "merge": lambda d: (sorted(numbers(d)), sorted(numbers(d))),
    "second_largest": lambda d: (numbers(d, -3, 3, 5),),
    "run_lengths": lambda d: (word(d, "ab", 15),),
    "caesar": lambda d: (word(d, "abcxyzABZ !"), d.randrange(26)),
    "balanced": lambda d: (word(d, "()[]", 6),),
    "roman_to_int": lambda d: (roman(d.randint(1, 3999)),),
    "pair_with_sum": lambda d: (numbers(d), d.randint(-5, 12)),
    "longest_rising": lambda d: (numbers(d),),
    "rotate": lambda d: ((lambda width: [[d.randrange(9) for _ in range(width)] for _ in range(d.randint(1, 4))])(d.randint(1, 4)),),
    "fewest_coins": lambda d: (d.sample(range(1, 12), d.randint(1, 3)), d.randrange(40)),
    "edit_distance": lambda d: (word(d, "abc"), word(d, "abc")),
    "calculate": lambda d: (formula(d),),
}


def copied(value):
    return ast.literal_eval(repr(value))


def run(program):
    return subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=20).returncode


def passes(function, name, tests):
    """Whether a function passes, in this interpreter: for the useless ones, which do no harm."""
    try:
        exec(tests, {name: function})
    except Exception:
        return False
    return True


def check_code(row):
    name, tests = row["tests"]["entry_point"], row["tests"]["test_code"]
    program = row["meta"]["canonical_solution"]
    if row["tests"]["type"] != "function" or row["tests"]["language"] != "python":
        return "not a Python function"
    signature = re.match(r"Write a Python function `((\w+)\([\w, ]*\))` that ", row["question"])
    if not signature or signature[2] != name or f"def {signature[1]}:" not in program:
        return "question, entry point and solution name different functions"
    if run(f"{program}\n{tests}") != 0:
        return "the solution fails its tests"

    space = {}
    exec(program, space)
    solution, reference = space[name], REFERENCE[name]
    lines = tests.splitlines()
    if not 3 <= len(lines) <= 8 or len(set(lines)) != len(lines):
        return f"{len(lines)} asserts, or one twice"
    expected = []
    for line in lines:
        comparison = ast.parse(line).body[0].test
        call = ast.unparse(comparison.left)
        value = ast.literal_eval(comparison.comparators[0])
        if len(comparison.ops) != 1 or eval(call, {name: reference}) != value:
            return f"the second implementation disagrees: {line}"
        expected.append(value)
    for call, value in re.findall(r"[Ff]or example, (\w+\(.*?\)) is (.+?)\.(?: |$)", row["question"]):
        if eval(call, {name: reference}) != ast.literal_eval(value):
            return f"wrong example: {call} is {value}"

    dice = random.Random(name)
    answers = Counter()
    for _ in range(300):
        arguments = INPUTS[name](dice)
        one, other = solution(*copied(arguments)), reference(*copied(arguments))
        if one != other or type(one) is not type(other):
            return f"solution and second implementation differ on {arguments}: {one!r}, {other!r}"
        answers[repr(one)] += 1
    if len(answers) < 2:
        return "the drawn inputs show only one answer"

    useless = [lambda *a: None, lambda *a: a[0], lambda *a: a[-1], lambda *a: a]
    useless += [lambda *a, value=value: value for value in expected]
    if any(passes(function, name, tests) for function in useless):
        return "a useless program passes the tests"
    return None
