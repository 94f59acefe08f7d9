//! Python bindings of `gradus-verify`. What it means to be right is decided there; this file only turns
//! Python values into its types and back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_verify::{Answer, Form, Kind, Outcome, Proof, Reference, Tolerance};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyString};

/// Pairs that a thread takes at once.
const TOGETHER: usize = 64;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{Extracted, Verdict, extract, verify, verify_batch};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("RULES_VERSION", gradus_verify::VERSION)
    }
}

/// What was decided, and why.
#[pyclass(frozen, get_all, module = "gradus_verify")]
struct Verdict {
    outcome: &'static str,
    extracted: Option<String>,
    rule: Option<&'static str>,
    span: Option<(usize, usize)>,
    method: String,
    proof: Option<&'static str>,
    bits: Option<u32>,
    witness: Option<String>,
    explanation: String,
}

#[pymethods]
impl Verdict {
    #[getter]
    fn correct(&self) -> bool {
        self.outcome == "correct"
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err("a verdict has four outcomes: use `.correct` or compare `.outcome`"))
    }

    fn __repr__(&self) -> String {
        format!("Verdict({}: {})", self.outcome, self.explanation)
    }
}

impl Verdict {
    fn new(verdict: gradus_verify::Verdict, answer: &str) -> Self {
        let (proof, bits) = match verdict.proof {
            None => (None, None),
            Some(Proof::Exact) => (Some("exact"), None),
            Some(Proof::Certified) => (Some("certified"), None),
            Some(Proof::Probabilistic { bits }) => (Some("probabilistic"), Some(bits)),
        };
        let found = verdict.extracted.map(|found| Extracted::new(found, answer));
        Self {
            outcome: match verdict.outcome {
                Outcome::Correct => "correct",
                Outcome::Incorrect => "incorrect",
                Outcome::NoAnswer => "no_answer",
                Outcome::Undecided => "undecided",
            },
            rule: found.as_ref().map(|found| found.rule),
            span: found.as_ref().map(|found| found.span),
            extracted: found.map(|found| found.text),
            method: verdict.method,
            proof,
            bits,
            witness: verdict.witness,
            explanation: verdict.explanation,
        }
    }
}

/// The final answer in a response.
#[pyclass(frozen, get_all, module = "gradus_verify")]
struct Extracted {
    text: String,
    span: (usize, usize),
    rule: &'static str,
}

impl Extracted {
    /// Python counts characters where Rust counts bytes.
    fn new(found: gradus_verify::Extracted, response: &str) -> Self {
        let start = response[..found.span.start].chars().count();
        let end = start + response[found.span].chars().count();
        Self { text: found.text, span: (start, end), rule: found.rule }
    }
}

#[pymethods]
impl Extracted {
    fn __repr__(&self) -> String {
        format!("Extracted({:?} by {})", self.text, self.rule)
    }
}

/// Compare one answer with its reference.
#[pyfunction]
#[pyo3(signature = (reference, answer, *, kind = "math", form = "bare", tolerance = None, options = None))]
fn verify(
    py: Python<'_>,
    reference: &Bound<'_, PyAny>,
    answer: &str,
    kind: &str,
    form: &str,
    tolerance: Option<&Bound<'_, PyAny>>,
    options: Option<Vec<String>>,
) -> PyResult<Verdict> {
    let reference = Reference {
        kind: kind_of(kind)?,
        values: values(reference)?,
        tolerance: tolerance.map(tolerance_of).transpose()?,
        options: options.unwrap_or_default(),
    };
    let form = form_of(form)?;
    Ok(py.detach(|| decide(&reference, answer, form)))
}

/// Compare many answers, each with its reference, on several threads.
#[pyfunction]
#[pyo3(signature = (references, answers, *, kind = "math", form = "bare", tolerance = None, options = None, threads = None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn verify_batch(
    py: Python<'_>,
    references: Vec<Bound<'_, PyAny>>,
    answers: Vec<String>,
    kind: &str,
    form: &str,
    tolerance: Option<&Bound<'_, PyAny>>,
    options: Option<Vec<Option<Vec<String>>>>,
    threads: Option<usize>,
) -> PyResult<Vec<Verdict>> {
    let n = references.len();
    let options = options.unwrap_or_else(|| vec![None; n]);
    if answers.len() != n || options.len() != n {
        let message = format!("{n} references, {} answers and {} lists of options", answers.len(), options.len());
        return Err(PyValueError::new_err(message));
    }
    let (kind, form) = (kind_of(kind)?, form_of(form)?);
    let tolerance = tolerance.map(tolerance_of).transpose()?;
    let pairs = references.iter().zip(options).zip(answers).map(|((reference, options), answer)| {
        let values = values(reference)?;
        Ok((Reference { kind, values, tolerance, options: options.unwrap_or_default() }, answer))
    });
    let pairs: Vec<(Reference, String)> = pairs.collect::<PyResult<_>>()?;
    Ok(py.detach(|| on_threads(&pairs, form, threads)))
}

