//! Reading the questions and recordings beside the repository.

use std::path::PathBuf;

use serde_json::Value;

/// Rows of a file below `../shared/data`, or nothing, said in one line.
pub(crate) fn rows(file: &str) -> Option<Vec<Value>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(file);
    let Ok(packed) = std::fs::read(&path) else {
        println!("skipped: {file} is not in ../shared/data");
        return None;
    };
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).expect("the file is packed with zstd"))
        .expect("the file is UTF-8");
    Some(
        text.split('\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).expect("every line is JSON"))
            .collect(),
    )
}
