"""Decides whether an answer to a math, choice or text question is right.

>>> from gradus_verify import verify
>>> verify(r"\\frac{\\sqrt2}{2}", r"\\sin 45^\\circ").outcome
'correct'
"""

from ._native import RULES_VERSION, Extracted, Verdict, extract, verify, verify_batch

__all__ = ["RULES_VERSION", "Extracted", "Verdict", "extract", "verify", "verify_batch"]
