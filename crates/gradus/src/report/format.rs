//! Numbers and texts as a person reads them.

use crate::metrics::Share;

/// With thin blanks between thousands.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// With so many decimals.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}")
}

/// A share as per cent; never rounded to 0 or 100 when it is not.
pub(super) fn percent(share: f64) -> String {
    match share {
        share if share > 0.0 && share < 0.0005 => "<0.1\u{202f}%".to_owned(),
        share if share < 1.0 && share > 0.9995 => ">99.9\u{202f}%".to_owned(),
        share if share == 0.0 || share == 1.0 => format!("{:.0}\u{202f}%", share * 100.0),
        share => format!("{:.1}\u{202f}%", share * 100.0),
    }
}

/// A share with its interval and its n.
pub(super) fn share(share: &Share) -> String {
    match (share.rate, share.low, share.high) {
        (Some(rate), Some(low), Some(high)) => {
            format!("{} [{}, {}], n = {}", percent(rate), percent(low), percent(high), count(share.n))
        }
        _ => "n = 0".to_owned(),
    }
}

/// US dollars, with as many decimals as a small amount needs.
pub(super) fn money(usd: f64) -> String {
    match usd {
        usd if usd == 0.0 || usd >= 1.0 => format!("${usd:.2}"),
        usd if usd >= 0.1 => format!("${usd:.3}"),
        usd if usd >= 0.001 => format!("${usd:.5}"),
        usd => format!("${usd:.2e}"),
    }
}

/// Seconds as hours, minutes and seconds.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{:.1} s", seconds.max(0.0)),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// Control characters as their pictures, and marks that reorder or hide text as U+FFFD.
pub(super) fn visible(text: &str) -> String {
    let picture = |c: char| match c {
        '\n' | '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{fffe}'
        | '\u{ffff}' => '\u{fffd}',
        c => c,
    };
    text.replace("\r\n", "\n").chars().map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shares_do_not_vanish() {
        assert_eq!(percent(0.0001), "<0.1\u{202f}%");
        assert_eq!(percent(0.99999), ">99.9\u{202f}%");
        assert_eq!(percent(0.0), "0\u{202f}%");
        assert_eq!(percent(0.125), "12.5\u{202f}%");
    }

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        assert_eq!(count(1234567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (duration(3.21), duration(61.0), duration(7260.0)),
            ("3.2 s".into(), "1 min 1 s".into(), "2 h 1 min".into())
        );
        assert_eq!(
            (money(0.0), money(12.345), money(0.0123), money(0.000012)),
            ("$0.00".into(), "$12.35".into(), "$0.01230".into(), "$1.20e-5".into())
        );
    }

    #[test]
    fn what_a_page_would_hide_is_shown() {
        assert_eq!(visible("a\0b\u{1b}[0m\r\n\u{202e}c\u{85}\r"), "a␀b␛[0m\n\u{fffd}c\u{fffd}␍");
    }
}
