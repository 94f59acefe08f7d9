//! What does a row of somebody's chains of thought say? One shape each, told by its columns; pure.
//!
//! The shapes are those of public sets: a list of objects per question (OmniThought), parallel lists per question
//! (OpenR1), numbered columns (DeepMath-103K), chats (OpenThoughts, gpt-oss), one row per chain of thought
//! (EasyDistill), and recordings as `replay` reads them.

use gradus_model::think;
use serde_json::{Map, Value};

use super::rating::{Rating, correctness};
use crate::ingest::Bad;
use crate::ingest::cell::Cell;
use crate::ingest::rows::Columns;

/// How rows hold their chains of thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `reasoning: [{thought, solution, full_response, teacher, ..}]`.
    OmniThought,
    /// `generations: [..]` with lists beside it.
    OpenR1,
    /// `r1_solution_1`, `r1_solution_2`, ...
    DeepMath,
    /// `conversations: [{from, value}]` or `messages: [{role, content, thinking}]`.
    Conversations,
    /// `{question_id, model, sample, response}`, as `replay` reads them.
    Recording,
    /// A question and one chain of thought.
    Flat,
}

impl Shape {
    /// Every shape, in the order in which they are tried.
    pub const ALL: [Self; 6] =
        [Self::OmniThought, Self::OpenR1, Self::DeepMath, Self::Conversations, Self::Recording, Self::Flat];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OmniThought => "omnithought",
            Self::OpenR1 => "openr1",
            Self::DeepMath => "deepmath",
            Self::Conversations => "conversations",
            Self::Recording => "recording",
            Self::Flat => "flat",
        }
    }

    /// By which columns it is told, for messages.
    pub fn looked_for(self) -> &'static str {
        match self {
            Self::OmniThought => "a list `reasoning` and a question",
            Self::OpenR1 => "a list `generations` and a question",
            Self::DeepMath => "`solution_1` or `r1_solution_1`, and a question",
            Self::Conversations => "a list `conversations` or `messages`",
            Self::Recording => "`question_id`, `model` and `response`",
            Self::Flat => {
                "a question (`question`, `problem`, `instruction`, ..) and `response`, `output` or `solution`"
            }
        }
    }

    /// What a row is; none if its columns fit no shape.
    pub(crate) fn of(columns: &Columns<'_>) -> Option<Self> {
        let names = columns.names();
        let has = |name: &str| names.iter().any(|known| known == name);
        let any = |wanted: &[&str]| wanted.iter().any(|name| has(name));
        let lists =
            |name: &str| has(name) && columns.at(name).is_ok_and(|cell| cell.is_some_and(|cell| is_list(&cell)));
        let asks = any(QUESTION);
        let fits = |shape: &Self| match shape {
            Self::OmniThought => asks && lists("reasoning"),
            Self::OpenR1 => asks && lists("generations"),
            Self::DeepMath => asks && !numbered(&names).is_empty(),
            Self::Conversations => lists("conversations") || lists("messages"),
            Self::Recording => {
                any(&["question_id", "id"]) && has("model") && has("response") && (!asks || any(&["sample", "attempt"]))
            }
            Self::Flat => asks && (any(RESPONSE) || any(THINKING)),
        };
        Self::ALL.into_iter().find(fits)
    }

    /// Reads a row.
    pub(crate) fn read(self, columns: &Columns<'_>) -> Result<Imported, Rejected> {
        match self {
            Self::OmniThought => omnithought(columns),
            Self::OpenR1 => openr1(columns),
            Self::DeepMath => deepmath(columns),
            Self::Conversations => conversation(columns),
            Self::Recording => recording(columns),
            Self::Flat => flat(columns),
        }
    }
}

/// A row that could be read.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) asked: Asked,
    /// Its chains of thought in order, the broken ones with the reason.
    pub(crate) cots: Vec<Result<Cot, Bad>>,
}

/// The question of a row.
#[derive(Debug)]
pub(crate) enum Asked {
    /// As a row of a bank.
    Row(Map<String, Value>),
    /// By the id of a bank that is elsewhere.
    Known(String),
}

/// A row that cannot be read, and how many chains of thought are lost with it, as far as they could be counted.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) bad: Bad,
    pub(crate) n_cots: u64,
}

impl From<Bad> for Rejected {
    fn from(bad: Bad) -> Self {
        Self { bad, n_cots: 0 }
    }
}

