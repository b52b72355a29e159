use headway_domain::{partitions::PartitionShare, pipes::PipeLimits};

use super::*;

fn job(key: i64, partition: &str) -> HungryJob {
    HungryJob {
        job_key: key,
        partition_id: partition.to_owned(),
        allowance: 1,
        in_flight: 0,
        delayed: 0,
        items_per_message: 1,
        priority: 4,
        max_in_flight: 10_000,
        ready: 10_000,
        endless: true,
        reopening: false,
        tokens: None,
    }
}

fn pipe(jobs: Vec<HungryJob>) -> PipeShare {
    PipeShare {
        pipe: "p".into(),
        rate: 0.0,
        limits: PipeLimits::default(),
        reserved: 0,
        jobs,
    }
}

fn weighing(
    partition: &str,
    weight: u32,
    quota: Option<u32>,
    in_flight: u64,
) -> (String, PartitionUse) {
    let share = PartitionShare {
        weight,
        open_jobs: None,
        in_flight: quota,
    };
    (partition.to_owned(), PartitionUse { share, in_flight })
}

/// The allowances by job.
fn given(pipe: &PipeShare, credit: u64, uses: &[(String, PartitionUse)]) -> Vec<(i64, u32)> {
    let uses = uses.iter().cloned().collect();
    let mut books = Books::open(&uses, std::slice::from_ref(pipe));
    let shares = shares(pipe, credit, &mut books, None, Turn::default());
    shares
        .into_iter()
        .map(|(key, share)| (key, share.allowance))
        .collect()
}

#[test]
fn credit_goes_by_partition_then_job() {
    let pipe = pipe(vec![job(1, "a"), job(2, "a"), job(3, "b")]);
    assert_eq!(given(&pipe, 4000, &[]), [(1, 1000), (2, 1000), (3, 2000)]);
}

#[test]
fn partitions_share_by_weight() {
    let pipe = pipe(vec![job(1, "a"), job(2, "a"), job(3, "b")]);
    let uses = [weighing("a", 3, None, 0)];
    assert_eq!(given(&pipe, 4000, &uses), [(1, 1500), (2, 1500), (3, 1000)]);
}

#[test]
fn what_one_cannot_use_others_get() {
    let small = HungryJob {
        max_in_flight: 10,
        ..job(1, "a")
    };
    let short = HungryJob {
        endless: false,
        ready: 90,
        in_flight: 10,
        ..job(2, "b")
    };
    let pipe = pipe(vec![small, short, job(3, "c"), job(4, "d")]);
    assert_eq!(
        given(&pipe, 1110, &[]),
        [(1, 10), (2, 100), (3, 500), (4, 500)]
    );
}

#[test]
fn the_important_come_first_and_nobody_stands_still() {
    let urgent = HungryJob {
        priority: 9,
        max_in_flight: 300,
        ..job(1, "a")
    };
    let later = HungryJob {
        priority: 0,
        allowance: 500,
        ..job(3, "c")
    };
    let pipe = pipe(vec![urgent, job(2, "b"), later]);
    assert_eq!(given(&pipe, 1000, &[]), [(1, 300), (2, 700), (3, 1)]);
}

#[test]
fn a_partition_gets_no_more_than_its_quota() {
    let pipe = pipe(vec![job(1, "a"), job(2, "b")]);
    // 40 of its 100 items are of jobs that want no more, or elsewhere.
    let uses = [weighing("a", 1, Some(100), 40)];
    assert_eq!(given(&pipe, 1000, &uses), [(1, 60), (2, 940)]);
    // It gives back what is too much, and gets nothing while it has it.
    let full = HungryJob {
        allowance: 80,
        in_flight: 80,
        ..job(1, "a")
    };
    let more = HungryJob {
        allowance: 0,
        ..job(3, "a")
    };
    let both = PipeShare {
        jobs: vec![full, more],
        ..pipe
    };
    let uses = [weighing("a", 1, Some(80), 80)];
    assert_eq!(given(&both, 1000, &uses), [(1, 40)]);
}

#[test]
fn a_quota_holds_over_several_pipes() {
    let pipes = [pipe(vec![job(1, "a")]), pipe(vec![job(2, "a")])];
    let uses = [weighing("a", 1, Some(100), 0)].into();
    let mut books = Books::open(&uses, &pipes);
    let given: Vec<_> = pipes
        .iter()
        .flat_map(|pipe| shares(pipe, 70, &mut books, None, Turn::default()))
        .map(|(key, share)| (key, share.allowance))
        .collect();
    assert_eq!(given, [(1, 70), (2, 30)]);
}

