"""How check_bank.py finds the answer to a math or text question: one rule per form of question.

A rule is a regular expression for the whole question and a function of the
numbers and words in it. Its route is never the generator's short one: it
counts, tries all cases, simulates, measures with coordinates, or uses exact
fractions.
"""

import ast
import calendar
import datetime
import itertools
import math
import re
import string
from collections import Counter
from fractions import Fraction

RULES = []  # (pattern of a question, function of its numbers and words)


def rule(pattern):
    """Register a function of the numbers and words in a question that gives its answer."""
    def register(function):
        RULES.append((re.compile(pattern.replace("#", r"(-?\d+)").replace("@", r"(\w+)"), re.S), function))
        return function
    return register


def number(word):
    return int(word) if re.fullmatch(r"-?\d+", word) else word


# ---- What an answer means

def exact(answer):
    """The rational value of an answer, or None."""
    if match := re.fullmatch(r"(-?)\\frac\{(\d+)\}\{(\d+)\}", answer):
        return Fraction(int(match[1] + match[2]), int(match[3]))
    return Fraction(answer) if re.fullmatch(r"-?\d+(\.\d+)?", answer) else None


def real(answer):
    """The value of an answer with roots or pi, as a float."""
    text = re.sub(r"\\sqrt\{(\d+)\}", r"*(\1**0.5)", answer).replace("\\pi", f"*{math.pi!r}")
    text = re.sub(r"(^|[+-])\*", r"\1", text)
    if not re.fullmatch(r"[\d.+*()-]+", text):
        raise ValueError(f"cannot read {answer!r}")
    return eval(text)


def calculate(text, **names):
    """A formula as written in a question, in exact fractions."""
    def walk(node):
        match node:
            case ast.Constant(value=int(value)):
                return Fraction(value)
            case ast.Name(id=name):
                return Fraction(names[name])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return walk(left) + walk(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return walk(left) - walk(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return walk(left) * walk(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return walk(left) / walk(right)
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))):
                return walk(left) ** power
        raise ValueError(f"cannot read {text!r}")
    text = re.sub(r"(\d)(?=[a-z])", r"\1*", text).replace("^", "**")
    return walk(ast.parse(text.strip(), mode="eval").body)


def solution(equation):
    """The solution of a linear equation, from its values at 0 and 1."""
    left, right = equation.split("=")
    at = lambda x: calculate(left, x=x) - calculate(right, x=x)
    return at(0) / (at(0) - at(1))


def cell_count(*sides):
    return sum(1 for _ in itertools.product(*map(range, sides)))


def share(cases, holds):
    cases = list(cases)
    return Fraction(sum(map(bool, map(holds, cases))), len(cases))


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, n))


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


# ---- Small numbers: count with the fingers

@rule(r"(?:What is|How much is|Add)? ?# (?:\+|plus|and) #(?:\?| = \?|\.)")
@rule(r"What is the sum of # and #\?")
def _(a, b):
    return len(list(range(a)) + list(range(b)))


@rule(r"(?:What is|How much is)? ?# (?:-|minus) #(?:\?| = \?)")
def _(a, b):
    return len(range(b, a))


@rule(r"Subtract # from #\.")
def _(b, a):
    return len(range(b, a))


@rule(r"What is # (?:times|\*) #\?")
def _(a, b):
    return cell_count(a, b)


@rule(r"What is # divided by #\?")
def _(a, b):
    return next(k for k in range(a + 1) if k * b == a)


@rule(r"When you count 1, 2, 3 and so on, which number comes right (after|before) #\?")
def _(word, n):
    line = list(range(1, 100))
    return line[line.index(n) + (1 if word == "after" else -1)]


@rule(r"Which number is (larger|smaller): # or #\?")
def _(word, a, b):
    return sorted([a, b])[-1 if word == "larger" else 0]


@rule(r"What is (double|half of) #\?")
def _(word, n):
    return n + n if word == "double" else next(k for k in range(n + 1) if k + k == n)


