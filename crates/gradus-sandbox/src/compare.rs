//! Is this the expected output? The comparison of LiveCodeBench's grader: strip both, line by line, then token by token.

use crate::FloatTolerance;

/// Whether `found` says the same as `expected`; if not, where they part, in one line.
///
/// Both are stripped, split at line ends, and every line is stripped. Lines that differ as text may still agree as
/// sequences of decimal numbers, of any notation (`1`, `1.0`, `1e0`): exactly, unless there is a `tolerance`. With one,
/// lines agree token by token: as text, or as numbers that are close enough.
pub(crate) fn compare(found: &str, expected: &str, tolerance: Option<FloatTolerance>) -> Result<(), String> {
    let lines = |text: &str| text.trim().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let (found, expected) = (lines(found), lines(expected));
    if found.len() != expected.len() {
        return Err(format!("{} lines instead of {}", found.len(), expected.len()));
    }
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let same = found == expected
            || same_numbers(found, expected)
            || tolerance.is_some_and(|tolerance| close(found, expected, tolerance));
        if !same {
            return Err(format!("line {}: {} instead of {}", index + 1, shorten(found), shorten(expected)));
        }
    }
    Ok(())
}

fn same_numbers(found: &str, expected: &str) -> bool {
    let decimals = |line: &str| line.split_whitespace().map(Decimal::parse).collect::<Option<Vec<_>>>();
    decimals(found).is_some_and(|found| decimals(expected) == Some(found))
}

/// Whether the tokens of two lines agree, numbers within `tolerance`.
fn close(found: &str, expected: &str, tolerance: FloatTolerance) -> bool {
    let number = |token: &str| {
        Decimal::parse(token)?;
        token.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    let same = |found: &str, expected: &str| {
        if found == expected || same_numbers(found, expected) {
            return true;
        }
        let (Some(found), Some(expected)) = (number(found), number(expected)) else { return false };
        let allowed = tolerance.absolute.max(tolerance.relative * expected.abs());
        // Finer than a float can tell: only what is exactly equal passes.
        allowed >= f64::EPSILON * expected.abs() && (found - expected).abs() <= allowed
    };
    let (mut found, mut expected) = (found.split_whitespace(), expected.split_whitespace());
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return true,
            (Some(found), Some(expected)) if same(found, expected) => {}
            _ => return false,
        }
    }
}

/// An exact decimal number: digits without leading or trailing zeros, times a power of ten.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        Some(Self {
            negative,
            digits: significant.into(),
            exponent: i64::from(exponent) - fraction.len() as i64 + trailing as i64,
        })
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{short}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &str, expected: &str, same: bool) {
        assert_eq!(compare(found, expected, None).is_ok(), same, "{found:?} against {expected:?}");
    }

    #[test]
    fn white_space_at_the_ends_of_lines_is_no_difference() {
        check("  1 2 \n3\n\n", "1 2\n3", true);
        check("1\r\n2\r\n", "1\n2", true);
        check("1\n\n2", "1\n2", false);
    }

    #[test]
    fn numbers_are_compared_as_decimals() {
        check("1.0 2", "1 2.00", true);
        check("1e3", "1000", true);
        check("-0", "0.0", true);
        check("0.1", "0.10001", false);
        check("1  2", "1 2", true);
        check("100000000000000000000000001", "100000000000000000000000002", false);
        check("-1", "1", false);
        check("10", "100", false);
    }

    #[test]
    fn a_tolerance_holds_for_numbers_only() {
        let check = |found: &str, expected: &str, absolute: f64, relative: f64, same: bool| {
            let result = compare(found, expected, Some(FloatTolerance { absolute, relative }));
            assert_eq!(result.is_ok(), same, "{found:?} against {expected:?}: {result:?}");
        };
        check("0.10001", "0.1", 1e-4, 0.0, true);
        check("0.1002", "0.1", 1e-4, 0.0, false);
        check("1000.5", "1000", 0.0, 1e-3, true);
        check("1002", "1000", 0.0, 1e-3, false);
        check("0.00001", "0", 0.0, 1e-3, false);
        check("Case  1: 0.50001", "Case 1: 0.5", 1e-4, 0.0, true);
        check("Case 1: 0.5 1", "Case 1: 0.5", 1.0, 0.0, false);
        check("1\n2", "1 2", 1.0, 0.0, false);
        check("yes", "Yes", 1.0, 1.0, false);
        check("nan", "1", 1.0, 1.0, false);
        check("inf", "1e400", 1.0, 1.0, false);
        check("1e400", "10e399", 1.0, 1.0, true);
        check("100000000000000000000000001", "100000000000000000000000002", 1e-6, 0.0, false);
        check("0.5", "0.50001", -1.0, 0.0, false);
    }

    #[test]
    fn words_are_compared_as_text() {
        check("YES", "YES", true);
        check("Yes", "YES", false);
        check("a  b", "a b", false);
        check("", "1", false);
        check("", "", true);
    }
}