/// One chain of thought, as its source has it.
#[derive(Debug, Default)]
pub(crate) struct Cot {
    pub(crate) teacher: Option<String>,
    /// Its number, where the source has one.
    pub(crate) sample: Option<u64>,
    /// The thinking, where it came apart from the answer.
    pub(crate) reasoning: Option<String>,
    pub(crate) response: String,
    pub(crate) finish: Option<String>,
    /// What the source says of it and nobody here believes.
    pub(crate) said: Map<String, Value>,
    pub(crate) rating: Rating,
    /// Further fields of a recording.
    pub(crate) further: Map<String, Value>,
}

/// Columns of what is asked.
const QUESTION: &[&str] = &["question", "problem", "instruction", "prompt", "query"];

/// Columns of a reference answer.
const ANSWER: &[&str] = &[
    "answer",
    "reference_answer",
    "reference",
    "gold",
    "gold_answer",
    "ground_truth",
    "ground_truth_answer",
    "final_answer",
    "expected_answer",
];

/// Columns of a whole answer.
const RESPONSE: &[&str] = &["response", "output", "full_response", "completion", "generation", "solution"];

/// Columns and fields of thinking that stands apart.
const THINKING: &[&str] = &["reasoning_content", "thinking", "reasoning", "thought"];

/// Columns that name who wrote it.
const TEACHER: &[&str] = &["teacher", "teacher_model", "model", "generator", "metadata.model", "meta.model"];

/// Columns that a bank has too, and that are taken as they are.
const OF_THE_BANK: &[&str] = &[
    "kind",
    "options",
    "choices",
    "tests",
    "test",
    "entry_point",
    "test_list",
    "input_output",
    "starter_code",
    "tolerance",
    "level",
    "difficulty",
    "subject",
    "topic",
    "type",
    "problem_type",
    "source",
    "data_source",
    "license",
];

/// Columns of an id.
const ID: &[&str] = &["id", "question_id", "uuid", "problem_id", "task_id"];

/// Flags by which sources say that a chain of thought is right, or how it ended.
const SAID: &[&str] = &[
    "thought_correctness_verify",
    "logical_correctness",
    "correctness_math_verify",
    "correctness_llama",
    "correctness",
    "correct",
    "is_correct",
    "is_reasoning_complete",
    "finish_reason",
];

fn omnithought(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let items = list(columns, "reasoning")?;
    let n_cots = items.len() as u64;
    let asked = asked(columns, None, true).map_err(|bad| Rejected { bad, n_cots })?;
    let cots = items.iter().map(|item| {
        if !matches!(item, Cell::Map(_)) {
            let found = item.type_name();
            return Err(Bad::field("reasoning", "wrong_type", format!("expected an object, found {found}")));
        }
        let at = |name: &str| Ok(item.at(name));
        let [thought, solution, whole] =
            [text(&at, &["thought"])?, text(&at, &["solution"])?, text(&at, &["full_response", "response"])?];
        let cot = match (thought, solution, whole) {
            (Some(thought), Some(solution), _) => apart(&thought, &solution),
            (_, _, Some(whole)) => Cot { response: whole, ..Cot::default() },
            (Some(thought), None, None) => apart(&thought, ""),
            (None, Some(solution), None) => Cot { response: solution, ..Cot::default() },
            (None, None, None) => return Err(empty("none of `thought`, `solution`, `full_response` holds a text")),
        };
        about(cot, &at)
    });
    Ok(Imported { asked, cots: cots.collect() })
}

fn openr1(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let items = list(columns, "generations")?;
    let n_cots = items.len() as u64;
    let rejected = |bad| Rejected { bad, n_cots };
    let asked = asked(columns, None, true).map_err(rejected)?;
    let teacher = name(&|name: &str| columns.at(name), TEACHER).map_err(rejected)?;
    let mut beside: Vec<(&str, Vec<Cell>)> = Vec::new();
    for (column, field) in [
        ("finish_reasons", "finish_reason"),
        ("is_reasoning_complete", "is_reasoning_complete"),
        ("correctness_math_verify", "correctness_math_verify"),
        ("correctness_llama", "correctness_llama"),
    ] {
        let Some(cell) = columns.at(column).map_err(rejected)?.filter(|cell| !cell.is_nothing()) else { continue };
        let values = as_list(column, cell).map_err(rejected)?;
        if values.len() != items.len() {
            let detail = format!("expected as many as `generations`, {}, found {}", items.len(), values.len());
            return Err(rejected(Bad::field(column, "other_length", detail)));
        }
        beside.push((field, values));
    }
    let cots = items.iter().enumerate().map(|(i, item)| {
        let response = match item {
            item if item.is_nothing() => return Err(empty("the generation is empty")),
            Cell::Text(text) => text.clone(),
            other => {
                let detail = format!("expected a text, found {}", other.type_name());
                return Err(Bad::field("generations", "wrong_type", detail));
            }
        };
        let fields = beside.iter().map(|(field, values)| ((*field).to_owned(), values[i].clone())).collect();
        let fields = Cell::Map(fields);
        about(Cot { response, teacher: teacher.clone(), ..Cot::default() }, &|name: &str| Ok(fields.at(name)))
    });
    Ok(Imported { asked, cots: cots.collect() })
}

