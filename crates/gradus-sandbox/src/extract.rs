//! The program in a response: which of the fenced blocks it is, and how a completion becomes a program.

use std::sync::LazyLock;

use crate::Languages;

/// The program that `response` holds, in `language`, as the built-in table knows it ([`Languages::extract_code`]).
pub fn extract_code<'a>(response: &'a str, language: &str) -> Option<&'a str> {
    BUILT_IN.extract_code(response, language)
}

static BUILT_IN: LazyLock<Languages> = LazyLock::new(Languages::default);

impl Languages {
    /// The program that `response` holds, in `language`.
    ///
    /// - Only what follows the last `</think>` counts; a thought that never ends holds no program.
    /// - Of the fenced blocks (three or more backticks or tildes) the last one wins whose tag is the language's name or
    ///   one of its entry's `fences`, in any case; else the last one without a tag; never one of another language. The
    ///   tag ends at a blank, comma, colon or brace.
    /// - A block is closed by a fence of the same letters, at least as long. One that is not closed runs to the end,
    ///   and counts only if no closed one does.
    /// - Without any fence the whole response is taken if it looks like code: a line begins with one of the words of
    ///   Python, C++, JavaScript or Rust. In other languages only fences count.
    pub fn extract_code<'a>(&self, response: &'a str, language: &str) -> Option<&'a str> {
        let language = self.name(language).unwrap_or(language);
        let said = match response.rfind("</think>") {
            Some(end) => &response[end + "</think>".len()..],
            None if response.trim_start().starts_with("<think>") => return None,
            None => response,
        };
        let blocks = blocks(said);
        if blocks.is_empty() {
            let code = looks_like(said, language).then(|| said.trim_matches('\n'));
            return code.filter(|code| !code.trim().is_empty());
        }
        let fences = self.fences(language);
        let last = |closed: bool, wanted: &dyn Fn(&str) -> bool| {
            blocks.iter().rev().find(|block| block.closed == closed && wanted(&block.tag)).map(|block| block.code)
        };
        let ours = |tag: &str| fences.iter().any(|fence| fence == tag);
        last(true, &ours)
            .or_else(|| last(true, &str::is_empty))
            .or_else(|| last(false, &ours))
            .or_else(|| last(false, &str::is_empty))
    }
}

/// The program made of a prompt that ends inside a function, and a completion of it (HumanEval's form).
///
/// A completion that begins with a definition, a decorator or an import is a program of its own and follows the prompt,
/// so that the prompt's imports and helpers stay. One whose first line lost its indentation gets it back.
pub fn join_completion(prompt: &str, completion: &str) -> String {
    let first = completion.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let whole = ["def ", "class ", "import ", "from ", "@", "async def "].iter().any(|start| first.starts_with(start));
    let prompt_ends_line = prompt.ends_with('\n');
    if whole {
        // The prompt's function must have a body; a docstring is one, but not every prompt has it.
        let last = prompt.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let indent = &last[..last.len() - last.trim_start().len()];
        let indent = if indent.is_empty() { "    " } else { indent };
        format!("{prompt}{}{indent}pass\n\n{completion}", if prompt_ends_line { "" } else { "\n" })
    } else if first.starts_with([' ', '\t']) || first.is_empty() {
        format!("{prompt}{}{completion}", if prompt_ends_line || completion.starts_with('\n') { "" } else { "\n" })
    } else {
        format!("{prompt}{}    {}", if prompt_ends_line { "" } else { "\n" }, completion.trim_start())
    }
}

struct Block<'a> {
    tag: String,
    code: &'a str,
    closed: bool,
}

/// All fenced blocks, in order.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    // Fence, tag, and where the code begins.
    let mut open: Option<(&str, String, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        let fence = &trimmed[..trimmed.len() - trimmed.trim_start_matches(['`', '~']).len()];
        let is_fence =
            fence.len() >= 3 && (fence.bytes().all(|byte| byte == b'`') || fence.bytes().all(|byte| byte == b'~'));
        if !is_fence {
            continue;
        }
        let info = trimmed[fence.len()..].trim();
        match &open {
            Some((opened, tag, begin))
                if info.is_empty() && fence.len() >= opened.len() && fence.as_bytes()[0] == opened.as_bytes()[0] =>
            {
                blocks.push(Block { tag: tag.clone(), code: &text[*begin..start], closed: true });
                open = None;
            }
            Some(_) => {}
            // Text after the fence on one line, as in ```x = 1```, is no block.
            None if info.contains('`') => {}
            None => {
                let tag = info.split([' ', '{', ',', ':']).next().unwrap_or_default().to_ascii_lowercase();
                open = Some((fence, tag, at));
            }
        }
    }
    if let Some((_, tag, begin)) = open {
        blocks.push(Block { tag, code: &text[begin..], closed: false });
    }
    blocks
}

