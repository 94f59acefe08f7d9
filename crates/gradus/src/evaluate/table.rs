//! The figures of an evaluation as Markdown, to be pasted.

use super::{Group, Lengths, Score, Spread, Summary};

/// One table of the model, one of its lengths, one per level and subject where the bank names them; how to read them.
pub fn markdown(summary: &Summary) -> String {
    let settings = &summary.settings;
    let k = settings.k;
    // With one attempt all three are the same.
    let several = |cells: String| if k > 1 { cells } else { String::new() };
    let mut text = format!(
        "| model | bank | questions | k | pass@1 | 95 % interval |{} truncated |\n|---|---|---|---|---|---|---|{}\n",
        several(format!(" maj@{k} | pass@{k} |")),
        several("---|---|".to_owned()),
    );
    text.push_str(&format!(
        "| {} | {} | {} | {k} | {} | {} |{} {} |\n\n",
        cell(&settings.model),
        cell(&settings.bank.join(", ")),
        summary.n_scored,
        percent(summary.pass_at_1.mean),
        interval(&summary.pass_at_1),
        several(format!(
            " {} | {} |",
            percent(summary.maj_at_k.and_then(|majority| majority.score.mean)),
            percent(summary.pass_at_k.score.mean)
        )),
        percent(summary.truncated),
    ));
    let (unit, lengths) =
        if summary.tokens.all.n > 0 { ("tokens", &summary.tokens) } else { ("characters", &summary.characters) };
    text.push_str(&length_table(unit, lengths));
    if summary.curve.len() > 1 {
        text.push_str("| k | pass@k | 95 % interval | questions |\n|---|---|---|---|\n");
        for point in &summary.curve {
            let score = &point.score;
            text.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                point.k,
                percent(score.mean),
                interval(score),
                score.n_questions
            ));
        }
        text.push('\n');
    }
    text.push_str(&group_table("level", &summary.levels));
    text.push_str(&group_table("subject", &summary.subjects));
    text.push_str(&format!("{}\n", reading(summary)));
    for caveat in summary.caveats() {
        text.push_str(&format!("- {caveat}\n"));
    }
    text
}

/// What the figures mean, in one paragraph.
fn reading(summary: &Summary) -> String {
    let sampling = match &summary.settings.sampling {
        Some(sampling) => format!(
            "temperature {}, top_p {}, at most {} tokens",
            sampling.temperature, sampling.top_p, sampling.max_tokens
        ),
        None => "recorded answers, sampling settings unknown".to_owned(),
    };
    let ties = match summary.maj_at_k {
        Some(majority) if majority.n_ties > 0 => format!(
            " {} questions are tied in the vote and count the share of correct answers among those that lead.",
            majority.n_ties
        ),
        _ => String::new(),
    };
    let left: Vec<String> = std::iter::once(("not_recorded", summary.not_recorded))
        .chain(summary.left.iter().map(|(reason, n)| (reason.as_str(), *n)))
        .filter(|(_, n)| *n > 0)
        .map(|(reason, n)| format!("{n} {reason}"))
        .collect();
    let left = if left.is_empty() { String::new() } else { format!(" Questions left out: {}.", left.join(", ")) };
    format!(
        "pass@1 is the mean over questions of the share of correct attempts (avg@{}); {sampling}. The interval takes \
         questions as the unit (Wilson's, with the effective number of trials).{ties}{left}",
        summary.settings.k
    )
}

fn length_table(unit: &str, lengths: &Lengths) -> String {
    let mut text = format!("| {unit} per answer | attempts | mean | median |\n|---|---|---|---|\n");
    for (name, spread) in [
        ("all", &lengths.all),
        ("right", &lengths.right),
        ("wrong", &lengths.wrong),
        ("thinking", &lengths.thinking),
        ("output", &lengths.output),
    ] {
        let Spread { n, mean, median } = spread;
        text.push_str(&format!("| {name} | {n} | {} | {} |\n", whole(*mean), whole(*median)));
    }
    text + "\n"
}

fn group_table(what: &str, groups: &[Group]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("| {what} | questions | pass@1 | 95 % interval |\n|---|---|---|---|\n");
    for Group { name, score } in groups {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            cell(name),
            score.n_questions,
            percent(score.mean),
            interval(score)
        ));
    }
    text + "\n"
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share))
}

fn interval(score: &Score) -> String {
    score.ci95.map_or_else(|| "-".to_owned(), |[low, high]| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high))
}

fn whole(length: Option<f64>) -> String {
    length.map_or_else(|| "-".to_owned(), |length| format!("{length:.0}"))
}

/// Text that cannot break the table it stands in.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_table() {
        let mut summary = Summary::default();
        summary.settings.model = "a|b\nc".into();
        summary.levels = vec![Group { name: "x|y".into(), ..Group::default() }];
        let heads = [1, 4].map(|k| {
            summary.settings.k = k;
            let text = markdown(&summary);
            let width = |line: &str| line.replace("\\|", "").matches('|').count();
            text.lines().take(3).map(width).collect::<Vec<_>>()
        });
        assert_eq!(heads, [[8; 3].to_vec(), [10; 3].to_vec()]);
        let text = markdown(&summary);
        assert!(text.contains("| x\\|y | 0 | - | - |"), "{text}");
    }
}
