//! How does a conversation become one text? By the template that a model's files bring along.
//!
//! Templates are written for Python's Jinja2 as `transformers` calls it. `tools` is left undefined, since templates ask
//! whether it is there; a date asked for is a fixed one, so that the same request is the same prompt tomorrow.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;

/// A model's chat template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    beginning: String,
    end: String,
}

impl Template {
    /// Compiles a template; `beginning` and `end` are the texts of the tokens `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// If it is no valid template.
    pub fn new(source: &str, beginning: &str, end: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| fixed_date(&format));
        environment.add_template_owned("chat", without_generation_marks(source))?;
        Ok(Self { environment, beginning: beginning.to_owned(), end: end.to_owned() })
    }

    /// A conversation as one text; with `add_generation_prompt` it asks for the next message of the assistant.
    ///
    /// # Errors
    /// If the template refuses the conversation (some do not take system messages, for one).
    pub fn render(&self, messages: &[impl Serialize], add_generation_prompt: bool) -> Result<String, Error> {
        let messages = Value::from(Serde(messages));
        self.environment.get_template("chat")?.render(context! {
            messages,
            add_generation_prompt,
            bos_token => &self.beginning,
            eos_token => &self.end,
        })
    }
}

/// Marks of `transformers` around what an assistant wrote; Jinja itself does not know them.
fn without_generation_marks(source: &str) -> String {
    let marks = regex::Regex::new(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}").expect("it is well-formed");
    // An empty comment in its place strips the white space that the mark would have stripped.
    marks.replace_all(source, "{#$1 $2#}").into_owned()
}

/// 26 July 2024, the day that Llama's templates fall back to, at midnight.
fn fixed_date(format: &str) -> String {
    let parts = [
        ("%Y", "2024"),
        ("%m", "07"),
        ("%d", "26"),
        ("%B", "July"),
        ("%b", "Jul"),
        ("%A", "Friday"),
        ("%a", "Fri"),
        ("%y", "24"),
        ("%H", "00"),
        ("%M", "00"),
        ("%S", "00"),
    ];
    parts.iter().fold(format.to_owned(), |text, (code, value)| text.replace(code, value))
}

#[cfg(test)]
mod tests {
    use gradus_model::{Message, Speaker};
    use serde_json::json;

    use super::*;

    fn check(source: &str, expected: &str) {
        let messages = [
            Message { role: Speaker::System, content: " Be brief. ".into() },
            Message { role: Speaker::User, content: "1+1?".into() },
        ];
        let template = Template::new(source, "<s>", "</s>").unwrap();
        assert_eq!(template.render(&messages, true).unwrap(), expected);
    }

    #[test]
    fn a_template_sees_what_transformers_would_give_it() {
        check(
            "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m.content.strip() }}{{ eos_token }}{% endfor %}",
            "<s>[system]Be brief.</s>[user]1+1?</s>",
        );
        check("{%- if tools is defined %}tools{% endif %}{% if add_generation_prompt %}A:{% endif %}", "A:");
        check("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc");
        check("x {%- generation %} y {% endgeneration -%} z", "x y z");
        check("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024");
        check("{{ messages[0]['content'].split('b')[0] | trim }}{{ messages[1:] | length }}", "Be1");
    }

    #[test]
    fn a_template_can_refuse() {
        let template = Template::new("{{ raise_exception('no system message') }}", "", "").unwrap();
        let error = template.render(&[] as &[Message], true).unwrap_err();
        assert!(error.to_string().contains("no system message"), "{error}");
    }

    #[test]
    fn a_template_sees_further_keys_and_whether_an_answer_is_asked_for() {
        let source = "{% for m in messages %}{% if m.reasoning_content is defined %}({{ m.reasoning_content }}){% endif %}\
            {{ m.content }};{% endfor %}{% if add_generation_prompt %}?{% endif %}";
        let template = Template::new(source, "", "").unwrap();
        let messages = [json!({"role": "user", "content": "q"}), json!({"content": "a", "reasoning_content": "r"})];
        assert_eq!(template.render(&messages, false).unwrap(), "q;(r)a;");
        assert_eq!(template.render(&messages[..1], true).unwrap(), "q;?");
    }
}