fn deepmath(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let mut cots = Vec::new();
    for column in numbered(&columns.names()) {
        let cell = columns.at(&column)?;
        // Fewer than there are columns is no fault.
        let Some(cell) = cell.filter(|cell| !cell.is_nothing()) else { continue };
        cots.push(match cell {
            Cell::Text(response) => {
                let teacher = name(&|name: &str| columns.at(name), TEACHER);
                teacher.map(|teacher| Cot { teacher, response, ..Cot::default() })
            }
            other => Err(Bad::field(&column, "wrong_type", format!("expected a text, found {}", other.type_name()))),
        });
    }
    let n_cots = cots.len() as u64;
    let asked = asked(columns, None, true).map_err(|bad| Rejected { bad, n_cots })?;
    Ok(Imported { asked, cots })
}

fn conversation(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let chat = match columns.at("conversations")?.filter(|cell| !cell.is_nothing()) {
        Some(cell) => as_list("conversations", cell)?,
        None => list(columns, "messages")?,
    };
    let mut user = None;
    let mut answer: Option<Cot> = None;
    let one_turn =
        |what: &str| Bad::field("conversations", "several_turns", format!("expected one turn, found {what}"));
    for message in &chat {
        let at = |name: &str| Ok(message.at(name));
        let role = text(&at, &["role", "from"])?.unwrap_or_default().to_ascii_lowercase();
        let content = text(&at, &["content", "value"])?;
        match role.as_str() {
            "system" | "developer" => {}
            "user" | "human" if user.is_some() || answer.is_some() => return Err(one_turn("a second question").into()),
            "user" | "human" => user = content,
            "assistant" | "gpt" | "model" if answer.is_some() => return Err(one_turn("a second answer").into()),
            "assistant" | "gpt" | "model" => {
                let content = content.unwrap_or_default();
                answer = Some(match text(&at, THINKING)? {
                    Some(thinking) => apart(&thinking, &content),
                    None => Cot { response: content, ..Cot::default() },
                });
            }
            other => {
                let found: String = other.chars().take(40).collect();
                let detail = format!("expected messages of system, user and assistant, found one of `{found}`");
                return Err(Bad::field("conversations", "wrong_type", detail).into());
            }
        }
    }
    let cot = answer.ok_or_else(|| Bad::field("conversations", "no_cot", "the chat holds no answer"))?;
    let one = |bad| Rejected { bad, n_cots: 1 };
    // The user's message may say more than is asked, such as how to box the answer.
    let question = text(&|name: &str| columns.at(name), &["question", "problem"]).map_err(one)?.or(user);
    let asked = asked(columns, question, true).map_err(one)?;
    Ok(Imported { asked, cots: vec![filled(cot).and_then(|cot| about(cot, &|name: &str| columns.at(name)))] })
}

fn flat(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let at = |name: &str| columns.at(name);
    let one = |bad| Rejected { bad, n_cots: 1 };
    let mut question = text(&at, QUESTION).map_err(one)?;
    // Alpaca: what the instruction speaks of stands apart.
    if let (Some(question), Some(input)) = (&mut question, text(&at, &["input"]).map_err(one)?) {
        *question += "\n\n";
        *question += &input;
    }
    let mut response = None;
    for column in RESPONSE {
        if let Some(found) = text(&at, &[column]).map_err(one)? {
            response = Some((*column, found));
            break;
        }
    }
    let solution_is_reference = !matches!(response, Some(("solution", _)));
    let asked = asked(columns, question, solution_is_reference).map_err(one)?;
    let response = response.map(|(_, response)| response).unwrap_or_default();
    let cot = text(&at, THINKING).map(|thinking| match thinking {
        Some(thinking) => apart(&thinking, &response),
        None => Cot { response, ..Cot::default() },
    });
    Ok(Imported { asked, cots: vec![cot.and_then(filled).and_then(|cot| about(cot, &at))] })
}