@rule(r"@ has # @\. @ gives \1 # more \3\. How many \3 does \1 have now\?")
def _(_name, a, _things, _other, b):
    return len("o" * a + "o" * b)


@rule(r"There are # @ on the table\. @ takes # of them away\. How many \2 are left on the table\?")
def _(a, _things, _name, b):
    return len(list("o" * a)[b:])


# ---- Facts

week = list(calendar.day_name)
year = list(calendar.month_name)[1:]
FACTS = {
    "How many days are in one week?": len(week),
    "How many months are in one year?": len(year),
    "How many minutes are in one hour?": datetime.timedelta(hours=1) // datetime.timedelta(minutes=1),
    "How many hours are in one day?": datetime.timedelta(days=1) // datetime.timedelta(hours=1),
    "How many letters are in the English alphabet?": len(string.ascii_lowercase),
    "How many faces does a cube have?": len([(axis, side) for axis in "xyz" for side in (0, 1)]),
    "How many corners does a square have?": len(set(itertools.product((0, 1), repeat=2))),
    "How many sides does a triangle have?": 3,
    "How many fingers are on two hands, thumbs included?": 2 * len("thumb index middle ring little".split()),
    "How many legs does a spider have?": 8,
    "How many legs does a dog have?": 4,
    "How many eggs are in two dozen eggs?": 12 + 12,
}
for question, fact in FACTS.items():
    RULES.append((re.compile(re.escape(question)), lambda fact=fact: fact))


# ---- Arithmetic

@rule(r"Calculate (.+)\.")
def _(formula):
    return calculate(formula)


@rule(r"What is ([\d.]+) ([+*]) ([\d.]+)\? Give a decimal number\.")
def _(a, sign, b):
    def hundredths(text):
        whole, _, places = text.partition(".")
        return int(whole) * 100 + int(places.ljust(2, "0"))
    a, b = hundredths(a), hundredths(b)
    return Fraction(a + b, 100) if sign == "+" else Fraction(a * b, 10000)


@rule(r"What is (\d+/\d+ [-+*] \d+/\d+)\? Give the answer as a fraction in lowest terms\.")
def _(formula):
    return calculate(formula)


@rule(r"Divide #/# by #/#\. Give the answer as a fraction in lowest terms\.")
def _(a, b, c, d):
    return next(Fraction(p, q) for q in range(1, 200) for p in range(1, 400) if p * c * b == a * q * d)


@rule(r"Write #/# in lowest terms\.")
def _(a, b):
    return next(Fraction(p, q) for q in range(1, b + 1) for p in range(1, a + 1) if p * b == a * q)


@rule(r"What is #/# of #\?")
def _(a, b, n):
    heap = list(range(n))
    return sum(len(heap[i::b]) for i in range(a))


@rule(r"What is # percent of #\?")
def _(p, n):
    return sum([Fraction(1, 100) * n] * p)


@rule(r"# is what percent of #\? Give only the number\.")
def _(part, n):
    return next(p for p in range(101) if p * n == 100 * part)


@rule(r"A coat costs # euros\. Its price is made # percent (higher|lower)\. What is the new price in euros\?")
def _(n, p, word):
    cents = [n] * 100  # n euros in cents, a hundredth of the price in each heap
    heaps = cents + cents[:p] if word == "higher" else cents[p:]
    return Fraction(sum(heaps), 100)


# ---- Algebra

@rule(r"Solve for x(?: and give a fraction)?: (.+)\.")
def _(equation):
    return solution(equation)


@rule(r"What is the (larger|smaller) solution of (.+) = 0\?")
def _(word, polynomial):
    f = lambda x: float(calculate(polynomial, x=Fraction(x)))
    middle = (f(-1) - f(1)) / 4  # the vertex of x^2 + bx + c is at -b/2
    side = 1 if word == "larger" else -1
    inner, outer = 0.0, 50.0
    for _ in range(200):
        step = (inner + outer) / 2
        inner, outer = (step, outer) if f(middle + side * step) < 0 else (inner, step)
    return middle + side * inner


