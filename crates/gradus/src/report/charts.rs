//! Charts as SVG: drawn here, coloured by the page's own style, readable without it.

use std::fmt::Write;

/// A bar: its length is `value`; a histogram scales to the longest.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) note: String,
    /// What stands below the label in a histogram.
    pub(super) sub: String,
    /// Class of its colour.
    pub(super) class: &'static str,
}

/// A value with its interval, all 0..1.
pub(super) struct Point {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) note: String,
}

/// A share at a place, with its interval, all but the place 0..1.
pub(super) struct CurvePoint {
    pub(super) x: f64,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) note: String,
}

/// Two shares to compare, 0..1.
pub(super) struct Pair {
    pub(super) label: String,
    pub(super) wanted: f64,
    pub(super) found: f64,
    pub(super) note: String,
}

/// A part of a whole.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) share: f64,
    pub(super) note: String,
}

/// Width of a chart in its own units; the page scales it.
const WIDTH: f64 = 640.0;
/// Width of a chart that stands beside another.
const HALF: f64 = 440.0;

/// Lying bars of length 0..1, one under the other.
pub(super) fn bars(bars: &[Bar]) -> String {
    const ROW: f64 = 26.0;
    const LEFT: f64 = 210.0;
    const FULL: f64 = 250.0;
    let mut svg = open("Funnel", WIDTH, ROW * bars.len() as f64 + 4.0);
    for (at, bar) in bars.iter().enumerate() {
        let y = at as f64 * ROW + 4.0;
        text(&mut svg, LEFT - 10.0, y + 14.0, "end", "label", &bar.label);
        rect(&mut svg, (LEFT, y, FULL, 18.0), "track", "");
        rect(&mut svg, (LEFT, y, FULL * bar.value.clamp(0.0, 1.0), 18.0), bar.class, &bar.note);
        text(&mut svg, LEFT + FULL + 10.0, y + 14.0, "start", "note", &bar.note);
    }
    close(svg)
}

/// Standing bars on a common base, scaled to the longest.
pub(super) fn histogram(title: &str, bars: &[Bar]) -> String {
    const HEIGHT: f64 = 150.0;
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max).max(1.0);
    let step = HALF / bars.len().max(1) as f64;
    let mut svg = open(title, HALF, HEIGHT + 58.0);
    for (at, bar) in bars.iter().enumerate() {
        let (x, height) = (at as f64 * step, HEIGHT * bar.value / most);
        // A bar of one in a million is still a line.
        let height = if bar.value > 0.0 { height.max(1.5) } else { 0.0 };
        let hint = format!("{}: {}", bar.label, bar.note);
        rect(&mut svg, (x + step * 0.12, 20.0 + HEIGHT - height, step * 0.76, height), bar.class, &hint);
        text(&mut svg, x + step / 2.0, 14.0 + HEIGHT - height, "middle", "note", &bar.note);
        text(&mut svg, x + step / 2.0, HEIGHT + 38.0, "middle", "label", &bar.label);
        text(&mut svg, x + step / 2.0, HEIGHT + 53.0, "middle", "note", &bar.sub);
    }
    line(&mut svg, (0.0, HEIGHT + 20.0), (HALF, HEIGHT + 20.0), "axis");
    close(svg)
}

