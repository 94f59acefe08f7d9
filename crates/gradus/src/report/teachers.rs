//! The section on teachers: what each yields and costs, and how they differ.

use serde_json::{Value, json};

use crate::bakeoff::Bakeoff;

pub(super) const TEMPLATE: &str = include_str!("teachers.html");

pub(super) fn figures(bakeoff: &Bakeoff) -> Value {
    let rows = bakeoff.rows().into_iter().map(|(name, cells)| json!({"name": name, "cells": cells}));
    json!({
        "names": bakeoff.teachers.iter().map(|teacher| &teacher.teacher).collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "differences": bakeoff.sentences(),
    })
}
