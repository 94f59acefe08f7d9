//! Which numbers the files for trainers begin with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Named numbers of a training on chains of thought. Each is a beginning, not a finding of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Training {
    /// About 2,000 rows: rate 1e-5, 6 epochs. Told of arXiv 2504.11919 and not confirmed: a guess.
    #[default]
    #[serde(rename = "small-2k")]
    Small2k,
    /// As arXiv 2505.10937 was released: rate 2e-5, 3 epochs, cosine, warm-up 0.1, weight decay 0.05.
    #[serde(rename = "omnithought")]
    Omnithought,
    /// `EasyDistill`'s example file for it: the same numbers. Its limit of 4,096 tokens, which would cut most chains of
    /// thought, gives way to the longest row.
    #[serde(rename = "easydistill-example")]
    EasydistillExample,
}
