"""The Python tasks of the bank, with the solutions and asserts that make_bank.py writes."""

# (level, topic, text after "Write a Python function ", canonical solution, asserts)
TASKS = [
    (1, "numbers", "`add(a, b)` that returns the sum of two numbers.", """
def add(a, b):
    return a + b
""", ["add(1, 2) == 3", "add(-4, 4) == 0", "add(10, 25) == 35"]),
    (1, "numbers", "`double(n)` that returns two times the number n.", """
def double(n):
    return 2 * n
""", ["double(4) == 8", "double(0) == 0", "double(-3) == -6"]),
    (1, "numbers", "`is_even(n)` that returns True if the integer n is even and False if it is odd.", """
def is_even(n):
    return n % 2 == 0
""", ["is_even(4) is True", "is_even(7) is False", "is_even(0) is True", "is_even(-3) is False"]),
    (1, "numbers", "`larger(a, b)` that returns the larger one of two numbers.", """
def larger(a, b):
    return a if a > b else b
""", ["larger(3, 8) == 8", "larger(5, 2) == 5", "larger(-1, -6) == -1", "larger(4, 4) == 4"]),
    (1, "strings", "`last_letter(word)` that returns the last character of a string that is not empty.", """
def last_letter(word):
    return word[-1]
""", ["last_letter('tree') == 'e'", "last_letter('a') == 'a'", "last_letter('sun') == 'n'"]),
    (1, "strings", "`shout(text)` that returns the text in capital letters with an exclamation mark at its end. For example, shout('hi') is 'HI!'.", """
def shout(text):
    return text.upper() + '!'
""", ["shout('hi') == 'HI!'", "shout('Go on') == 'GO ON!'", "shout('') == '!'"]),
    (1, "lists", "`count_items(items)` that returns how many items a list has.", """
def count_items(items):
    return len(items)
""", ["count_items([1, 2, 3]) == 3", "count_items([]) == 0", "count_items(['a']) == 1"]),
    (2, "lists", "`sum_of_even(numbers)` that returns the sum of all even numbers in a list of integers.", """
def sum_of_even(numbers):
    return sum(n for n in numbers if n % 2 == 0)
""", ["sum_of_even([1, 2, 3, 4]) == 6", "sum_of_even([]) == 0", "sum_of_even([7, 9]) == 0", "sum_of_even([-2, 5, 10]) == 8"]),
    (2, "strings", "`count_vowels(text)` that returns how many of the characters of text are vowels (a, e, i, o, u, small or capital).", """
def count_vowels(text):
    return sum(c in 'aeiou' for c in text.lower())
""", ["count_vowels('banana') == 3", "count_vowels('Umbrella') == 3", "count_vowels('rhythm') == 0", "count_vowels('') == 0"]),
    (2, "strings", "`reverse_words(text)` that returns the words of text in reverse order, with one space between two words. For example, reverse_words('red green blue') is 'blue green red'.", """
def reverse_words(text):
    return ' '.join(text.split()[::-1])
""", ["reverse_words('red green blue') == 'blue green red'", "reverse_words('one') == 'one'", "reverse_words('') == ''", "reverse_words('a b') == 'b a'"]),
    (2, "strings", "`is_palindrome(word)` that returns True if the word reads the same forwards and backwards and False if not. Capital and small letters count as different.", """
def is_palindrome(word):
    return word == word[::-1]
""", ["is_palindrome('level') is True", "is_palindrome('house') is False", "is_palindrome('') is True", "is_palindrome('Anna') is False", "is_palindrome('abba') is True"]),
    (2, "numbers", "`factorial(n)` that returns the product 1 * 2 * ... * n. It returns 1 for n = 0.", """
def factorial(n):
    result = 1
    for k in range(2, n + 1):
        result *= k
    return result
""", ["factorial(0) == 1", "factorial(1) == 1", "factorial(5) == 120", "factorial(10) == 3628800"]),
    (2, "lists", "`remove_repeats(items)` that returns a list of the different items in the order in which they first appear. For example, remove_repeats([3, 1, 3, 2]) is [3, 1, 2].", """
def remove_repeats(items):
    result = []
    for item in items:
        if item not in result:
            result.append(item)
    return result
""", ["remove_repeats([3, 1, 3, 2]) == [3, 1, 2]", "remove_repeats([]) == []", "remove_repeats([1, 1, 1]) == [1]", "remove_repeats(['b', 'a', 'b']) == ['b', 'a']"]),
    (2, "numbers", "`digit_sum(n)` that returns the sum of the digits of an integer n that is not negative.", """
def digit_sum(n):
    return sum(int(d) for d in str(n))
""", ["digit_sum(0) == 0", "digit_sum(7) == 7", "digit_sum(1234) == 10", "digit_sum(9090) == 18"]),
    (3, "numbers", "`is_prime(n)` that returns True if the integer n is a prime number and False if not. It returns False for every n below 2.", """
def is_prime(n):
    if n < 2:
        return False
    d = 2
    while d * d <= n:
        if n % d == 0:
            return False
        d += 1
    return True
""", ["is_prime(2) is True", "is_prime(1) is False", "is_prime(0) is False", "is_prime(25) is False", "is_prime(97) is True", "is_prime(-7) is False", "is_prime(91) is False", "is_prime(4) is False"]),
    (3, "numbers", "`common_divisor(a, b)` that returns the greatest common divisor of two positive integers.", """
def common_divisor(a, b):
    while b:
        a, b = b, a % b
    return a
""", ["common_divisor(12, 18) == 6", "common_divisor(7, 13) == 1", "common_divisor(20, 5) == 5", "common_divisor(1, 9) == 1", "common_divisor(270, 192) == 6"]),
    (3, "lists", "`merge(a, b)` that takes two sorted lists of numbers and returns one sorted list with all their numbers, repeated ones included.", """
def merge(a, b):
    result, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] <= b[j]:
            result.append(a[i])
            i += 1
        else:
            result.append(b[j])
            j += 1
    return result + a[i:] + b[j:]
""", ["merge([1, 4], [2, 3]) == [1, 2, 3, 4]", "merge([], [5]) == [5]", "merge([1, 1], [1]) == [1, 1, 1]", "merge([], []) == []", "merge([-2, 9], [0]) == [-2, 0, 9]"]),
    (3, "lists", "`second_largest(numbers)` that returns the second largest of the different values in a list. It returns None if the list has fewer than two different values. For example, second_largest([5, 9, 9]) is 5.", """
def second_largest(numbers):
    values = sorted(set(numbers))
    return values[-2] if len(values) > 1 else None
""", ["second_largest([5, 9, 9]) == 5", "second_largest([1, 2, 3]) == 2", "second_largest([4, 4]) is None", "second_largest([]) is None", "second_largest([-1, -5]) == -5"]),
    (3, "strings", "`run_lengths(text)` that replaces every run of equal characters by the character and the length of the run. For example, run_lengths('aaabb') is 'a3b2'.", """
def run_lengths(text):
    result, i = '', 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        result += text[i] + str(j - i)
        i = j
    return result
""", ["run_lengths('aaabb') == 'a3b2'", "run_lengths('') == ''", "run_lengths('abc') == 'a1b1c1'", "run_lengths('zzzzzzzzzzzz') == 'z12'", "run_lengths('aabaa') == 'a2b1a2'"]),
    (3, "strings", "`caesar(text, k)` that moves each small letter a to z forward by k places in the alphabet, starting again at a after z, and leaves all other characters as they are. k is from 0 to 25. For example, caesar('xyz!', 3) is 'abc!'.", """
def caesar(text, k):
    result = ''
    for c in text:
        if 'a' <= c <= 'z':
            c = chr((ord(c) - ord('a') + k) % 26 + ord('a'))
        result += c
    return result
""", ["caesar('xyz!', 3) == 'abc!'", "caesar('abc', 0) == 'abc'", "caesar('Hello', 1) == 'Hfmmp'", "caesar('a b', 25) == 'z a'", "caesar('', 5) == ''"]),
    (3, "strings", "`balanced(text)` that takes a string of the characters ( ) [ ] and returns True if every bracket is closed by one of its own kind in the right order and False if not.", """
def balanced(text):
    stack = []
    for c in text:
        if c in '([':
            stack.append(c)
        elif not stack or stack.pop() + c not in ('()', '[]'):
            return False
    return not stack
""", ["balanced('()[]') is True", "balanced('([])') is True", "balanced('([)]') is False", "balanced('(') is False", "balanced(']') is False", "balanced('') is True", "balanced('[[()]()]') is True"]),
    (4, "strings", "`roman_to_int(text)` that returns the value of a correctly written Roman number of capital letters (I = 1, V = 5, X = 10, L = 50, C = 100, D = 500, M = 1000). For example, roman_to_int('XIV') is 14.", """
def roman_to_int(text):
    values = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'D': 500, 'M': 1000}
    total = 0
    for i, c in enumerate(text):
        if i + 1 < len(text) and values[c] < values[text[i + 1]]:
            total -= values[c]
        else:
            total += values[c]
    return total
""", ["roman_to_int('XIV') == 14", "roman_to_int('III') == 3", "roman_to_int('MCMXCIV') == 1994", "roman_to_int('CDXLIV') == 444", "roman_to_int('LX') == 60"]),
    (4, "lists", "`pair_with_sum(numbers, target)` that returns a tuple (i, j) of positions with i < j and numbers[i] + numbers[j] == target, or None if there is no such pair. If there are several pairs, it returns the one with the smallest i, and among those the one with the smallest j.", """
def pair_with_sum(numbers, target):
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            if numbers[i] + numbers[j] == target:
                return (i, j)
    return None
""", ["pair_with_sum([2, 7, 11, 15], 9) == (0, 1)", "pair_with_sum([3, 3], 6) == (0, 1)", "pair_with_sum([1, 2, 3], 10) is None", "pair_with_sum([5], 10) is None", "pair_with_sum([1, 4, 4, 1], 5) == (0, 1)", "pair_with_sum([0, 3, 2, 5, 0], 5) == (0, 3)"]),
    (4, "lists", "`longest_rising(numbers)` that returns the length of the longest part of neighboring numbers in the list in which each number is greater than the one before. It returns 0 for an empty list.", """
def longest_rising(numbers):
    best = length = 0
    for i, n in enumerate(numbers):
        length = length + 1 if i and n > numbers[i - 1] else 1
        best = max(best, length)
    return best
""", ["longest_rising([1, 2, 3, 1, 2]) == 3", "longest_rising([]) == 0", "longest_rising([5, 4, 3]) == 1", "longest_rising([2, 2]) == 1", "longest_rising([3, 1, 2, 5, 9]) == 4"]),
    (4, "grids", "`rotate(grid)` that takes a list of rows of equal length and returns a new list of rows: the grid turned by 90 degrees clockwise. For example, rotate([[1, 2], [3, 4]]) is [[3, 1], [4, 2]].", """
def rotate(grid):
    return [list(row) for row in zip(*grid[::-1])]
""", ["rotate([[1, 2], [3, 4]]) == [[3, 1], [4, 2]]", "rotate([[1, 2, 3]]) == [[1], [2], [3]]", "rotate([[1], [2]]) == [[2, 1]]", "rotate([[7]]) == [[7]]"]),
    (5, "dynamic programming", "`fewest_coins(coins, amount)` that returns the smallest number of coins that add up to amount, or -1 if no choice of coins does. Each kind of coin can be used any number of times.", """
def fewest_coins(coins, amount):
    best = [0] + [None] * amount
    for total in range(1, amount + 1):
        counts = [best[total - c] for c in coins if c <= total and best[total - c] is not None]
        best[total] = min(counts) + 1 if counts else None
    return -1 if best[amount] is None else best[amount]
""", ["fewest_coins([1, 2, 5], 11) == 3", "fewest_coins([2], 3) == -1", "fewest_coins([1, 3, 4], 6) == 2", "fewest_coins([5, 7], 0) == 0", "fewest_coins([3, 1], 1) == 1", "fewest_coins([4, 9], 23) == -1", "fewest_coins([1, 7, 10], 14) == 2"]),
    (5, "dynamic programming", "`edit_distance(a, b)` that returns the smallest number of steps that turn string a into string b. A step inserts, deletes or replaces one character.", """
def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]
""", ["edit_distance('cat', 'cut') == 1", "edit_distance('', 'abc') == 3", "edit_distance('xy', '') == 2", "edit_distance('same', 'same') == 0", "edit_distance('garden', 'danger') == 4", "edit_distance('abcd', 'bcde') == 2", "edit_distance('abc', 'b') == 2"]),
    (5, "parsing", "`calculate(text)` that returns the integer value of a correct expression of non-negative integers, the signs + - * and round brackets, without spaces. The sign * binds more tightly than + and -. It must not use eval. For example, calculate('2+3*(4-1)') is 11.", """
def calculate(text):
    position = 0

    def atom():
        nonlocal position
        if text[position] == '(':
            position += 1
            value = total()
            position += 1
            return value
        start = position
        while position < len(text) and text[position].isdigit():
            position += 1
        return int(text[start:position])

    def product():
        nonlocal position
        value = atom()
        while position < len(text) and text[position] == '*':
            position += 1
            value *= atom()
        return value

    def total():
        nonlocal position
        value = product()
        while position < len(text) and text[position] in '+-':
            sign = 1 if text[position] == '+' else -1
            position += 1
            value += sign * product()
        return value

    return total()
""", ["calculate('2+3*(4-1)') == 11", "calculate('7') == 7", "calculate('10-2-3') == 5", "calculate('2*3+4*5') == 26", "calculate('(1+2)*(3+4)') == 21", "calculate('8-(2-(1-5))') == 2", "calculate('((12))*10') == 120"]),
]
