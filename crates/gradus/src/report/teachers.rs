//! The section on teachers: what each yields and costs, and how they differ.

use serde_json::{Value, json};

use crate::bakeoff::Bakeoff;

pub(super) const TEMPLATE: &str = include_str!("teachers.html");

pub(super) fn figures(bakeoff: &Bakeoff) -> Value {
    let (names, rows) = bakeoff.table();
    json!({
        "any": !rows.is_empty(),
        "names": names,
        "rows": rows,
        "differences": bakeoff.sentences(),
    })
}