/// Values with their intervals on a scale of 0 to 100 per cent.
pub(super) fn intervals(title: &str, points: &[Point]) -> String {
    const ROW: f64 = 26.0;
    const LEFT: f64 = 70.0;
    const FULL: f64 = 290.0;
    let bottom = ROW * points.len() as f64 + 2.0;
    let mut svg = open(title, WIDTH, bottom + 22.0);
    for tick in 0..=4_u8 {
        let x = LEFT + FULL * f64::from(tick) / 4.0;
        line(&mut svg, (x, 0.0), (x, bottom), "grid");
        text(&mut svg, x, bottom + 16.0, "middle", "label", &format!("{} %", tick * 25));
    }
    for (at, point) in points.iter().enumerate() {
        let y = at as f64 * ROW + ROW / 2.0;
        let x = |value: f64| LEFT + FULL * value.clamp(0.0, 1.0);
        text(&mut svg, LEFT - 12.0, y + 4.0, "end", "label", &point.label);
        line(&mut svg, (x(point.low), y), (x(point.high), y), "whisker");
        let _ = write!(svg, r#"<circle cx="{:.1}" cy="{y:.1}" r="4.5" class="dot"/>"#, x(point.value));
        text(&mut svg, LEFT + FULL + 18.0, y + 4.0, "start", "note", &point.note);
    }
    close(svg)
}

/// Shares over a scale of whole numbers `0..=last`, with their intervals, and a line through `(place, share)` that was
/// fitted to them; no line if it has fewer than two points.
pub(super) fn curve(title: &str, last: u8, points: &[CurvePoint], fitted: &[(f64, f64)]) -> String {
    const HEIGHT: f64 = 190.0;
    const LEFT: f64 = 52.0;
    let last = f64::from(last.max(1));
    let x = |place: f64| LEFT + 12.0 + (HALF - LEFT - 24.0) * (place / last).clamp(0.0, 1.0);
    let y = |share: f64| 10.0 + HEIGHT * (1.0 - share.clamp(0.0, 1.0));
    let mut svg = open(title, HALF, HEIGHT + 36.0);
    for tick in 0..=4_u8 {
        let at = y(f64::from(tick) / 4.0);
        line(&mut svg, (LEFT, at), (HALF, at), "grid");
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", "label", &format!("{} %", tick * 25));
    }
    for place in 0..=last as u8 {
        text(&mut svg, x(f64::from(place)), HEIGHT + 28.0, "middle", "label", &place.to_string());
    }
    if fitted.len() > 1 {
        let corners: Vec<String> =
            fitted.iter().map(|(place, share)| format!("{:.1},{:.1}", x(*place), y(*share))).collect();
        let _ = write!(svg, r#"<polyline points="{}" class="fit"/>"#, corners.join(" "));
    }
    for point in points {
        let at = x(point.x);
        line(&mut svg, (at, y(point.low)), (at, y(point.high)), "whisker");
        let hint = escape(&point.note);
        let _ = write!(
            svg,
            r#"<circle cx="{at:.1}" cy="{:.1}" r="4.5" class="dot"><title>{hint}</title></circle>"#,
            y(point.value)
        );
    }
    close(svg)
}

/// Two bars side by side per label, scaled to the longest.
pub(super) fn pairs(title: &str, pairs: &[Pair]) -> String {
    const HEIGHT: f64 = 130.0;
    let most = pairs.iter().flat_map(|pair| [pair.wanted, pair.found]).fold(0.0, f64::max).max(1e-9);
    let step = WIDTH / pairs.len().max(1) as f64;
    let mut svg = open(title, WIDTH, HEIGHT + 60.0);
    for (at, pair) in pairs.iter().enumerate() {
        let x = at as f64 * step;
        for (side, share, class) in [(0.14, pair.wanted, "want"), (0.51, pair.found, "a")] {
            let height = HEIGHT * share / most;
            let box_ = (x + step * side, 20.0 + HEIGHT - height, step * 0.35, height);
            rect(&mut svg, box_, class, &format!("{:.1} %", share * 100.0));
            text(
                &mut svg,
                x + step * (side + 0.175),
                14.0 + HEIGHT - height,
                "middle",
                "note",
                &format!("{:.0} %", share * 100.0),
            );
        }
        text(&mut svg, x + step / 2.0, HEIGHT + 38.0, "middle", "label", &pair.label);
        text(&mut svg, x + step / 2.0, HEIGHT + 54.0, "middle", "note", &pair.note);
    }
    line(&mut svg, (0.0, HEIGHT + 20.0), (WIDTH, HEIGHT + 20.0), "axis");
    close(svg)
}

/// Wholes split into parts, one bar each.
pub(super) fn stacks(stacks: &[(String, Vec<Part>)]) -> String {
    const ROW: f64 = 44.0;
    let mut svg = open("Verdicts", WIDTH, ROW * stacks.len() as f64 + 2.0);
    for (at, (label, parts)) in stacks.iter().enumerate() {
        let y = at as f64 * ROW;
        text(&mut svg, 0.0, y + 14.0, "start", "label", label);
        let notes: Vec<&str> = parts.iter().map(|part| part.note.as_str()).collect();
        text(&mut svg, WIDTH, y + 14.0, "end", "note", &notes.join(" · "));
        let mut x = 0.0;
        for part in parts.iter().filter(|part| part.share > 0.0) {
            rect(&mut svg, (x, y + 20.0, WIDTH * part.share, 14.0), part.class, &part.note);
            x += WIDTH * part.share;
        }
    }
    close(svg)
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escape(title);
    format!(
        r#"<svg viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{title}" xmlns="http://www.w3.org/2000/svg">"#
    )
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}

fn rect(svg: &mut String, (x, y, width, height): (f64, f64, f64, f64), class: &str, hint: &str) {
    let _ =
        write!(svg, r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" class="{class}">"#);
    if !hint.is_empty() {
        let _ = write!(svg, "<title>{}</title>", escape(hint));
    }
    svg.push_str("</rect>");
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = write!(svg, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    let words = escape(words);
    let _ = write!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{words}</text>"#);
}

fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in super::visible(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_its_points_its_line_and_no_markup_of_others() {
        let point = |x, value| CurvePoint { x, value, low: value - 0.1, high: value + 0.1, note: "<b>".into() };
        let svg = curve("a \"title\"", 9, &[point(0.0, 1.0), point(9.0, 0.0)], &[(0.0, 1.0), (9.0, 0.0)]);
        // The corners of the plot: x 64..428, y 10..200.
        assert!(svg.contains(r#"<polyline points="64.0,10.0 428.0,200.0" class="fit"/>"#), "{svg}");
        assert!(svg.contains(r#"<circle cx="64.0" cy="10.0""#) && svg.contains(r#"<circle cx="428.0" cy="200.0""#));
        assert!(!svg.contains("<b>") && svg.contains("&lt;b&gt;") && svg.contains("a &quot;title&quot;"));
        assert!(!curve("none", 9, &[], &[]).contains("polyline"));
    }
}