fn recording(columns: &Columns<'_>) -> Result<Imported, Rejected> {
    let at = |name: &str| columns.at(name);
    let one = |bad| Rejected { bad, n_cots: 1 };
    let id = name(&at, &["question_id", "id"]).map_err(one)?;
    // A Parquet file has a column for all of its rows, if one of them has a question.
    let is_there = |name: &&str| at(name).map_or(true, |cell| cell.is_some_and(|cell| !cell.is_nothing()));
    let asked = if QUESTION.iter().any(is_there) {
        asked(columns, None, true).map_err(one)?
    } else {
        Asked::Known(id.ok_or_else(|| one(Bad::field("question_id", "no_question", "the row names no question")))?)
    };
    Ok(Imported { asked, cots: vec![recorded(columns)] })
}

/// A row of a recording, whose further fields stay as they are. An empty answer is one.
fn recorded(columns: &Columns<'_>) -> Result<Cot, Bad> {
    let at = |name: &str| columns.at(name);
    let teacher = name(&at, &["model"])?;
    let response = match at("response")? {
        Some(Cell::Text(response)) => response,
        None | Some(Cell::Null) => return Err(Bad::field("response", "no_cot", "the row holds no answer")),
        Some(other) => {
            let detail = format!("expected a text, found {}", other.type_name());
            return Err(Bad::field("response", "wrong_type", detail));
        }
    };
    let mut sample = None;
    for column in ["sample", "attempt"] {
        let Some(cell) = at(column)?.filter(|cell| !cell.is_nothing()) else { continue };
        let number = cell.scalar().and_then(|number| number.trim().parse::<u32>().ok());
        let wrong = || Bad::field(column, "wrong_type", "expected a number from 0 to 4294967295");
        sample = Some(u64::from(number.ok_or_else(wrong)?));
        break;
    }
    let mut further = Map::new();
    for column in columns.names() {
        let own = ["question_id", "id", "model", "sample", "attempt", "response", "reasoning", "finish"];
        if !own.contains(&column.as_str())
            && !QUESTION.contains(&column.as_str())
            && let Some(cell) = at(&column)?
        {
            further.insert(column, cell.value());
        }
    }
    let reasoning = text(&at, &["reasoning"])?;
    let finish = text(&at, &["finish"])?;
    Ok(Cot { teacher, sample, reasoning, response, finish, further, ..Cot::default() })
}

/// Thinking and answer that came apart, without the marks around them.
fn apart(thinking: &str, answer: &str) -> Cot {
    let reasoning = Some(think::bare_thinking(thinking).to_owned()).filter(|reasoning| !reasoning.trim().is_empty());
    Cot { reasoning, response: think::bare_answer(answer).to_owned(), ..Cot::default() }
}

fn filled(cot: Cot) -> Result<Cot, Bad> {
    if cot.reasoning.is_none() && cot.response.trim().is_empty() {
        return Err(empty("there is neither thinking nor an answer"));
    }
    Ok(cot)
}

fn empty(detail: &str) -> Bad {
    Bad::row("empty_cot", detail)
}

/// Adds what stands beside a chain of thought: who wrote it, how it ended, what its source says of it.
fn about(mut cot: Cot, at: &impl Fn(&str) -> Result<Option<Cell>, Bad>) -> Result<Cot, Bad> {
    cot.teacher = name(at, TEACHER)?.or(cot.teacher);
    for field in SAID {
        if let Some(cell) = at(field)?.filter(|cell| cell.scalar().is_some() || matches!(cell, Cell::Bool(_))) {
            cot.said.insert((*field).to_owned(), cell.value());
        }
    }
    cot.finish = match at("finish_reason")? {
        Some(Cell::Text(word)) if !word.trim().is_empty() => Some(word),
        // Nothing said how it ended, but that its thinking did not.
        _ if at("is_reasoning_complete")?.and_then(|cell| correctness(&cell)) == Some(false) => {
            Some("length".to_owned())
        }
        _ => None,
    };
    cot.rating = Rating::read(at)?;
    Ok(cot)
}

