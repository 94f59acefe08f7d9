//! Limits under a paused clock.

use std::time::Duration;

use futures::FutureExt;
use gradus_model::limit::{Denied, Down, Limiter, Limits, Outcome, Permit};
use proptest::prelude::*;
use tokio::time::{Instant, advance, timeout};

fn limiter(change: impl FnOnce(&mut Limits)) -> Limiter {
    let mut limits = Limits { ceiling: 1000, ..Limits::default() };
    change(&mut limits);
    Limiter::new(&limits)
}

async fn permits(limiter: &Limiter, n: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..n {
        permits.push(limiter.acquire(1).await.expect("the breaker is closed"));
    }
    permits
}

/// Whether a request would have to wait at all.
async fn is_full(limiter: &Limiter) -> bool {
    timeout(Duration::ZERO, limiter.acquire(1)).await.is_err()
}

fn settle(permits: Vec<Permit>, outcome: Outcome) {
    for permit in permits {
        permit.settle(outcome, None);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_doubles_until_the_first_complaint_and_then_grows_by_one() {
    let limiter = limiter(|_| {});
    assert_eq!(limiter.limit(), 8);
    let eight = permits(&limiter, 8).await;
    assert!(is_full(&limiter).await);
    settle(eight, Outcome::Answered);
    assert!((12..=16).contains(&limiter.limit()), "{}", limiter.limit());

    let n = limiter.limit();
    let mut all = permits(&limiter, n).await;
    all.pop().expect("one").settle(Outcome::Overloaded(None), None);
    assert_eq!(limiter.limit(), n / 2);
    // The rest of the same burst complains too: that is one complaint.
    settle(all.split_off(n - 4), Outcome::Overloaded(None));
    assert_eq!(limiter.limit(), n / 2);
    settle(all, Outcome::Answered);

    let n = limiter.limit();
    for _ in 0..4 {
        let window = permits(&limiter, limiter.limit()).await;
        assert!(is_full(&limiter).await);
        settle(window, Outcome::Answered);
    }
    assert!((n + 3..=n + 5).contains(&limiter.limit()), "from {n} to {}", limiter.limit());
}

#[tokio::test(start_paused = true)]
async fn concurrency_stays_between_one_and_the_ceiling() {
    let limiter = limiter(|limits| limits.ceiling = 10);
    for _ in 0..20 {
        settle(permits(&limiter, limiter.limit()).await, Outcome::Answered);
    }
    assert_eq!(limiter.limit(), 10);
    limiter.lower_ceiling(4);
    assert_eq!(limiter.limit(), 4);
    for _ in 0..5 {
        settle(permits(&limiter, 1).await, Outcome::TimedOut);
    }
    assert_eq!(limiter.limit(), 1);
    let one = permits(&limiter, 1).await;
    assert!(is_full(&limiter).await);
    drop(one);
    assert!(!is_full(&limiter).await, "a permit that was dropped comes back");
    assert_eq!(limiter.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unused_limit_does_not_grow() {
    let limiter = limiter(|_| {});
    for _ in 0..100 {
        settle(permits(&limiter, 1).await, Outcome::Answered);
    }
    assert_eq!(limiter.limit(), 8);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_wait_that_the_server_asked_for() {
    let limiter = limiter(|_| {});
    let start = Instant::now();
    settle(permits(&limiter, 1).await, Outcome::Overloaded(Some(Duration::from_secs(30))));
    let _one = permits(&limiter, 1).await;
    assert_eq!(start.elapsed().as_secs(), 30);
    settle(permits(&limiter, 1).await, Outcome::Overloaded(Some(Duration::from_hours(24))));
    let _one = permits(&limiter, 1).await;
    assert_eq!(start.elapsed().as_secs(), 30 + 120, "a day's wait is for the caller to decide");
}

#[tokio::test(start_paused = true)]
async fn rates_are_kept_over_a_minute() {
    let limiter = limiter(|limits| limits.requests_per_minute = Some(600));
    let start = Instant::now();
    for _ in 0..610 {
        settle(permits(&limiter, 1).await, Outcome::Answered);
    }
    assert!((59..=62).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    let limiter = self::limiter(|limits| limits.tokens_per_minute = Some(60_000));
    let start = Instant::now();
    for _ in 0..60 {
        let permit = limiter.acquire(200).await.expect("the breaker is closed");
        // It wrote far more than was foreseen: the next ones wait that off.
        permit.settle(Outcome::Answered, Some(1000));
    }
    assert!((57..=61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_prompt_larger_than_the_rate_still_goes() {
    let limiter = limiter(|limits| limits.tokens_per_minute = Some(60));
    let permit = timeout(Duration::from_secs(5), limiter.acquire(1_000_000)).await.expect("not forever");
    permit.expect("the breaker is closed").settle(Outcome::Answered, Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_lets_one_try_for_all_and_all_share_its_fate() {
    let limiter = limiter(|limits| {
        limits.breaker_failures = 3;
        limits.breaker_pause = Duration::from_secs(1);
    });
    for n in 0..3 {
        assert!(!limiter.is_down(), "after {n} failures");
        settle(permits(&limiter, 1).await, Outcome::Broken);
    }
    assert!(limiter.is_down());
    let start = Instant::now();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { limiter.acquire(1).await.map(|permit| permit.settle(Outcome::Broken, None)) })
        })
        .collect();
    let mut down = 0;
    for task in waiting {
        if let Err(Denied::Down(Down { failures, retry_after })) = task.await.expect("no panic") {
            assert_eq!((failures, retry_after), (4, Duration::from_secs(2)));
            down += 1;
        }
    }
    assert_eq!((down, start.elapsed().as_secs()), (4, 1));

    // It is down until it is time for the next try, and while one is under way.
    assert!(limiter.is_down());
    advance(Duration::from_secs(2)).await;
    assert!(!limiter.is_down());
    let trying = permits(&limiter, 1).await;
    assert!(limiter.is_down());
    drop(trying);
    settle(permits(&limiter, 1).await, Outcome::Broken);

    // The next try waits longer, succeeds, and lets all go on.
    let start = Instant::now();
    let first = permits(&limiter, 1).await;
    assert_eq!(start.elapsed().as_secs(), 4);
    let other = {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(1).await.is_ok() })
    };
    advance(Duration::from_mins(10)).await;
    assert!(!other.is_finished(), "only one tries");
    settle(first, Outcome::Answered);
    assert!(other.await.expect("no panic"));
    assert!(!limiter.is_down());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_given_up_is_no_failure() {
    let limiter = limiter(|limits| limits.breaker_failures = 1);
    settle(permits(&limiter, 1).await, Outcome::Broken);
    let trying = permits(&limiter, 1).await;
    let other = {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(1).await.is_ok() })
    };
    tokio::task::yield_now().await;
    drop(trying);
    assert!(other.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn refusals_and_successes_between_failures_keep_the_breaker_closed() {
    let limiter = limiter(|limits| limits.breaker_failures = 2);
    for _ in 0..10 {
        settle(permits(&limiter, 1).await, Outcome::Broken);
        settle(permits(&limiter, 1).await, Outcome::Answered);
    }
    assert!(!limiter.is_down());
    let limiter = self::limiter(|limits| limits.breaker_failures = 0);
    for _ in 0..100 {
        settle(permits(&limiter, 1).await, Outcome::Broken);
    }
    assert!(!limiter.is_down(), "0 means never");
}

proptest! {
    #[test]
    fn no_permit_is_ever_lost_or_made(steps in proptest::collection::vec((0_u8..7, 0_usize..64), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let _guard = runtime.enter();
        let limiter = limiter(|limits| {
            limits.start = 4;
            limits.ceiling = 20;
            limits.breaker_failures = 0;
        });
        let mut held: Vec<Permit> = Vec::new();
        for (step, at) in steps {
            if step < 3 || held.is_empty() {
                // It is given at once or not at all; given up, it leaves nothing behind.
                if let Some(permit) = limiter.acquire(1).now_or_never() {
                    held.push(permit.expect("there is no breaker"));
                }
            } else {
                let permit = held.swap_remove(at % held.len());
                match step {
                    3 => permit.settle(Outcome::Answered, None),
                    4 => permit.settle(Outcome::TimedOut, Some(5)),
                    5 => drop(permit),
                    _ => limiter.lower_ceiling(at % 20 + 4),
                }
            }
            prop_assert_eq!(limiter.in_flight(), held.len());
            prop_assert!((1..=20).contains(&limiter.limit()));
        }
        drop(held);
        let all: Vec<_> = (0..limiter.limit()).map(|_| limiter.acquire(1).now_or_never()).collect();
        prop_assert!(all.iter().all(Option::is_some), "as many as the limit says");
        prop_assert!(limiter.acquire(1).now_or_never().is_none(), "and no more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_limiter_lets_nobody_through_who_has_not_begun() {
    let limiter = limiter(|limits| limits.start = 1);
    let begun = permits(&limiter, 1).await;
    let waiting = {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.acquire(1).await.map(drop) })
    };
    tokio::task::yield_now().await;
    limiter.close();
    assert_eq!(waiting.await.expect("no panic"), Err(Denied::Closed));
    assert_eq!((limiter.in_flight(), limiter.acquire(1).await.map(drop)), (1, Err(Denied::Closed)));
    settle(begun, Outcome::Answered);
    assert_eq!(limiter.in_flight(), 0);
}
