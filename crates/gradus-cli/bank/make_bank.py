#!/usr/bin/env python3
"""Write quickstart.jsonl, the question bank of the first run.

All questions are written for this project, by hand or by the templates below.
The same program gives the same file, byte for byte: draws come from SHA-256,
not from a library's random numbers, and each part has dice of its own, so that
a change in one part leaves the others as they are.

    python3 make_bank.py          writes quickstart.jsonl beside this program
    python3 make_bank.py PATH     writes it to PATH
"""

import hashlib
import json
import math
import re
import sys
from fractions import Fraction
from pathlib import Path

from code_tasks import TASKS

SEED = "gradus quickstart 1"

NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jonas", "Kira",
         "Leo", "Maya", "Nils", "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor", "Wanda", "Yusuf"]
THINGS = ["apples", "books", "pencils", "coins", "stamps", "shells", "cards", "marbles", "cookies",
          "balls", "plums", "stones", "buttons", "eggs"]


class Dice:
    """A stream of draws that depends on nothing but its name."""

    def __init__(self, name):
        self.name = name
        self.count = 0

    def below(self, n):
        self.count += 1
        digest = hashlib.sha256(f"{SEED}/{self.name}/{self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % n

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def shuffled(self, items):
        rest, out = list(items), []
        while rest:
            out.append(rest.pop(self.below(len(rest))))
        return out


class Bank:
    def __init__(self):
        self.rows = []
        self.seen = set()
        self.numbers = {}

    def add(self, prefix, subject, level, topic, question, answer=None, kind="math", options=None,
            tests=None, meta=None):
        """Add a question; False if it reads like one that is there (signs aside)."""
        key = re.sub(r"[^a-z0-9]+", " ", question.lower()).strip()
        if key in self.seen:
            return False
        self.seen.add(key)
        number = self.numbers[prefix] = self.numbers.get(prefix, 0) + 1
        row = {"id": f"{prefix}-{number:03}", "kind": kind, "question": question}
        if options:
            row["options"] = options
        if answer is not None:
            row["answer"] = str(answer)
        if tests:
            row["tests"] = tests
        row["level"] = level
        row["subject"] = subject
        row["meta"] = {"topic": topic, **(meta or {})}
        self.rows.append(row)
        return True

    def fill(self, count, prefix, subject, level, topic, make):
        """Draw from `make` until `count` new questions are in. It returns (question, answer)."""
        added = 0
        for _ in range(200 * count):
            added += self.add(prefix, subject, level, topic, *make())
            if added == count:
                return
        raise SystemExit(f"{prefix}, {topic}: only {added} of {count} different questions")

    def hand(self, prefix, subject, rows):
        """Add rows (level, topic, question, answer), all of which must be new."""
        for level, topic, question, answer in rows:
            if not self.add(prefix, subject, level, topic, question, answer):
                raise SystemExit(f"twice: {question}")

    def dump(self):
        # Ordered by the lowest of several hashes, more of them for an easy question: every first part of the
        # file is a mixture, and the first parts hold more of what a very small model can solve.
        def place(row):
            n_hashes = {1: 6, 2: 3, 3: 2}.get(row["level"], 1)
            return min(hashlib.sha256(f"{row['id']}/{n}".encode()).digest() for n in range(n_hashes))

        rows = sorted(self.rows, key=place)
        return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def latex(value):
    """An integer or a fraction in lowest terms."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def decimal(value):
    """A positive terminating decimal, written exactly."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(value * 10**places).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def linear(a, b, name="x"):
    """The text of a*x + b for a >= 1."""
    head = name if a == 1 else f"{a}{name}"
    return head if b == 0 else f"{head} {'+' if b > 0 else '-'} {abs(b)}"


def quadratic(b, c):
    """The text of x^2 + b*x + c."""
    text = "x^2"
    if b:
        text += f" {'+' if b > 0 else '-'} {'' if abs(b) == 1 else abs(b)}x"
    if c:
        text += f" {'+' if c > 0 else '-'} {abs(c)}"
    return text


def small_numbers(bank):
    dice = Dice("small")
    digit = lambda low=1: dice.between(low, 9)

    def add():
        a, b = digit(), digit()
        form = dice.pick(["What is {} + {}?", "{} + {} = ?", "Add {} and {}.", "How much is {} plus {}?"])
        return form.format(a, b), a + b

    def subtract():
        a, b = sorted((digit(), digit()), reverse=True)
        form = dice.pick(["What is {} - {}?", "{} - {} = ?", "How much is {} minus {}?"])
        return form.format(a, b), a - b

    def after():
        n = dice.between(1, 30)
        word, step = dice.pick([("right after", 1), ("right before", -1)])
        return f"When you count 1, 2, 3 and so on, which number comes {word} {n + 1}?", n + 1 + step

    def compare():
        a, b = digit(), digit()
        if a == b:
            b = 10
        word, choose = dice.pick([("larger", max), ("smaller", min)])
        return f"Which number is {word}: {a} or {b}?", choose(a, b)

    def double():
        n = digit(2)
        return (f"What is double {n}?", 2 * n) if dice.below(2) else (f"What is half of {2 * n}?", n)

    def gets():
        a, b = digit(2), digit(2)
        name, other, *_ = dice.shuffled(NAMES)
        things = dice.pick(THINGS)
        return (f"{name} has {a} {things}. {other} gives {name} {b} more {things}. "
                f"How many {things} does {name} have now?"), a + b

    def loses():
        a = digit(4)
        b = dice.between(2, a - 2)
        name, things = dice.pick(NAMES), dice.pick(THINGS)
        return (f"There are {a} {things} on the table. {name} takes {b} of them away. "
                f"How many {things} are left on the table?"), a - b

    bank.fill(30, "add1", "addition", 1, "one-digit sum", add)
    bank.fill(20, "sub1", "subtraction", 1, "one-digit difference", subtract)
    bank.fill(10, "count", "counting on", 1, "successor and predecessor", after)
    bank.fill(8, "cmp1", "comparison", 1, "two small numbers", compare)
    bank.fill(8, "dbl", "doubling", 1, "double and half", double)
    bank.fill(6, "word1", "word problems", 1, "one-step sum", gets)
    bank.fill(6, "word1", "word problems", 1, "one-step difference", loses)
    bank.hand("fact", "everyday knowledge", [
        (1, "time", "How many days are in one week?", 7),
        (1, "time", "How many months are in one year?", 12),
        (1, "time", "How many minutes are in one hour?", 60),
        (1, "time", "How many hours are in one day?", 24),
        (1, "shapes", "How many sides does a triangle have?", 3),
        (1, "shapes", "How many corners does a square have?", 4),
        (1, "body", "How many fingers are on two hands, thumbs included?", 10),
        (1, "animals", "How many legs does a spider have?", 8),
        (1, "animals", "How many legs does a dog have?", 4),
        (2, "amounts", "How many eggs are in two dozen eggs?", 24),
        (2, "shapes", "How many faces does a cube have?", 6),
        (2, "letters", "How many letters are in the English alphabet?", 26),
    ])


def arithmetic(bank):
    dice = Dice("arithmetic")

    def add2():
        a, b = dice.between(11, 99), dice.between(11, 99)
        return dice.pick(["What is {} + {}?", "Add {} and {}."]).format(a, b), a + b

    def subtract2():
        a, b = sorted((dice.between(11, 99), dice.between(11, 99)), reverse=True)
        return dice.pick(["What is {} - {}?", "Subtract {1} from {0}."]).format(a, b), a - b

    def times():
        a, b = dice.between(2, 9), dice.between(2, 10)
        return dice.pick(["What is {} times {}?", "What is {} * {}?"]).format(a, b), a * b

    def divide():
        a, b = dice.between(2, 9), dice.between(2, 10)
        return f"What is {a * b} divided by {a}?", b

    def times2():
        a, b = dice.between(12, 49), dice.between(12, 49)
        return f"What is {a} * {b}?", a * b

    def order():
        a, b, c = dice.between(2, 20), dice.between(2, 9), dice.between(2, 9)
        return [(f"Calculate {a} + {b} * {c}.", a + b * c),
                (f"Calculate ({a} + {b}) * {c}.", (a + b) * c),
                (f"Calculate {b} * {c} - {a}.", b * c - a)][dice.below(3)]

    def negative():
        a, b = dice.between(2, 15), dice.between(2, 15)
        return [(f"Calculate -{a} + {b}.", b - a), (f"Calculate {a} - {a + b}.", -b),
                (f"Calculate (-{a}) * {b}.", -a * b), (f"Calculate -{a} - {b}.", -a - b)][dice.below(4)]

    def decimals():
        a, b = Fraction(dice.between(11, 99), 10), Fraction(dice.between(101, 999), 100)
        if dice.below(2):
            return f"What is {decimal(a)} + {decimal(b)}? Give a decimal number.", decimal(a + b)
        return f"What is {decimal(a)} * {decimal(b)}? Give a decimal number.", decimal(a * b)

    bank.fill(10, "add2", "addition", 2, "two-digit sum", add2)
    bank.fill(8, "sub2", "subtraction", 2, "two-digit difference", subtract2)
    bank.fill(10, "mul1", "multiplication", 2, "times table", times)
    bank.fill(5, "div1", "division", 2, "times table backwards", divide)
    bank.fill(6, "mul2", "multiplication", 3, "two-digit product", times2)
    bank.fill(5, "order", "arithmetic", 2, "order of operations", order)
    bank.fill(5, "neg", "arithmetic", 2, "negative numbers", negative)
    bank.fill(4, "dec", "arithmetic", 3, "decimals", decimals)


def fractions(bank):
    dice = Dice("fractions")
    note = "Give the answer as a fraction in lowest terms."

    def proper():
        q = dice.between(2, 9)
        p = dice.between(1, q - 1)
        return (p, q) if math.gcd(p, q) == 1 else proper()

    def two():
        (a, b), (c, d) = proper(), proper()
        sign, value = dice.pick([("+", Fraction(a, b) + Fraction(c, d)), ("-", Fraction(a, b) - Fraction(c, d)),
                                 ("*", Fraction(a, b) * Fraction(c, d))])
        # A whole number would not be a fraction as the note asks.
        return (f"What is {a}/{b} {sign} {c}/{d}? {note}", latex(value)) if value.denominator > 1 else two()

    def divide():
        (a, b), (c, d) = proper(), proper()
        value = Fraction(a, b) / Fraction(c, d)
        return (f"Divide {a}/{b} by {c}/{d}. {note}", latex(value)) if value.denominator > 1 else divide()

    def simplify():
        a, b = proper()
        k = dice.between(2, 9)
        return f"Write {a * k}/{b * k} in lowest terms.", latex(Fraction(a, b))

    def part():
        a, b = proper()
        n = b * dice.between(2, 12)
        return f"What is {a}/{b} of {n}?", n * a // b

    def percent_of():
        p, n = 5 * dice.between(1, 19), 20 * dice.between(2, 25)
        return f"What is {p} percent of {n}?", n * p // 100

    def what_percent():
        p, n = 5 * dice.between(1, 19), 20 * dice.between(1, 20)
        return f"{n * p // 100} is what percent of {n}? Give only the number.", p

    def price():
        p, n = 5 * dice.between(1, 10), 20 * dice.between(2, 20)
        word, sign = dice.pick([("higher", 1), ("lower", -1)])
        return (f"A coat costs {n} euros. Its price is made {p} percent {word}. "
                f"What is the new price in euros?"), n + sign * n * p // 100

    bank.fill(7, "frac", "fractions", 3, "two fractions", two)
    bank.fill(3, "frac", "fractions", 3, "division", divide)
    bank.fill(3, "frac", "fractions", 2, "lowest terms", simplify)
    bank.fill(4, "frac", "fractions", 2, "part of a number", part)
    bank.fill(3, "pct", "percentages", 2, "percent of", percent_of)
    bank.fill(3, "pct", "percentages", 3, "what percent", what_percent)
    bank.fill(3, "pct", "percentages", 3, "price change", price)


def algebra(bank):
    dice = Dice("algebra")

    def one_step():
        x, b = dice.between(2, 20), dice.between(2, 20)
        return [(f"Solve for x: x + {b} = {x + b}.", x), (f"Solve for x: x - {b} = {x - b}.", x),
                (f"Solve for x: {b}x = {b * x}.", x)][dice.below(3)]

    def two_steps():
        a, x, b = dice.between(2, 9), dice.between(-9, 12), dice.between(-15, 15)
        return f"Solve for x: {linear(a, b)} = {a * x + b}.", x

    def both_sides():
        c, x, b = dice.between(1, 6), dice.between(-8, 10), dice.between(-15, 15)
        a = c + dice.between(1, 6)
        return f"Solve for x: {linear(a, b)} = {linear(c, (a - c) * x + b)}.", x

    def rational():
        a, b, c = dice.between(3, 9), dice.between(1, 9), dice.between(10, 20)
        if (c - b) % a == 0:
            return rational()
        return f"Solve for x and give a fraction: {linear(a, b)} = {c}.", latex(Fraction(c - b, a))

    def roots():
        p, q = dice.between(-7, 9), dice.between(-7, 9)
        if p == q:
            return roots()
        word, choose = dice.pick([("larger", max), ("smaller", min)])
        return f"What is the {word} solution of {quadratic(-p - q, p * q)} = 0?", choose(p, q)

    def surd():
        h, d = dice.between(1, 6), dice.pick([2, 3, 5, 6, 7])
        word, sign = dice.pick([("larger", "+"), ("smaller", "-")])
        return f"What is the {word} solution of {quadratic(-2 * h, h * h - d)} = 0?", f"{h}{sign}\\sqrt{{{d}}}"

    def system():
        x, y = dice.between(1, 12), dice.between(1, 12)
        a, b = dice.between(2, 5), dice.between(1, 5)
        if a == b or x == y:
            return system()
        asked, value = dice.pick([("x", x), ("y", y)])
        return (f"If {linear(a, 0)} + {linear(b, 0, 'y')} = {a * x + b * y} and x + y = {x + y}, "
                f"what is {asked}?"), value

    def evaluate():
        x, a, b = dice.between(-4, 6), dice.between(1, 9), dice.between(-9, 9)
        return f"What is the value of {quadratic(a, b)} when x = {x}?", x * x + a * x + b

    def collect():
        a, b, c = dice.between(2, 12), dice.between(2, 12), dice.between(2, 5)
        if a + b - c < 2:
            return collect()
        return f"Simplify {a}x + {b}x - {c}x.", f"{a + b - c}x"

    bank.fill(4, "lin", "linear equations", 2, "one step", one_step)
    bank.fill(4, "lin", "linear equations", 3, "two steps", two_steps)
    bank.fill(3, "lin", "linear equations", 3, "both sides", both_sides)
    bank.fill(2, "lin", "linear equations", 3, "fraction as solution", rational)
    bank.fill(5, "quad", "quadratic equations", 3, "whole roots", roots)
    bank.fill(3, "quad", "quadratic equations", 4, "roots with a square root", surd)
    bank.fill(4, "sys", "systems of equations", 4, "two unknowns", system)
    bank.fill(2, "expr", "expressions", 3, "value", evaluate)
    bank.fill(2, "expr", "expressions", 2, "like terms", collect)


def word_problems(bank):
    dice = Dice("word problems")
    n = dice.between

    def people():
        return dice.shuffled(NAMES)[:2]

    def boxes():
        a, b, things = n(3, 12), n(3, 12), dice.pick(THINGS)
        return f"There are {a} boxes. Each box holds {b} {things}. How many {things} are there in all?", a * b

    def share():
        a, b, things, name = n(2, 9), n(3, 12), dice.pick(THINGS), dice.pick(NAMES)
        return (f"{name} shares {a * b} {things} equally among {a} friends. "
                f"How many {things} does each friend get?"), b

    def times_as_many():
        a, k, things, (name, other) = n(3, 15), n(2, 6), dice.pick(THINGS), people()
        return (f"{name} has {a} {things}. {other} has {k} times as many {things}. "
                f"How many {things} do they have together?"), a + a * k

    def change():
        count, price, name = n(3, 8), n(3, 12), dice.pick(NAMES)
        paid = -(-(count * price + 1) // 50) * 50
        return (f"A toy costs {price} euros. {name} buys {count} toys and pays with {paid} euros. "
                f"How many euros does {name} get back?"), paid - count * price

    def age():
        a, d, y, (name, other) = n(5, 30), n(2, 12), n(2, 15), people()
        return (f"{name} is {a} years old. {other} is {d} years older than {name}. "
                f"How old will {other} be in {y} years?"), a + d + y

    def difference():
        m, d, things, (name, other) = n(5, 40), n(2, 20), dice.pick(THINGS), people()
        return (f"{name} and {other} have {2 * m + d} {things} together. "
                f"{name} has {d} more {things} than {other}. How many {things} does {other} have?"), m

    def workers():
        a, b = n(2, 8), n(2, 12)
        days = n(2, 6) * b // math.gcd(a, b)
        if a == b or days > 40:
            return workers()
        return (f"{a} workers paint a house in {days} days. All workers are equally fast. "
                f"In how many days would {b} workers paint the house?"), a * days // b

    def tank():
        t, fill, leak = n(6, 30), n(8, 20), n(2, 6)
        return (f"An empty tank can hold {t * (fill - leak)} liters. A pipe brings in {fill} liters each minute, "
                f"and a leak loses {leak} liters each minute. After how many minutes is the tank full?"), t

    def chase():
        v, extra, t, (name, other) = n(3, 6), n(2, 6), n(1, 5), people()
        if extra == v or (extra * t) % v:
            return chase()
        head = extra * t // v
        hours = "1 hour" if head == 1 else f"{head} hours"
        return (f"{name} walks along a road at {v} kilometers per hour. {other} starts from the same place "
                f"{hours} later and rides the same way at {v + extra} kilometers per hour. "
                f"How many hours after {other} starts does {other} reach {name}?"), t

    def together():
        a, b = dice.pick([(3, 6), (4, 12), (6, 12), (10, 15), (5, 20), (12, 24), (20, 30), (6, 30)])
        name, other = people()
        return (f"{name} alone needs {a} hours to clean a hall. {other} alone needs {b} hours. "
                f"How many hours do they need if they clean it together?"), a * b // (a + b)

    for count, level, topic, make in [
            (3, 2, "equal groups", boxes), (3, 2, "sharing", share), (2, 3, "times as many", times_as_many),
            (3, 3, "change", change), (2, 2, "age", age), (3, 4, "sum and difference", difference),
            (2, 4, "work rate", workers), (2, 4, "filling and leaking", tank), (2, 5, "catching up", chase),
            (2, 4, "working together", together)]:
        bank.fill(count, "word2", "word problems", level, topic, make)


def sequences(bank):
    dice = Dice("sequences")
    n = dice.between

    def show(terms):
        return ", ".join(map(str, terms))

    def next_arithmetic():
        a, d = n(1, 20), n(2, 9)
        return f"What is the next number: {show(a + d * i for i in range(4))}, ...?", a + 4 * d

    def next_geometric():
        a, q = n(1, 5), n(2, 3)
        return f"Each number is {q} times the one before. What is the next number: " \
               f"{show(a * q**i for i in range(4))}, ...?", a * q**4

    def nth():
        a, d, k = n(1, 20), n(2, 9), n(12, 60)
        return (f"The sequence {show(a + d * i for i in range(4))}, ... goes up by the same amount each time. "
                f"What is its term number {k}?"), a + (k - 1) * d

    def total():
        k = n(15, 80)
        return f"What is the sum of all whole numbers from 1 to {k}?", k * (k + 1) // 2

    bank.fill(3, "seq", "sequences", 2, "equal steps", next_arithmetic)
    bank.fill(2, "seq", "sequences", 3, "equal factors", next_geometric)
    bank.fill(3, "seq", "sequences", 3, "a late term", nth)
    bank.fill(2, "seq", "sequences", 3, "sum", total)


def number_theory(bank):
    dice = Dice("number theory")
    n = dice.between

    def divisors(primes):
        return math.prod(power + 1 for power in primes.values())

    def factor(number):
        primes, p = {}, 2
        while number > 1:
            while number % p == 0:
                primes[p] = primes.get(p, 0) + 1
                number //= p
            p += 1
        return primes

    def gcd():
        k = n(2, 12)
        a, b = k * n(2, 12), k * n(2, 12)
        return gcd() if a == b else (f"What is the greatest common divisor of {a} and {b}?", math.gcd(a, b))

    def lcm():
        a, b = n(4, 24), n(4, 24)
        return lcm() if a == b else (f"What is the least common multiple of {a} and {b}?", a * b // math.gcd(a, b))

    def remainder():
        a, b = n(30, 200), n(3, 12)
        return f"What is the remainder when {a} is divided by {b}?", a % b

    def digit_sum():
        a = n(100, 9999)
        return f"What is the sum of the digits of {a}?", sum(map(int, str(a)))

    def last_digit():
        a, e = dice.pick([2, 3, 7, 8, 12, 13, 17, 18]), n(12, 99)  # The others repeat too plainly.
        cycle = [pow(a, i, 10) for i in range(1, 5)]
        return f"What is the last digit of {a}^{e}?", cycle[(e - 1) % 4]

    def count_divisors():
        a = n(24, 400)
        return f"How many positive divisors does {a} have?", divisors(factor(a))

    def next_prime():
        a = n(10, 150)
        p = a + 1
        while len(factor(p)) > 1 or max(factor(p).values()) > 1:
            p += 1
        return f"What is the smallest prime number greater than {a}?", p

    def largest_prime():
        a = n(5, 40) * n(11, 60)
        return f"What is the largest prime number that divides {a}?", max(factor(a))

    def power_remainder():
        e, m = n(20, 200), dice.pick([7, 11, 13, 17])
        a = n(2, m - 2)
        return f"What is the remainder when {a}^{e} is divided by {m}?", pow(a, e, m)

    for count, level, topic, make in [
            (2, 2, "digit sum", digit_sum), (3, 2, "remainder", remainder), (3, 3, "gcd", gcd), (2, 3, "lcm", lcm),
            (3, 3, "next prime", next_prime), (3, 4, "last digit", last_digit),
            (3, 4, "number of divisors", count_divisors), (2, 4, "largest prime factor", largest_prime),
            (2, 5, "remainder of a power", power_remainder)]:
        bank.fill(count, "num", "number theory", level, topic, make)


def counting(bank):
    note = "Give the answer as a fraction in lowest terms."
    bank.hand("prob", "counting and probability", [
        (2, "choices", "A menu has 3 soups and 4 main dishes. How many meals of one soup and one main dish are possible?", 12),
        (2, "coins", "A fair coin is thrown once. What is the probability of heads? " + note, latex(Fraction(1, 2))),
        (2, "dice", "A fair die with the numbers 1 to 6 is rolled once. What is the probability of rolling a 5? " + note, latex(Fraction(1, 6))),
        (2, "urn", "A bag holds 3 red balls and 5 blue balls. One ball is drawn at random. What is the probability that it is red? " + note, latex(Fraction(3, 8))),
        (3, "orders", "In how many different orders can 5 children stand in a row?", math.factorial(5)),
        (3, "handshakes", "Nine people meet. Each shakes hands once with each of the others. How many handshakes are there?", math.comb(9, 2)),
        (3, "teams", "In how many ways can a team of 3 be chosen from 8 players?", math.comb(8, 3)),
        (3, "coins", "A fair coin is thrown 3 times. What is the probability of exactly 2 heads? " + note, latex(Fraction(3, 8))),
        (3, "dice", "Two fair dice with the numbers 1 to 6 are rolled. What is the probability that the sum is 7? " + note, latex(Fraction(6, 36))),
        (3, "numbers", "How many three-digit numbers can be written with the digits 1, 2, 3, 4 and 5 if no digit is used twice?", 5 * 4 * 3),
        (4, "letters", "How many different words, with or without meaning, can be made from all the letters of the word BANANA?", math.factorial(6) // (6 * 2)),
        (4, "urn", "A bag holds 4 red balls and 6 blue balls. Two balls are drawn at random without putting the first one back. What is the probability that both are red? " + note, latex(Fraction(4 * 3, 10 * 9))),
        (4, "dice", "Three fair dice with the numbers 1 to 6 are rolled. What is the probability that all three numbers are different? " + note, latex(Fraction(6 * 5 * 4, 6**3))),
        (4, "coins", "A fair coin is thrown 6 times. What is the probability of at least 5 heads? " + note, latex(Fraction(6 + 1, 2**6))),
        (4, "paths", "A robot stands in the lower left corner of a board of 5 by 5 squares. Each move goes one square to the right or one square up. How many ways lead to the upper right corner?", math.comb(8, 4)),
        (5, "round table", "In how many ways can 3 boys and 3 girls sit at a round table so that boys and girls alternate? Seatings that differ only by turning the table count as one.", 12),
    ])


def geometry(bank):
    dice = Dice("geometry")
    n = dice.between

    def rectangle():
        b = n(3, 14)
        a = n(b + 1, 15)
        return [(f"A rectangle is {a} cm long and {b} cm wide. What is its area in square centimeters?", a * b),
                (f"A rectangle is {a} cm long and {b} cm wide. What is its perimeter in centimeters?", 2 * a + 2 * b)][dice.below(2)]

    def triangle():
        a, b = 2 * n(2, 10), n(3, 15)
        return f"A triangle has a base of {a} cm and a height of {b} cm. What is its area in square centimeters?", a * b // 2

    def angle():
        a, b = n(20, 90), n(20, 80)
        return f"Two angles of a triangle are {a} degrees and {b} degrees. How many degrees is the third angle?", 180 - a - b

    def hypotenuse():
        k, (a, b, c) = n(1, 4), dice.pick([(3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25)])
        return (f"A triangle with a right angle has legs of {k * a} cm and {k * b} cm. "
                f"How many centimeters long is its longest side?"), k * c

    def circle():
        r = n(2, 15)
        return [(f"What is the area of a circle of radius {r}? Give the answer in terms of pi.", f"{r * r}\\pi"),
                (f"What is the circumference of a circle of radius {r}? Give the answer in terms of pi.", f"{2 * r}\\pi")][dice.below(2)]

    def box():
        a, b, c = n(2, 9), n(2, 9), n(2, 9)
        return [(f"A box is {a} cm long, {b} cm wide and {c} cm high. What is its volume in cubic centimeters?", a * b * c),
                (f"A box is {a} cm long, {b} cm wide and {c} cm high. What is its surface area in square centimeters?",
                 2 * (a * b + b * c + a * c))][dice.below(2)]

    bank.fill(4, "geo", "geometry", 2, "rectangle", rectangle)
    bank.fill(2, "geo", "geometry", 3, "triangle area", triangle)
    bank.fill(2, "geo", "geometry", 3, "angles", angle)
    bank.fill(2, "geo", "geometry", 3, "right triangle", hypotenuse)
    bank.fill(2, "geo", "geometry", 3, "circle", circle)
    bank.fill(3, "geo", "geometry", 3, "box", box)
    bank.hand("geo", "geometry", [
        (4, "equilateral triangle", "What is the area of a triangle whose three sides are all 6 long?", "9\\sqrt{3}"),
        (4, "diagonal", "A cube has edges of length 5. What is the distance between two opposite corners of the cube?", "5\\sqrt{3}"),
        (4, "chord", "A circle has radius 10. A chord of it lies at distance 6 from the center. How long is the chord?", 16),
        (5, "inscribed circle", "A triangle has sides of length 13, 14 and 15. What is the radius of its inscribed circle?", 4),
        (5, "lattice points", "How many points (x, y) with whole numbers x and y lie inside or on the circle x^2 + y^2 = 20?", 69),
        (4, "polygon", "How many diagonals does a polygon with 12 corners have?", 12 * 9 // 2),
    ])


def competition(bank):
    bank.hand("comp", "competition", [
        (4, "sieve", "How many positive integers less than 1000 are divisible by 3 but not by 5?", 999 // 3 - 999 // 15),
        (4, "powers", "What is the remainder when 7^2025 is divided by 100?", 7),
        (4, "steps", "A stair has 10 steps. Each move goes up 1, 2 or 3 steps. In how many ways can you climb it?", 274),
        (4, "remainders", "What is the smallest positive integer that leaves remainder 4 when divided by 7, remainder 6 when divided by 11 and remainder 9 when divided by 13?", 347),
        (4, "factorials", "How many zeros stand at the end of 125! written in full?", 25 + 5 + 1),
        (4, "digits", "What is the sum of the digits of 10^40 - 75?", 9 * 38 + 2 + 5),
        (4, "palindromes", "How many four-digit numbers that read the same backwards are divisible by 7?", 18),
        (5, "probability", "Two different numbers are chosen at random from 1, 2, ..., 12. What is the probability that their product is divisible by 6? Give the answer as a fraction in lowest terms.", latex(Fraction(66 - 28 - 15 + 6, 66))),
        (4, "symmetric expression", "If x + 1/x = 5, what is x^3 + 1/x^3?", 5**3 - 3 * 5),
        (5, "subsets", "How many subsets of {1, 2, ..., 10} contain no two consecutive numbers? The empty set counts.", 144),
        (4, "factorials", "What is the largest integer n such that 3^n divides 100!?", 33 + 11 + 3 + 1),
        (4, "grids", "How many rectangles, squares included, can be found in a grid of 4 by 5 unit squares?", math.comb(5, 2) * math.comb(6, 2)),
        (5, "partitions", "In how many ways can 20 be written as a sum of three positive integers, if the order of the terms does not matter?", 33),
        (4, "divisors", "How many positive integers up to 100 have exactly 6 positive divisors?", 16),
        (4, "telescope", "What is 1/(1*2) + 1/(2*3) + 1/(3*4) + ... + 1/(20*21)? Give the answer as a fraction in lowest terms.", latex(1 - Fraction(1, 21))),
        (5, "coefficients", "What is the coefficient of x^5 when (1 + x + x^2)^5 is multiplied out?", 51),
        (5, "expected value", "A fair die with the numbers 1 to 6 is rolled until every number has appeared at least once. What is the expected number of rolls? Give the answer as a fraction in lowest terms.",
         latex(sum(Fraction(6, k) for k in range(1, 7)))),
        (5, "permutations", "The numbers 1 to 6 are written in a row so that no number k stands at place k. In how many ways can this be done?", 265),
        (5, "nested roots", "Write the square root of 11 + 6*sqrt(2) in the form a + b*sqrt(2) with whole numbers a and b.", "3+\\sqrt{2}"),
        (4, "digits", "How many integers from 1 to 9999 have digits that add up to 9?", math.comb(12, 3)),
        (5, "words", "How many words of 8 letters, each letter A or B, do not contain AAA?", 149),
        (5, "squares", "What is the largest three-digit number that can be written in at least two ways as the sum of the squares of two positive integers?", 986),
        (5, "equations", "How many ordered pairs (a, b) of positive integers satisfy 1/a + 1/b = 1/12?", 15),
        (5, "floor", "What is the sum of the whole parts of the square roots of 1, 2, 3, ..., 120?", 825),
    ])


def choices(bank):
    """Questions with options; the right one is given first and then takes a drawn place."""
    dice = Dice("choices")
    places = []
    subjects = {topic: subject for subject, topics in {
        "arithmetic": ["sums", "numbers", "tables", "decimals", "rounding", "powers"],
        "fractions": ["fractions"], "percentages": ["percent"], "expressions": ["expressions"],
        "number theory": ["primes", "divisibility"], "geometry": ["shapes", "slopes"], "logic": ["logic"],
        "everyday knowledge": ["days", "months", "time", "animals", "food", "colors", "opposites", "body", "letters"],
        "science": ["planets", "water", "chemistry", "science"], "Python": ["Python"],
        "higher mathematics": ["calculus", "modular arithmetic", "groups"],
    }.items() for topic in topics}
    rows = [
        (1, "numbers", "Which number is the largest?", ["9", "3", "1", "5"]),
        (1, "numbers", "Which number is the smallest?", ["2", "8", "6", "7"]),
        (1, "sums", "What is 2 + 2?", ["4", "3", "5", "6"]),
        (1, "sums", "What is 5 + 1?", ["6", "4", "8", "10"]),
        (1, "sums", "What is 3 - 1?", ["2", "1", "3", "4"]),
        (1, "days", "Which day comes right after Monday?", ["Tuesday", "Friday", "Sunday", "Thursday"]),
        (1, "months", "Which month comes right after March?", ["April", "January", "July", "October"]),
        (1, "shapes", "Which shape has three sides?", ["triangle", "square", "circle", "hexagon"]),
        (1, "animals", "Which of these is an animal?", ["dog", "stone", "chair", "cup"]),
        (1, "food", "Which of these is a fruit?", ["apple", "hammer", "shoe", "lamp"]),
        (1, "colors", "What is the color of fresh snow?", ["white", "green", "red", "black"]),
        (1, "opposites", "What is the opposite of hot?", ["cold", "tall", "loud", "new"]),
        (1, "body", "What do people see with?", ["eyes", "ears", "knees", "hair"]),
        (1, "letters", "Which letter comes right after B in the alphabet?", ["C", "A", "F", "Z"]),
        (2, "numbers", "Which number is even?", ["14", "9", "21", "37"]),
        (2, "tables", "What is 6 times 7?", ["42", "36", "48", "54"]),
        (2, "fractions", "Which fraction is equal to 1/2?", ["4/8", "2/3", "3/5", "5/8"]),
        (2, "decimals", "Which number is the largest of these decimals?", ["0.7", "0.65", "0.089", "0.099"]),
        (2, "rounding", "What is 67 rounded to the nearest ten?", ["70", "60", "65", "100"]),
        (2, "time", "A film starts at 3:40 and lasts 50 minutes. When does it end?", ["4:30", "4:20", "3:90", "4:10"]),
        (2, "planets", "Which planet is closest to the Sun?", ["Mercury", "Earth", "Mars", "Jupiter"]),
        (2, "water", "What does water become when it freezes?", ["ice", "steam", "sand", "smoke"]),
        (2, "colors", "Which color do you get when you mix blue and yellow paint?", ["green", "orange", "purple", "pink"]),
        (3, "primes", "Which of these numbers is prime?", ["37", "39", "51", "57"]),
        (3, "divisibility", "Which of these numbers is divisible by 9?", ["738", "649", "829", "913"]),
        (3, "percent", "Which of these is equal to 35 percent?", ["7/20", "3/5", "5/14", "35/10"]),
        (3, "expressions", "Which expression is equal to 2(x + 3)?", ["2x + 6", "2x + 3", "x + 6", "2x + 5"]),
        (3, "chemistry", "What is the chemical formula of water?", ["H2O", "CO2", "O2", "NaCl"]),
        (3, "Python", "What does the Python expression len('hello') give?", ["5", "4", "6", "hello"]),
        (3, "science", "Which gas do green plants take in from the air to make sugar?", ["carbon dioxide", "oxygen", "helium", "nitrogen"]),
        (4, "primes", "Only one of these numbers is prime. Which one?", ["97", "91", "87", "119"]),
        (4, "slopes", "What is the slope of the line through the points (1, 2) and (4, 11)?", ["3", "1/3", "9", "13/5"]),
        (4, "Python", "What does the Python expression [x * x for x in range(4)][-1] give?", ["9", "16", "4", "0"]),
        (4, "numbers", "Which of these numbers is irrational?", ["sqrt(8)", "sqrt(9)", "0.125", "22/7"]),
        (4, "powers", "Which of these powers is the largest?", ["2^40", "3^20", "5^15", "10^10"]),
        (4, "logic", "All cats are animals. Some animals are black. What follows for certain?",
         ["Every cat is an animal.", "Some cats are black.", "All animals are cats.", "No cat is black."]),
        (4, "logic", "Exactly one of three boxes holds a prize. The label of box 1 says \"not here\", the label of box 2 says \"not here\", the label of box 3 says \"in box 2\". Exactly one label is true. Where is the prize?",
         ["box 1", "box 2", "box 3", "this cannot be decided"]),
        (5, "calculus", "What is the derivative of x^2 * e^x?", ["(x^2 + 2x) e^x", "2x e^x", "x^2 e^x", "(2x + 1) e^x"]),
        (5, "modular arithmetic", "Which number x satisfies 7x = 1 modulo 31?", ["9", "4", "12", "24"]),
        (5, "groups", "How many elements of the additive group of integers modulo 12 generate the whole group on their own?", ["4", "6", "11", "12"]),
    ]
    for level, topic, stem, options in rows:
        if not places:
            places = dice.shuffled(range(4))  # Each place is right equally often.
        place = places.pop()
        others = dice.shuffled(options[1:])
        options = [*others[:place], options[0], *others[place:]]
        text = "\n".join([stem, *(f"{letter}) {option}" for letter, option in zip("ABCD", options))])
        if not bank.add("mc", subjects[topic], level, topic, text, "ABCD"[place], kind="choice", options=options):
            raise SystemExit(f"twice: {stem}")


def words(bank):
    rows = [
        (1, "days", "Which day of the week comes right after Tuesday? Answer with one word.", "Wednesday"),
        (1, "months", "Which month comes right before June? Answer with one word.", "May"),
        (1, "numbers", "Write the number 7 as an English word.", "seven"),
        (1, "opposites", "What is the opposite of the word \"up\"? Answer with one word.", "down"),
        (2, "spelling", "Write the word \"stone\" backwards.", "enots"),
        (2, "order", "Which of these words comes first in a dictionary: pear, lemon, melon, orange? Answer with one word.", "lemon"),
        (3, "days", "Today is Monday. Which day of the week is it in 100 days? Answer with one word.", "Wednesday"),
        (3, "order", "Karl is taller than Lena. Lena is taller than Max. Nora is taller than Karl. Who is the second tallest? Answer with one name.", "Karl"),
        (4, "cipher", "In a code each letter is replaced by the next one in the alphabet, so that \"cat\" becomes \"dbu\". Which word has the code \"qmbou\"?", "plant"),
    ]
    for level, topic, question, answer in rows:
        if not bank.add("text", "words", level, topic, question, answer, kind="text"):
            raise SystemExit(f"twice: {question}")


def code(bank):
    for level, topic, text, solution, asserts in TASKS:
        name = re.match(r"`(\w+)\(", text)[1]
        tests = {"type": "function", "language": "python", "entry_point": name,
                 "test_code": "".join(f"assert {line}\n" for line in asserts)}
        if not bank.add("code", "Python", level, topic, f"Write a Python function {text}", kind="code_function",
                        tests=tests, meta={"canonical_solution": solution.lstrip()}):
            raise SystemExit(f"twice: {name}")


def main():
    bank = Bank()
    for part in (small_numbers, arithmetic, fractions, algebra, word_problems, sequences, number_theory, counting,
                 geometry, competition, choices, words, code):
        part(bank)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("quickstart.jsonl")
    path.write_text(bank.dump(), encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(bank.rows)} questions")


if __name__ == "__main__":
    main()