/// The row as one of a bank: what is asked, the reference, and what banks hold beside.
fn asked(columns: &Columns<'_>, question: Option<String>, solution_is_reference: bool) -> Result<Asked, Bad> {
    let at = |name: &str| columns.at(name);
    let question = match question {
        Some(question) => Some(question),
        None => text(&at, QUESTION)?,
    };
    let question = question.ok_or_else(|| {
        let there = columns.names().join("`, `");
        Bad::field("question", "no_question", format!("no column holds what is asked; there are `{there}`"))
    })?;
    let mut row = Map::new();
    if let Some(id) = name(&at, ID)? {
        row.insert("id".to_owned(), id.into());
    }
    row.insert("question".to_owned(), question.into());
    for column in OF_THE_BANK {
        if let Some(cell) = at(column)?.filter(|cell| !cell.is_nothing()) {
            let name = if *column == "problem_type" { "type" } else { column };
            row.entry(name).or_insert_with(|| spelled(&cell));
        }
    }
    let mut answers = ANSWER.iter().copied().chain(solution_is_reference.then_some("solution"));
    let answer = answers.find_map(|column| match at(column) {
        Ok(Some(cell)) if !cell.is_nothing() => Some((column, cell)),
        _ => None,
    });
    if let Some((column, cell)) = answer {
        row.insert(if column == "solution" { column } else { "answer" }.to_owned(), spelled(&cell));
    }
    Ok(Asked::Row(row))
}

/// As JSON, with numbers spelled as they were.
fn spelled(cell: &Cell) -> Value {
    match cell {
        Cell::Number(text) => {
            let value = cell.value();
            let same = value.to_string().as_str() == text.as_str();
            if same { value } else { text.clone().into() }
        }
        Cell::List(items) => items.iter().map(spelled).collect(),
        Cell::Map(pairs) => pairs.iter().map(|(key, value)| (key.clone(), spelled(value))).collect(),
        other => other.value(),
    }
}

/// The first of these that holds a text that is not blank.
fn text(at: &impl Fn(&str) -> Result<Option<Cell>, Bad>, names: &[&str]) -> Result<Option<String>, Bad> {
    for name in names {
        match at(name)? {
            Some(Cell::Text(text)) if !text.trim().is_empty() => return Ok(Some(text)),
            None | Some(Cell::Null | Cell::Text(_)) => {}
            Some(other) => {
                let detail = format!("expected a text, found {}", other.type_name());
                return Err(Bad::field(name, "wrong_type", detail));
            }
        }
    }
    Ok(None)
}

/// The first of these that holds a name: a text or a number.
fn name(at: &impl Fn(&str) -> Result<Option<Cell>, Bad>, names: &[&str]) -> Result<Option<String>, Bad> {
    for name in names {
        let Some(cell) = at(name)?.filter(|cell| !cell.is_nothing()) else { continue };
        let Some(found) = cell.scalar() else {
            let detail = format!("expected a text or a number, found {}", cell.type_name());
            return Err(Bad::field(name, "wrong_type", detail));
        };
        return Ok(Some(found.trim().to_owned()));
    }
    Ok(None)
}

fn list(columns: &Columns<'_>, name: &str) -> Result<Vec<Cell>, Bad> {
    match columns.at(name)? {
        Some(cell) => as_list(name, cell),
        None => Err(Bad::field(name, "no_cot", format!("there is no `{name}`"))),
    }
}

/// A list, or a text that holds one as JSON, as CSV has them.
fn as_list(name: &str, cell: Cell) -> Result<Vec<Cell>, Bad> {
    let found = cell.type_name();
    let decoded = match &cell {
        Cell::Text(text) if text.trim_start().starts_with('[') => Cell::json_text(text.trim_start()).ok(),
        _ => None,
    };
    match decoded.unwrap_or(cell) {
        Cell::List(items) => Ok(items),
        _ => Err(Bad::field(name, "wrong_type", format!("expected a list, found {found}"))),
    }
}

fn is_list(cell: &Cell) -> bool {
    matches!(cell, Cell::List(_)) || matches!(cell, Cell::Text(text) if text.trim_start().starts_with('['))
}

/// Columns `solution_N` and `NAME_solution_N`, in the order of N.
fn numbered(names: &[String]) -> Vec<String> {
    let mut found: Vec<(u32, &String)> = names
        .iter()
        .filter_map(|name| {
            let (head, number) = name.rsplit_once('_')?;
            let is_solution = head == "solution" || head.ends_with("_solution");
            Some((number.parse().ok().filter(|_| is_solution)?, name))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name.clone()).collect()
}