#[test]
fn small_differences_are_left_alone_until_a_large_one_comes() {
    let near = |key, allowance| HungryJob {
        allowance,
        ..job(key, "a")
    };
    assert!(given(&pipe(vec![near(1, 900), near(2, 1100)]), 2000, &[]).is_empty());
    assert_eq!(
        given(
            &pipe(vec![near(1, 900), near(2, 1100), near(3, 1)]),
            3000,
            &[]
        ),
        [(1, 1000), (2, 1000), (3, 1000)]
    );
}

#[test]
fn a_limit_holds_while_others_still_have_what_they_had() {
    let limited = |jobs, reserved| PipeShare {
        limits: PipeLimits {
            in_flight: Some(100),
            per_second: None,
        },
        reserved,
        ..pipe(jobs)
    };
    let old = HungryJob {
        allowance: 100,
        in_flight: 100,
        ..job(1, "a")
    };
    let new = HungryJob {
        allowance: 0,
        ..job(2, "b")
    };
    // The old one gives way first, and the new one gets what comes back.
    assert_eq!(
        given(&limited(vec![old.clone(), new.clone()], 0), 1000, &[]),
        [(1, 50)]
    );
    let giving = HungryJob {
        allowance: 50,
        in_flight: 80,
        ..old
    };
    assert_eq!(
        given(&limited(vec![giving.clone(), new.clone()], 0), 1000, &[]),
        [(2, 20)]
    );
    // What jobs have out that want no more counts too.
    assert_eq!(given(&limited(vec![new.clone()], 70), 1000, &[]), [(2, 30)]);
    assert!(given(&limited(vec![new], 200), 1000, &[]).is_empty());
}

#[test]
fn a_rate_is_divided_and_no_more() {
    let metered = |allowance, tokens| HungryJob {
        allowance,
        tokens,
        ..job(1, "a")
    };
    let slow = |jobs| PipeShare {
        limits: PipeLimits {
            in_flight: None,
            per_second: Some(10.0),
        },
        ..pipe(jobs)
    };
    let give = |pipe: &PipeShare, bucket: &mut Bucket, now| {
        let whole = bucket.fill(10.0, now);
        shares(
            pipe,
            1000,
            &mut Books::default(),
            Some((bucket, whole)),
            Turn::default(),
        )
    };
    let second = 1_000_000;
    let mut bucket = Bucket::new(0);
    let share = Share {
        allowance: 1000,
        grant: Some(5),
    };
    let one = slow(vec![metered(1000, Some(0))]);
    assert_eq!(give(&one, &mut bucket, second / 2), [(1, share)]);
    assert!(give(&one, &mut bucket, second / 2).is_empty());
    // Who has not sent what it may send gets no more than it can use.
    let full = HungryJob {
        in_flight: 998,
        ..metered(1000, Some(1))
    };
    let one_more = Share {
        grant: Some(1),
        ..share
    };
    assert_eq!(
        give(&slow(vec![full]), &mut bucket, second),
        [(1, one_more)]
    );
    // A pipe without a limit does not count.
    let free = Share {
        grant: None,
        ..share
    };
    let one = pipe(vec![metered(1000, Some(0))]);
    assert_eq!(
        shares(&one, 1000, &mut Books::default(), None, Turn::default()),
        [(1, free)]
    );
}

#[test]
fn what_cannot_be_divided_goes_round() {
    let jobs: Vec<_> = (0..7)
        .map(|key| job(key, if key < 4 { "a" } else { "b" }))
        .collect();
    let wants = vec![10; 7];
    let mut turn = Turn::default();
    let mut sums = [0; 7];
    for _ in 0..700 {
        let parts = divide(2, &jobs, &wants, &Books::default(), turn);
        assert_eq!(parts.iter().sum::<u64>(), 2);
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += part;
        }
        turn = turn.next();
    }
    // Each partition gets half of 1,400 pieces.
    for (at, sum) in sums.into_iter().enumerate() {
        let fair: u64 = if at < 4 { 175 } else { 233 };
        assert!(sum.abs_diff(fair) <= 5, "job {at} got {sum} of {fair}");
    }
}
