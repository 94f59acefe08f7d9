//! Tests of LiveCodeBench's rows, the packed ones among them: text in a pickle in zlib in base64.
//!
//! A pickle is a program. Only the few instructions that make one string are known here; any other is an error.

use std::io::Read;

use serde_json::Value;

use crate::import::{is_identifier, parsed};
use crate::{StdinCase, Tests};

/// Tests of a LiveCodeBench row: `public_test_cases`, then `private_test_cases`, each JSON (also as text), or
/// `base64(zlib(pickle of that text))` of at most [`MAX_UNPACKED`] bytes. Their `testtype` is `stdin` or `functional`.
///
/// For functional tests `metadata.func_name` names the function, which may be a method of `class Solution`. Every line
/// of the input is one argument as JSON; as in the dataset's own grader a tuple counts as the list of its items.
///
/// # Errors
/// Names the field that is missing, of another form, or too large.
pub fn from_livecodebench(row: &Value) -> Result<Tests, String> {
    let (mut stdin, mut functional) = (Vec::new(), Vec::new());
    for field in ["public_test_cases", "private_test_cases"] {
        let tests = match row.get(field) {
            Some(Value::String(text)) if !text.trim_start().starts_with(['[', '{']) && !text.trim().is_empty() => {
                let text = unpacked(text).map_err(|error| format!("`{field}`: {error}"))?;
                Some(serde_json::from_str(&text).map_err(|error| format!("`{field}` holds no JSON: {error}"))?)
            }
            _ => parsed(row, field)?,
        };
        let Some(tests) = tests else { continue };
        for test in tests.as_array().ok_or_else(|| format!("`{field}` is no list"))? {
            let text = |key: &str| {
                let text = test.get(key).and_then(Value::as_str).map(str::to_owned);
                text.ok_or_else(|| format!("`{field}` holds a test without the text `{key}`"))
            };
            let case = StdinCase { input: text("input")?, output: text("output")? };
            match text("testtype")?.as_str() {
                "stdin" => stdin.push(case),
                "functional" => functional.push(case),
                other => return Err(format!("`{field}` holds a test of the unknown type `{other}`")),
            }
        }
    }
    match (stdin.is_empty(), functional.is_empty()) {
        (false, true) => Ok(Tests::stdin(stdin)),
        (true, false) => function(row, &functional),
        (true, true) => Err("there are no tests".into()),
        (false, false) => Err("tests of both types in one row".into()),
    }
}

/// Most bytes that one row's private tests may have when unpacked.
const MAX_UNPACKED: u64 = 256 << 20;

fn function(row: &Value, cases: &[StdinCase]) -> Result<Tests, String> {
    let metadata = parsed(row, "metadata")?;
    let name = metadata.as_ref().and_then(|metadata| metadata.get("func_name")).and_then(Value::as_str);
    let name = name.filter(|name| is_identifier(name)).ok_or("`metadata.func_name` is no name of a function")?;
    // Read by Python itself: numbers of any length stay what they are.
    let json = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| format!("a test holds a value that is no JSON: {error}"))?;
        Ok::<_, String>(Value::from(text).to_string())
    };
    let mut test_code = FUNCTIONAL_PLAIN.to_owned();
    for case in cases {
        let arguments = case.input.trim_end().lines().map(json).collect::<Result<Vec<_>, _>>()?.join(", ");
        let expected = json(&case.output)?;
        test_code += &format!("assert plain_({name}(*map(loads_, [{arguments}]))) == loads_({expected})\n");
    }
    Ok(Tests::Function { language: "python".into(), entry_point: name.into(), test_code })
}

const FUNCTIONAL_PLAIN: &str = "\
from json import loads as loads_
def plain_(value):
    return list(value) if isinstance(value, tuple) else value
";

fn unpacked(text: &str) -> Result<String, String> {
    let packed = base64(text.trim())?;
    let mut pickle = Vec::new();
    let mut unpacking = flate2::read::ZlibDecoder::new(packed.as_slice()).take(MAX_UNPACKED + 1);
    unpacking.read_to_end(&mut pickle).map_err(|error| format!("no zlib: {error}"))?;
    if pickle.len() as u64 > MAX_UNPACKED {
        return Err(format!("more than {} MiB when unpacked", MAX_UNPACKED >> 20));
    }
    let bytes = pickled_text(&pickle)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| "the pickled text is no UTF-8".into())
}