fn looks_like(text: &str, language: &str) -> bool {
    let starts: &[&str] = match language {
        "python" => &["def ", "class ", "import ", "from ", "print(", "for ", "while ", "if __name__", "@"],
        "cpp" => &["#include", "int main"],
        "javascript" => &["function ", "const ", "let ", "var ", "console."],
        "rust" => &["fn ", "use ", "pub fn "],
        _ => &[],
    };
    // Prose begins with such words too ("for all n ..."), so a line must also end or read like code.
    text.lines().any(|line| {
        starts.iter().any(|start| line.starts_with(start))
            && (line.trim_end().ends_with([':', ')', ';', '{', '>', '"', '\''])
                || line.starts_with("import ")
                || (line.starts_with("from ") && line.contains(" import "))
                || line.contains('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &str, code: Option<&str>) {
        assert_eq!(extract_code(response, "python"), code, "{response}");
    }

    #[test]
    fn the_last_block_of_the_language_wins() {
        check("```python\na = 1\n```\ntext\n```python\na = 2\n```\n```text\nout\n```", Some("a = 2\n"));
        check("```py\na = 1\n```\n```cpp\nint a;\n```", Some("a = 1\n"));
        check("~~~python3\na = 1\n~~~", Some("a = 1\n"));
        check("   ```Python\n   a = 1\n   ```", Some("   a = 1\n"));
    }

    #[test]
    fn a_block_without_a_tag_stands_in() {
        check("```\na = 1\n```", Some("a = 1\n"));
        check("```\na = 1\n```\n```python\na = 2\n```\n```\n5\n```", Some("a = 2\n"));
        check("```cpp\nint a;\n```", None);
    }

    #[test]
    fn a_block_cut_off_counts_only_if_no_other_does() {
        check("```python\na = 1\n```\n```python\na = ", Some("a = 1\n"));
        check("```python\na = 1", Some("a = 1"));
    }

    #[test]
    fn a_longer_fence_may_hold_a_shorter_one() {
        check("````python\ns = '''\n```\n'''\n````", Some("s = '''\n```\n'''\n"));
    }

    #[test]
    fn thoughts_hold_no_program() {
        check("<think>```python\na = 1\n```</think>\n```python\na = 2\n```", Some("a = 2\n"));
        check("<think>\n```python\na = 1\n```\nhmm", None);
        check("<think>\n```python\na = 1\n```\n</think>\nI do not know.", None);
    }

    #[test]
    fn a_bare_response_counts_if_it_looks_like_code() {
        check("def f(x):\n    return x\n", Some("def f(x):\n    return x"));
        check("import sys\nprint(1)", Some("import sys\nprint(1)"));
        check("The answer is 5.", None);
        check("for all n the claim holds", None);
        check("", None);
    }

    #[test]
    fn every_language_has_its_fences() {
        let response = "```c++\nint a;\n```\n```js\nlet a;\n```\n```Rust,ignore\nfn a() {}\n```\n```go\nvar a\n```";
        for (language, code) in [
            ("cpp", Some("int a;\n")),
            ("C++", Some("int a;\n")),
            ("javascript", Some("let a;\n")),
            ("rust", Some("fn a() {}\n")),
            // Not in the table: its name alone.
            ("go", Some("var a\n")),
            ("python", None),
        ] {
            assert_eq!(extract_code(response, language), code, "{language}");
        }
        let mut languages = Languages::default();
        let go = crate::Language { fences: vec!["golang".into()], ..languages.entry("rust").unwrap().clone() };
        languages.insert("go", go).unwrap();
        assert_eq!(languages.extract_code("```golang\nvar b\n```", "go"), Some("var b\n"));
        assert_eq!(languages.extract_code("var b = 1;", "go"), None);
    }

    #[test]
    fn completions_join_their_prompt() {
        let prompt = "import math\ndef f(x):\n    \"\"\"Doc.\"\"\"\n";
        assert_eq!(join_completion(prompt, "    return x\n"), format!("{prompt}    return x\n"));
        assert_eq!(join_completion(prompt, "return x\n"), format!("{prompt}    return x\n"));
        assert_eq!(
            join_completion(prompt, "def f(x):\n    return x\n"),
            format!("{prompt}    pass\n\ndef f(x):\n    return x\n")
        );
        assert_eq!(join_completion("def f(x):", "    return x"), "def f(x):\n    return x");
    }
}
