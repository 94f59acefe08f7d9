//! Final answers in full responses.

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, extract, verify};

fn check(response: &str, expected: Option<&str>) {
    let found = extract(response, Kind::Math);
    assert_eq!(
        found.as_ref().map(|e| e.text.trim()),
        expected,
        "in {response:?}, by {:?}",
        found.as_ref().map(|e| e.rule)
    );
    if let Some(found) = found {
        assert_eq!(&response[found.span.clone()], found.text, "the span points into the response");
    }
}

fn choice(response: &str, gold: &str) -> Outcome {
    let reference = Reference { kind: Kind::Choice, values: vec![gold.into()], tolerance: None, options: Vec::new() };
    verify(&reference, &Answer { text: response, form: Form::Text }).outcome
}

#[test]
fn the_last_box_is_the_answer() {
    check(r"So \boxed{4}.", Some("4"));
    check(r"First \boxed{3}, no: the value is \boxed{5}.", Some("5"));
    check(r"\boxed{\frac{1}{\sqrt{2}}}", Some(r"\frac{1}{\sqrt{2}}"));
    check(r"\boxed{\boxed{7}}", Some("7"));
    check(r"Answer: \fbox{12}", Some("12"));
    check(r"\boxed{\{1,2\}}", Some(r"\{1,2\}"));
    check(r"\boxed 5", Some("5"));
    check(r"\boxed{28}\%", Some(r"\boxed{28}\%"));
}

#[test]
fn neighbouring_boxes_are_one_answer() {
    check(r"$x=\boxed{2}$ or $x=\boxed{3}$", Some(r"\boxed{2}$ or $x=\boxed{3}"));
    check(r"\boxed{1} and \boxed{-2}", Some(r"\boxed{1} and \boxed{-2}"));
    check(r"We saw \boxed{1}. After a long correction it is \boxed{2}.", Some("2"));
}

#[test]
fn announced_answers_are_found() {
    check("Steps: 3, 4.\n#### 42", Some("42"));
    check("The answer is 42.", Some("42"));
    check("The answer is **42**.", Some("42"));
    check("The answer is 3.5 cm.", Some("3.5 cm"));
    check("Final Answer: The final answer is $x+1$. I hope it is correct.", Some("x+1"));
    check("The answer is not 41. The answer is 42.", Some("42"));
    check("Answer: 44 (see Section 912)", Some("44"));
    check("所以答案是 43。", Some("43"));
    check("The largest $n$ is then given. Final Answer: The largest $n$ is 34.", Some("34"));
}

#[test]
fn the_emphasised_number_of_an_announcing_sentence_is_the_answer() {
    check("**Final Answer:** After the 4-hour walk Ann is **45 miles** from home.", Some("45"));
    check("**Answer:** You get **10** cups for $1.", Some("10"));
    check("**Answer:** The difference is **-25**. Ben has more.", Some("-25"));
    check("**Answer:** Of the **3** boxes **2** are full.", Some("3"));
}

#[test]
fn a_phrase_with_nothing_behind_it_announces_nothing() {
    check("We get 8 times 8. So 64 is the final answer.", Some("64"));
    check(
        "A right answer = 5 points, a wrong one costs 2.\n\nThe sums are long, and there are many of them here: first the points of all right ones, then what the wrong ones cost. What is left is divided by seven, as there are seven points between a right one and a wrong one.\n\nSo Ann was right 56 times.",
        Some("56"),
    );
}

#[test]
fn the_last_formula_or_number_is_the_fallback() {
    check("We get $x = 3$ and then $y = 7$.", Some("y = 7"));
    check("That makes 12 apples and 15 pears, 27 in all.", Some("27"));
    check("The total is $37.", Some("37"));
    check("It costs $5 for one and $12 for three.", Some("12"));
    check("= 1,234.50 in the end", Some("1,234.50"));
    check("so it is -5", Some("-5"));
    check("about 25%", Some("25%"));
}

#[test]
fn thinking_is_no_answer() {
    check(r"<think>maybe \boxed{3}</think>The answer is \boxed{4}.", Some("4"));
    check(r"<think>maybe \boxed{3}", None);
    check(r"maybe \boxed{3}</think>It is \boxed{4}.", Some("4"));
    check("<think>it is 5</think>", None);
    check("", None);
    check("   ", None);
    check(r"The answer is \boxed{ }", None);
}

#[test]
fn json_answers_survive_broken_backslashes() {
    check(r#"{"reasoning": "so $\frac{1}{2}$", "answer": "\frac{1}{2}"}"#, Some(r"\frac{1}{2}"));
    check("{\"reasoning\": \"...\", \"answer\": 18}", Some("18"));
    check("```json\n{\n \"reasoning\": \"a\",\n \"answer\": \"18\"\n}\n```", Some("18"));
    check(r#"{"reasoning": "cut off", "answer": "\frac{3}{4}"#, Some(r"\frac{3}{4}"));
    check(r#"{"reasoning": "x", "answer": "She has 12 apples left."}"#, Some("12"));
}

#[test]
fn letters_are_found_in_prose() {
    assert_eq!(choice("The correct answer is (C).", "C"), Outcome::Correct);
    assert_eq!(choice(r"So, option E is right. Final answer: \boxed{\mathrm{E}}", "E"), Outcome::Correct);
    assert_eq!(choice("D. it can't be A or B", "D"), Outcome::Correct);
    assert_eq!(choice("I first thought A was right, but the correct answer is (B).", "A"), Outcome::Incorrect);
    assert_eq!(choice("**Answer: E**", "E"), Outcome::Correct);
    assert_eq!(choice("Nothing fits.", "E"), Outcome::NoAnswer);
    assert_eq!(choice("All in all I would take E.", "E"), Outcome::Correct);
    assert_eq!(choice("At 24 °C it takes 750 J, and the E-vector has", "E"), Outcome::NoAnswer);
    assert_eq!(choice("so it is $y = 2x + C", "C"), Outcome::NoAnswer);
    assert_eq!(choice(r"That makes \boxed{12 \text{ m}}. So, the answer is (J).", "J"), Outcome::Correct);
}
