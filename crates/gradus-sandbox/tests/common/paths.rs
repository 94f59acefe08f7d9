//! The two ways to run a test: forked from a warm interpreter, or in one that is started for it.

use gradus_sandbox::{Outcome, Policy, Sandbox};

/// One sandbox for each way, first the warm one.
pub(crate) fn both(policy: Policy) -> [Sandbox; 2] {
    [true, false].map(|warm| {
        let sandbox = Sandbox::new(Policy { warm, ..policy.clone() }).expect("programs can be isolated here");
        let active = |name| sandbox.layers().iter().any(|layer| layer.name == name && layer.active);
        // Otherwise nothing would be compared.
        assert_eq!(active("warm start"), warm && active("landlock"), "{:?}", sandbox.layers());
        sandbox
    })
}

/// What `run` says of either, which must be the same but for times, sizes and texts.
pub(crate) fn same(sandboxes: &[Sandbox; 2], run: impl Fn(&Sandbox) -> Outcome) -> Outcome {
    let [warm, plain] = sandboxes.each_ref().map(run);
    let verdicts = |outcome: &Outcome| {
        let tests: Vec<_> = outcome.tests.iter().map(|test| (test.status, test.in_process)).collect();
        (tests, outcome.total)
    };
    assert_eq!(verdicts(&warm), verdicts(&plain), "forked: {warm:?}\nstarted: {plain:?}");
    warm
}