@rule(r"If #x \+ (\d*)y = # and x \+ y = #, what is (x|y)\?")
def _(a, b, total, plain, asked):
    b = 1 if b == "" else b
    found = [(x, plain - x) for x in range(-100, 101) if a * x + b * (plain - x) == total]
    assert len(found) == 1
    return found[0][asked == "y"]


@rule(r"What is the value of (.+) when x = #\?")
def _(formula, x):
    return calculate(formula, x=x)


@rule(r"Simplify (.+)\.")
def _(formula):
    return lambda answer: re.fullmatch(r"\d+x", answer) and all(
        calculate(formula, x=x) == calculate(answer, x=x) for x in range(-3, 4))


# ---- Word problems: play them

@rule(r"There are # boxes\. Each box holds # @\. How many \3 are there in all\?")
def _(a, b, _things):
    return cell_count(a, b)


@rule(r"@ shares # @ equally among # friends\. How many \3 does each friend get\?")
def _(_name, total, _things, friends):
    hands = [0] * friends
    for i in range(total):
        hands[i % friends] += 1
    assert len(set(hands)) == 1
    return hands[0]


@rule(r"@ has # @\. @ has # times as many \3\. How many \3 do they have together\?")
def _(_name, a, _things, _other, k):
    return len("o" * a + "o" * a * k)


@rule(r"A toy costs # euros\. @ buys # toys and pays with # euros\. How many euros does \2 get back\?")
def _(price, _name, count, paid):
    for _ in range(count):
        paid -= price
    assert paid >= 0
    return paid


@rule(r"@ is # years old\. @ is # years older than \1\. How old will \3 be in # years\?")
def _(_name, age, _other, older, years):
    born = 2000 - age - older
    return 2000 + years - born


@rule(r"@ and @ have # @ together\. \1 has # more \4 than \2\. How many \4 does \2 have\?")
def _(_name, _other, total, _things, more):
    return next(k for k in range(total) if k + (k + more) == total)


@rule(r"# workers paint a house in # days\. All workers are equally fast\. In how many days would # workers paint the house\?")
def _(a, days, b):
    return next(t for t in range(1, 1000) if Fraction(b * t, a * days) == 1)


@rule(r"An empty tank can hold # liters\. A pipe brings in # liters each minute, and a leak loses # liters each minute\. After how many minutes is the tank full\?")
def _(size, gain, loss):
    level = minutes = 0
    while level < size:
        level, minutes = level + gain - loss, minutes + 1
    assert level == size
    return minutes


@rule(r"@ walks along a road at # kilometers per hour\. @ starts from the same place # hours? later and rides the same way at # kilometers per hour\. How many hours after \3 starts does \3 reach \1\?")
def _(_name, slow, _other, late, fast):
    walker, rider, hours = slow * late, 0, 0
    while rider < walker:
        walker, rider, hours = walker + slow, rider + fast, hours + 1
    assert rider == walker
    return hours


@rule(r"@ alone needs # hours to clean a hall\. @ alone needs # hours\. How many hours do they need if they clean it together\?")
def _(_name, a, _other, b):
    return next(t for t in range(1, 100) if Fraction(t, a) + Fraction(t, b) == 1)


# ---- Sequences and number theory

@rule(r"What is the next number: (.+), \.\.\.\?")
def _(terms):
    terms = [int(t) for t in terms.split(", ")]
    steps = {b - a for a, b in zip(terms, terms[1:])}
    assert len(steps) == 1
    return terms[-1] + steps.pop()


@rule(r"Each number is # times the one before\. What is the next number: (.+), \.\.\.\?")
def _(factor, terms):
    terms = [int(t) for t in terms.split(", ")]
    assert all(b == factor * a for a, b in zip(terms, terms[1:]))
    return sum([terms[-1]] * factor)