/// The final answer of a response, or None.
#[pyfunction]
#[pyo3(signature = (response, kind = "math"))]
fn extract(py: Python<'_>, response: &str, kind: &str) -> PyResult<Option<Extracted>> {
    let kind = kind_of(kind)?;
    Ok(py.detach(|| gradus_verify::extract(response, kind).map(|found| Extracted::new(found, response))))
}

fn decide(reference: &Reference, answer: &str, form: Form) -> Verdict {
    Verdict::new(gradus_verify::verify(reference, &Answer { text: answer, form }), answer)
}

/// Verdicts in the order of the pairs.
fn on_threads(pairs: &[(Reference, String)], form: Form, threads: Option<usize>) -> Vec<Verdict> {
    let pieces: Vec<&[(Reference, String)]> = pairs.chunks(TOGETHER).collect();
    let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let n_threads = threads.unwrap_or_else(available).clamp(1, pieces.len().max(1));
    let one = |piece: &[(Reference, String)]| -> Vec<Verdict> {
        piece.iter().map(|(reference, answer)| decide(reference, answer, form)).collect()
    };
    if n_threads == 1 {
        return pieces.into_iter().flat_map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Vec<Verdict>>> = pieces.iter().map(|_| Mutex::new(Vec::new())).collect();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                while let Some((k, piece)) = {
                    let k = next.fetch_add(1, Ordering::Relaxed);
                    pieces.get(k).map(|piece| (k, piece))
                } {
                    *done[k].lock().expect("nobody else holds this piece") = one(piece);
                }
            });
        }
    });
    done.into_iter().flat_map(|piece| piece.into_inner().expect("its thread has ended well")).collect()
}

fn kind_of(name: &str) -> PyResult<Kind> {
    match name {
        "math" => Ok(Kind::Math),
        "choice" => Ok(Kind::Choice),
        "text" => Ok(Kind::Text),
        _ => Err(PyValueError::new_err(format!("`kind` must be math, choice or text, and is {name:?}"))),
    }
}

fn form_of(name: &str) -> PyResult<Form> {
    match name {
        "bare" => Ok(Form::Bare),
        "text" => Ok(Form::Text),
        _ => Err(PyValueError::new_err(format!("`form` must be bare or text, and is {name:?}"))),
    }
}

/// Accepted answers: a string, a number, or several of them.
fn values(reference: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if reference.is_instance_of::<PyString>() || number(reference) {
        return Ok(vec![reference.str()?.extract()?]);
    }
    let wrong = || PyTypeError::new_err("a reference must be a string, a number or a sequence of them");
    let mut found = Vec::new();
    for value in reference.try_iter().map_err(|_| wrong())? {
        let value = value?;
        if !value.is_instance_of::<PyString>() && !number(&value) {
            return Err(wrong());
        }
        found.push(value.str()?.extract()?);
    }
    if found.is_empty() {
        return Err(PyValueError::new_err("a reference is an empty sequence: no answer would be right"));
    }
    Ok(found)
}

/// Whether it is a number, of numpy perhaps; booleans are none.
fn number(value: &Bound<'_, PyAny>) -> bool {
    let integer = value.hasattr("__index__").unwrap_or(false) && !value.is_instance_of::<PyBool>();
    integer || value.is_instance_of::<PyFloat>()
}

/// A share of the reference, or `{"relative": share}`, or `{"absolute": distance}`.
fn tolerance_of(value: &Bound<'_, PyAny>) -> PyResult<Tolerance> {
    let wrong =
        || PyValueError::new_err("`tolerance` must be a share, {\"relative\": share} or {\"absolute\": distance}");
    let (size, absolute) = if let Ok(named) = value.cast::<PyDict>() {
        let (relative, absolute) = (named.get_item("relative")?, named.get_item("absolute")?);
        match (named.len(), relative, absolute) {
            (1, Some(size), None) => (size.extract::<f64>()?, false),
            (1, None, Some(size)) => (size.extract::<f64>()?, true),
            _ => return Err(wrong()),
        }
    } else {
        (value.extract::<f64>().map_err(|_| wrong())?, false)
    };
    if !size.is_finite() || size < 0.0 {
        return Err(wrong());
    }
    Ok(if absolute { Tolerance::Absolute(size) } else { Tolerance::Relative(size) })
}
