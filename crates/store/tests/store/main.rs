//! The store's suite, on each dialect, and what a dialect has for itself. PostgreSQL needs
//! `HEADWAY_TEST_DATABASE_URL`: each test has a schema of its own, which is dropped at its end. On
//! SQLite each has a file. `sqlite::` and `postgres::` name the tests of one dialect.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

#[macro_use]
mod suite;
mod dialects;

mod postgres {
    use crate::{
        dialects::postgres::{self as dialect, run},
        suite,
    };

    store_suite!(run);

    cases! { run, dialect;
        locks: jobs_held_elsewhere_are_left, reports_wait_for_their_turn_when_told_to, a_job_held_elsewhere_is_skipped_by_timers, resumed_while_it_was_held,
            a_split_resumed_while_it_was_held, refused_texts;
        indexes: hot_queries_use_indexes, what_waits_is_found_by_index, changed_partitions_are_found_by_index,
            statistics_follow_the_growth_of_tables;
        texts: orders_are_of_bytes;
        altered: columns_are_added_under_a_running_job, a_column_changes_its_type, prepared_statements_are_lost;
        outages: read_only_for_a_while, connections_of_a_read_only_time_are_closed, no_connection_for_a_while, statements_have_a_time_limit, slow_reads_do_not_keep_writes_waiting, every_listed_code,
            all_connections_are_cut;
        lost_answers: a_repeated_call_leads_to_the_same_rows, a_repeated_creation_makes_one_job, a_job_that_could_not_be_counted;
        refusals: a_deadlock, a_failure_to_serialize, a_session_is_terminated;
        late: what_commits_late_is_not_skipped, a_partition_that_commits_late_is_found, events_of_another_cluster_come_first;
    }
}

mod sqlite {
    use crate::{
        dialects::sqlite::{self as dialect, run},
        suite,
    };

    store_suite!(run);

    cases! { run, dialect;
        commits: a_commit_that_fails, a_transaction_that_sqlite_rolls_back;
        codes: codes_of_statements, another_process_writes, files_that_cannot_be_used, a_page_is_overwritten;
    }
}