@rule(r"The sequence (.+), \.\.\. goes up by the same amount each time\. What is its term number #\?")
def _(terms, k):
    terms = [int(t) for t in terms.split(", ")]
    while len(terms) < k:
        terms.append(2 * terms[-1] - terms[-2])
    return terms[k - 1]


@rule(r"What is the sum of all whole numbers from 1 to #\?")
def _(k):
    return sum(range(1, k + 1))


@rule(r"What is the greatest common divisor of # and #\?")
def _(a, b):
    return max(set(divisors(a)) & set(divisors(b)))


@rule(r"What is the least common multiple of # and #\?")
def _(a, b):
    return next(m for m in itertools.count(1) if m % a == 0 == m % b)


@rule(r"What is the remainder when # is divided by #\?")
def _(a, b):
    while a >= b:
        a -= b
    return a


@rule(r"What is the sum of the digits of #\?")
def _(n):
    total = 0
    while n:
        total, n = total + n % 10, n // 10
    return total


@rule(r"What is the last digit of #\^#\?")
def _(a, e):
    return int(str(a**e)[-1])


@rule(r"What is the remainder when #\^# is divided by #\?")
def _(a, e, m):
    return a**e - m * (a**e // m)


@rule(r"How many positive divisors does # have\?")
def _(n):
    return len(divisors(n))


@rule(r"What is the smallest prime number greater than #\?")
def _(n):
    return next(p for p in itertools.count(n + 1) if is_prime(p))


@rule(r"What is the largest prime number that divides #\?")
def _(n):
    return max(d for d in divisors(n) if is_prime(d))


# ---- Counting and probability: try all cases

DIE = range(1, 7)


@rule(r"A menu has # soups and # main dishes\. How many meals of one soup and one main dish are possible\?")
def _(a, b):
    return cell_count(a, b)


LOWEST = r" Give the answer as a fraction in lowest terms\."


@rule(r"A fair coin is thrown once\. What is the probability of heads\?" + LOWEST)
def _():
    return share("HT", lambda side: side == "H")


@rule(r"A fair coin is thrown # times\. What is the probability of (exactly|at least) # heads\?" + LOWEST)
def _(n, word, k):
    return share(itertools.product("HT", repeat=n),
                 lambda t: t.count("H") == k if word == "exactly" else t.count("H") >= k)


@rule(r"A fair die with the numbers 1 to 6 is rolled once\. What is the probability of rolling a #\?" + LOWEST)
def _(k):
    return share(DIE, lambda n: n == k)


@rule(r"Two fair dice with the numbers 1 to 6 are rolled\. What is the probability that the sum is #\?" + LOWEST)
def _(k):
    return share(itertools.product(DIE, DIE), lambda t: sum(t) == k)


@rule(r"Three fair dice with the numbers 1 to 6 are rolled\. What is the probability that all three numbers are different\?" + LOWEST)
def _():
    return share(itertools.product(DIE, DIE, DIE), lambda t: len(set(t)) == 3)


@rule(r"A bag holds # red balls and # blue balls\. (One ball is|Two balls are) drawn at random.* What is the probability that (?:it is|both are) red\?" + LOWEST)
def _(red, blue, drawn):
    balls = [1] * red + [0] * blue
    return share(itertools.permutations(balls, 1 if drawn.startswith("One") else 2), all)


@rule(r"In how many different orders can # children stand in a row\?")
def _(n):
    return len(list(itertools.permutations(range(n))))


@rule(r"Nine people meet\. Each shakes hands once with each of the others\. How many handshakes are there\?")
def _():
    return len({frozenset(pair) for pair in itertools.product(range(9), repeat=2) if len(set(pair)) == 2})


@rule(r"In how many ways can a team of # be chosen from # players\?")
def _(k, n):
    return len(list(itertools.combinations(range(n), k)))


@rule(r"How many three-digit numbers can be written with the digits 1, 2, 3, 4 and 5 if no digit is used twice\?")
def _():
    return sum(set(str(n)) <= set("12345") and len(set(str(n))) == 3 for n in range(100, 1000))


@rule(r"How many different words, with or without meaning, can be made from all the letters of the word ([A-Z]+)\?")
def _(word):
    return len(set(itertools.permutations(word)))


@rule(r"A robot stands in the lower left corner of a board of # by # squares\. Each move goes one square to the right or one square up\. How many ways lead to the upper right corner\?")
def _(a, b):
    ways = lambda x, y: 1 if (x, y) == (a, b) else sum(ways(*p) for p in ((x + 1, y), (x, y + 1)) if p[0] <= a and p[1] <= b)
    return ways(1, 1)


@rule(r"In how many ways can 3 boys and 3 girls sit at a round table so that boys and girls alternate\? Seatings that differ only by turning the table count as one\.")
def _():
    seatings = {min(s[i:] + s[:i] for i in range(6)) for s in itertools.permutations("ABCxyz")}
    return sum(all(s[i].isupper() != s[i - 1].isupper() for i in range(6)) for s in seatings)


# ---- Geometry: count cells, measure with coordinates

@rule(r"A rectangle is # cm long and # cm wide\. What is its (area in square|perimeter in) centimeters\?")
def _(a, b, what):
    corners = [(0, 0), (a, 0), (a, b), (0, b)]
    return cell_count(a, b) if "area" in what else sum(
        int(math.dist(corners[i], corners[i - 1])) for i in range(4))


@rule(r"A triangle has a base of # cm and a height of # cm\. What is its area in square centimeters\?")
def _(a, b):
    return Fraction(cell_count(a, b), 2)


@rule(r"Two angles of a triangle are # degrees and # degrees\. How many degrees is the third angle\?")
def _(a, b):
    return next(c for c in range(1, 180) if a + b + c == 180)


@rule(r"A triangle with a right angle has legs of # cm and # cm\. How many centimeters long is its longest side\?")
def _(a, b):
    return next(c for c in range(1, a + b) if c * c == a * a + b * b)


@rule(r"What is the (area|circumference) of a circle of radius #\? Give the answer in terms of pi\.")
def _(what, r):
    half = math.pi / 2**20  # a polygon of 2^20 sides, as near to the circle as we need
    inside = r * r * math.sin(2 * half) / 2 * 2**20 if what == "area" else 2 * r * math.sin(half) * 2**20
    return lambda answer: answer.endswith("\\pi") and math.isclose(real(answer), inside, rel_tol=1e-9)


@rule(r"A box is # cm long, # cm wide and # cm high\. What is its (volume in cubic|surface area in square) centimeters\?")
def _(a, b, c, what):
    if "volume" in what:
        return cell_count(a, b, c)
    inside = set(itertools.product(range(a), range(b), range(c)))
    return sum((x + i, y + j, z + k) not in inside for x, y, z in inside
               for i, j, k in [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])


@rule(r"What is the area of a triangle whose three sides are all # long\?")
def _(a):
    s = 1.5 * a
    return math.sqrt(s * (s - a) ** 3)


@rule(r"A cube has edges of length #\. What is the distance between two opposite corners of the cube\?")
def _(a):
    return math.dist((0, 0, 0), (a, a, a))


@rule(r"A circle has radius #\. A chord of it lies at distance # from the center\. How long is the chord\?")
def _(r, d):
    return next(2 * h for h in range(1, r) if h * h + d * d == r * r)


@rule(r"A triangle has sides of length #, # and #\. What is the radius of its inscribed circle\?")
def _(a, b, c):
    # Corners (0, 0) and (c, 0); the third from the two distances; the incenter from the weighted corners.
    x = (b * b + c * c - a * a) / (2 * c)
    y = math.sqrt(b * b - x * x)
    return c * y / (a + b + c)


@rule(r"How many points \(x, y\) with whole numbers x and y lie inside or on the circle x\^2 \+ y\^2 = #\?")
def _(n):
    return sum(x * x + y * y <= n for x in range(-n, n + 1) for y in range(-n, n + 1))


@rule(r"How many diagonals does a polygon with # corners have\?")
def _(n):
    return sum((j - i) % n not in (1, n - 1) for i, j in itertools.combinations(range(n), 2))


# ---- Competition

@rule(r"How many positive integers less than # are divisible by # but not by #\?")
def _(n, a, b):
    return sum(k % a == 0 and k % b != 0 for k in range(1, n))


@rule(r"A stair has # steps\. Each move goes up 1, 2 or 3 steps\. In how many ways can you climb it\?")
def _(n):
    return sum(sum(moves) == n for k in range(n + 1) for moves in itertools.product((1, 2, 3), repeat=k))


@rule(r"What is the smallest positive integer that leaves remainder # when divided by #, remainder # when divided by # and remainder # when divided by #\?")
def _(a, b, c, d, e, f):
    return next(n for n in itertools.count(1) if (n % b, n % d, n % f) == (a, c, e))


@rule(r"How many zeros stand at the end of #! written in full\?")
def _(n):
    digits = str(math.factorial(n))
    return len(digits) - len(digits.rstrip("0"))


@rule(r"What is the sum of the digits of 10\^# - #\?")
def _(e, n):
    return sum(map(int, str(10**e - n)))


@rule(r"How many four-digit numbers that read the same backwards are divisible by #\?")
def _(m):
    return sum(str(n) == str(n)[::-1] and n % m == 0 for n in range(1000, 10000))


@rule(r"Two different numbers are chosen at random from 1, 2, \.\.\., #\. What is the probability that their product is divisible by #\?" + LOWEST)
def _(n, m):
    return share(itertools.permutations(range(1, n + 1), 2), lambda t: t[0] * t[1] % m == 0)


@rule(r"If x \+ 1/x = #, what is x\^3 \+ 1/x\^3\?")
def _(s):
    x = (s + math.sqrt(s * s - 4)) / 2
    return x**3 + x**-3


@rule(r"How many subsets of \{1, 2, \.\.\., #\} contain no two consecutive numbers\? The empty set counts\.")
def _(n):
    return sum(bits & bits << 1 == 0 for bits in range(2**n))


@rule(r"What is the largest integer n such that #\^n divides #!\?")
def _(p, n):
    return max(k for k in range(n) if math.factorial(n) % p**k == 0)


@rule(r"How many rectangles, squares included, can be found in a grid of # by # unit squares\?")
def _(a, b):
    return sum(1 for x in range(a) for y in range(b) for _ in itertools.product(range(x + 1, a + 1), range(y + 1, b + 1)))


@rule(r"In how many ways can # be written as a sum of three positive integers, if the order of the terms does not matter\?")
def _(n):
    return len({tuple(sorted((a, b, n - a - b))) for a in range(1, n) for b in range(1, n - a)})


@rule(r"How many positive integers up to # have exactly # positive divisors\?")
def _(n, k):
    return sum(len(divisors(m)) == k for m in range(1, n + 1))


@rule(r"What is 1/\(1\*2\) \+ 1/\(2\*3\) \+ 1/\(3\*4\) \+ \.\.\. \+ 1/\(#\*21\)\?" + LOWEST)
def _(n):
    assert n == 20
    return sum(Fraction(1, k * (k + 1)) for k in range(1, n + 1))


@rule(r"What is the coefficient of x\^# when \(1 \+ x \+ x\^2\)\^# is multiplied out\?")
def _(k, n):
    return sum(sum(powers) == k for powers in itertools.product((0, 1, 2), repeat=n))


@rule(r"A fair die with the numbers 1 to 6 is rolled until every number has appeared at least once\. What is the expected number of rolls\?" + LOWEST)
def _():
    # The sum over n of the probability that n rolls do not suffice; terms beyond 600 are below 1e-45.
    seen, total = [1.0] + [0.0] * 6, 0.0
    for _ in range(600):
        total += sum(seen[:6])
        seen = [seen[k] * k / 6 + (seen[k - 1] * (7 - k) / 6 if k else 0) for k in range(7)]
    return total


@rule(r"The numbers 1 to 6 are written in a row so that no number k stands at place k\. In how many ways can this be done\?")
def _():
    return sum(all(k != place for place, k in enumerate(row, 1)) for row in itertools.permutations(DIE))


@rule(r"Write the square root of # \+ #\*sqrt\(2\) in the form a \+ b\*sqrt\(2\) with whole numbers a and b\.")
def _(p, q):
    found = [(a, b) for a in range(50) for b in range(50) if a * a + 2 * b * b == p and 2 * a * b == q]
    assert found == [(3, 1)]
    return math.sqrt(p + q * math.sqrt(2))


@rule(r"How many integers from 1 to # have digits that add up to #\?")
def _(n, s):
    return sum(sum(map(int, str(k))) == s for k in range(1, n + 1))


@rule(r"How many words of # letters, each letter A or B, do not contain AAA\?")
def _(n):
    return sum("AAA" not in "".join(word) for word in itertools.product("AB", repeat=n))


@rule(r"What is the largest three-digit number that can be written in at least two ways as the sum of the squares of two positive integers\?")
def _():
    ways = Counter(a * a + b * b for a in range(1, 32) for b in range(1, a + 1))
    return max(n for n in ways if n < 1000 and ways[n] > 1)


@rule(r"How many ordered pairs \(a, b\) of positive integers satisfy 1/a \+ 1/b = 1/#\?")
def _(n):
    return sum((a + b) * n == a * b for a in range(1, n * n + n + 1) for b in range(1, n * n + n + 1))


@rule(r"What is the sum of the whole parts of the square roots of 1, 2, 3, \.\.\., #\?")
def _(n):
    return sum(max(k for k in range(n + 1) if k * k <= m) for m in range(1, n + 1))


# ---- Words

@rule(r"Which day of the week comes right after @\? Answer with one word\.")
def _(day):
    return week[week.index(day) - 6]


@rule(r"Which month comes right before @\? Answer with one word\.")
def _(month):
    return year[year.index(month) - 1]


@rule(r"Write the number # as an English word\.")
def _(n):
    return "zero one two three four five six seven eight nine ten".split()[n]


@rule(r"What is the opposite of the word \"@\"\? Answer with one word\.")
def _(word):
    return {"up": "down"}[word]


@rule(r"Write the word \"@\" backwards\.")
def _(word):
    return "".join(reversed(word))


@rule(r"Which of these words comes first in a dictionary: (.+)\? Answer with one word\.")
def _(words):
    return min(words.split(", "))


@rule(r"Today is @\. Which day of the week is it in # days\? Answer with one word\.")
def _(day, n):
    start = next(d for i in range(7) if (d := datetime.date(2024, 1, 1 + i)).strftime("%A") == day)
    return (start + datetime.timedelta(days=n)).strftime("%A")


@rule(r"Karl is taller than Lena\. Lena is taller than Max\. Nora is taller than Karl\. Who is the second tallest\? Answer with one name\.")
def _():
    orders = [o for o in itertools.permutations(["Karl", "Lena", "Max", "Nora"])
              if o.index("Karl") < o.index("Lena") < o.index("Max") and o.index("Nora") < o.index("Karl")]
    assert len(orders) == 1
    return orders[0][1]


@rule(r"In a code each letter is replaced by the next one in the alphabet, so that \"cat\" becomes \"dbu\"\. Which word has the code \"@\"\?")
def _(word):
    return word.translate(str.maketrans(string.ascii_lowercase, "z" + string.ascii_lowercase[:-1]))