/// Bytes of standard base64 (RFC 4648, section 4), padded.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return Err("no base64: its length is wrong".into());
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(format!("no base64: byte {digit:#04x}")),
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Ok(bytes)
}

/// The bytes of the one string in a pickle of protocol 2 to 5; opcodes as in Python's `pickletools`.
fn pickled_text(pickle: &[u8]) -> Result<&[u8], String> {
    const CUT: &str = "the pickle is cut off";
    fn take<'a>(rest: &mut &'a [u8], n: u64) -> Result<&'a [u8], String> {
        let n = usize::try_from(n).map_err(|_| CUT)?;
        let (head, tail) = rest.split_at_checked(n).ok_or(CUT)?;
        *rest = tail;
        Ok(head)
    }
    fn number(rest: &mut &[u8], width: u64) -> Result<u64, String> {
        Ok(take(rest, width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
    let mut rest = pickle;
    if number(&mut rest, 1)? != 0x80 || !(2..=5).contains(&number(&mut rest, 1)?) {
        return Err("no pickle of protocol 2 to 5".into());
    }
    let mut text = None;
    loop {
        let opcode = take(&mut rest, 1)?[0];
        match (opcode, text) {
            // FRAME: a hint of length for readers.
            (0x95, _) => drop(take(&mut rest, 8)?),
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            (0x8c | b'X' | 0x8d, None) => {
                let width = match opcode {
                    0x8c => 1,
                    b'X' => 4,
                    _ => 8,
                };
                let length = number(&mut rest, width)?;
                text = Some(take(&mut rest, length)?);
            }
            // MEMOIZE, BINPUT, LONG_BINPUT: for a later reference, of which there is none.
            (0x94, Some(_)) => {}
            (b'q', Some(_)) => drop(take(&mut rest, 1)?),
            (b'r', Some(_)) => drop(take(&mut rest, 4)?),
            // STOP
            (b'.', Some(text)) if rest.is_empty() => return Ok(text),
            _ => return Err(format!("the pickle holds more than one text (opcode {opcode:#04x})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two stdin tests, packed by Python with protocol 4.
    const STDIN: &str =
        "eJxrYJlaygABPYXR1UqZeQWlJUpWCkpGMXlKOgpK+aUlUAETiEBJanFJSWVBKkiouCQlM0+pVkcBSZ8puj5DA5waY6foAQAjQiXs";
    /// A functional test with a long number, packed with protocol 3.
    const FUNCTIONAL: &str =
        "eJxrYI4oYmBgiK5WyswrKC1RslJQijbUUTCKjckzNMAKlHQUlPJLS5AU41AYC1JZklpcUlJZkApSm1aal1ySmZ+XmKNUG1vIoAcARwUfeQ==";

    fn case(input: &str, output: &str) -> StdinCase {
        StdinCase { input: input.into(), output: output.into() }
    }

    #[test]
    fn packed_tests_follow_the_public_ones() {
        let row = json!({
            "public_test_cases": r#"[{"input": "1\n", "output": "2\n", "testtype": "stdin"}]"#,
            "private_test_cases": STDIN,
            "metadata": "{}",
        });
        let cases = vec![case("1\n", "2\n"), case("2\n", "4\n"), case("5\n", "10\n")];
        assert_eq!(from_livecodebench(&row), Ok(Tests::stdin(cases)));
        let plain = json!({"private_test_cases": [{"input": "", "output": "1", "testtype": "stdin"}]});
        let cases = vec![case("", "1")];
        assert_eq!(from_livecodebench(&plain), Ok(Tests::stdin(cases)));
    }

    #[test]
    fn functional_tests_call_the_function_with_json() {
        let row = json!({"private_test_cases": FUNCTIONAL, "metadata": "{\"func_name\": \"pair\"}"});
        let Ok(Tests::Function { entry_point, test_code, .. }) = from_livecodebench(&row) else { panic!("a function") };
        assert_eq!(entry_point, "pair");
        let call = r#"pair(*map(loads_, ["[1, 2]", "10000000000000000000000"]))"#;
        let expected = r#"loads_("[1, 10000000000000000000000]")"#;
        assert!(test_code.ends_with(&format!("assert plain_({call}) == {expected}\n")), "{test_code}");
    }

    #[track_caller]
    fn refused(row: &Value, why: &str) {
        let error = from_livecodebench(row).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn rows_of_another_form_are_refused() {
        let test = |kind: &str| json!({"input": "1", "output": "1", "testtype": kind});
        refused(&json!({}), "no tests");
        refused(&json!({"public_test_cases": "[]", "private_test_cases": ""}), "no tests");
        refused(&json!({"public_test_cases": {}}), "no list");
        refused(&json!({"public_test_cases": "[{"}), "no JSON");
        refused(&json!({"public_test_cases": [{"input": 1}]}), "without the text `input`");
        refused(&json!({"public_test_cases": [test("file")]}), "`file`");
        refused(&json!({"public_test_cases": [test("stdin"), test("functional")]}), "both types");
        refused(&json!({"public_test_cases": [test("functional")]}), "func_name");
        refused(&json!({"public_test_cases": [test("functional")], "metadata": {"func_name": "f(1);g"}}), "func_name");
        let odd = json!({"input": "exit()", "output": "1", "testtype": "functional"});
        refused(&json!({"public_test_cases": [odd], "metadata": {"func_name": "f"}}), "no JSON");
    }

    #[test]
    fn a_pickle_of_anything_but_one_text_is_refused() {
        // `os.system("true")`, and a list of two texts.
        let call = "eJxrYJkqzwABPawF+cWZFVN62Iori0tSc6dMntLDUlJUmjqldUrQFD0AA2gOlA==";
        refused(&json!({"private_test_cases": call}), "more than one text");
        refused(&json!({"private_test_cases": "eJxrYJ"}), "length is wrong");
        refused(&json!({"private_test_cases": "eJ*r"}), "byte 0x2a");
        refused(&json!({"private_test_cases": "AAAA"}), "no zlib");
        refused(&json!({"private_test_cases": &STDIN[..80]}), "no zlib");
        for (pickle, text) in [
            (&b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94."[..], Some(&b"a"[..])),
            (b"\x80\x02X\x02\0\0\0abq\0.", Some(b"ab")),
            (b"\x80\x05\x8d\x01\0\0\0\0\0\0\0a\x94.", Some(b"a")),
            (b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\xffa\x94.", None),
            (b"\x80\x06\x8c\x01a.", None),
            (b"\x80\x04\x8c\x01a\x8c\x01b.", None),
            (b"\x80\x04\x8c\x01a..", None),
            (b"\x80\x04\x8c\x01a", None),
            (b"\x80\x04.", None),
            (b"Va\n.", None),
            (b"\x80", None),
            (b"", None),
        ] {
            assert_eq!(pickled_text(pickle).ok(), text, "{pickle:?}");
        }
        // No beginning of a good pickle and no other byte in it makes a panic.
        let good = b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94.";
        for at in 0..good.len() {
            assert_eq!(pickled_text(&good[..at]).ok(), None);
            for byte in 0..=255 {
                let mut bad = *good;
                bad[at] = byte;
                assert!(!pickled_text(&bad).is_ok_and(|text| text.len() > 2), "{bad:?}");
            }
        }
    }

    #[test]
    fn a_small_text_that_unpacks_to_too_much_is_refused() {
        use std::io::Write;
        let mut packing = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let block = vec![0; 1 << 20];
        for _ in 0..=MAX_UNPACKED >> 20 {
            packing.write_all(&block).unwrap();
        }
        let packed = packing.finish().unwrap();
        assert!(packed.len() < 4 << 20, "{}", packed.len());
        assert!(unpacked(&in_base64(&packed)).unwrap_err().contains("more than 256 MiB"));
    }

    fn in_base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = bytes.chunks(3).flat_map(|group| {
            let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
            let digit = move |at| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
            (0..4).map(move |at| if at <= group.len() { digit(at) } else { '=' })
        });
        digits.collect()
    }

    #[test]
    fn base64_of_any_length_is_read() {
        for length in 0..20_u8 {
            let bytes: Vec<_> = (0..length).map(|byte| byte.wrapping_mul(97) ^ 0xa5).collect();
            assert_eq!(base64(&in_base64(&bytes)), Ok(bytes));
        }
    }
}
