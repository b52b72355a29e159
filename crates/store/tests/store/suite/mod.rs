//! What the store promises, run on each dialect by [`store_suite`].
//!
//! Each test gets tables of its own. A test never waits for a time to pass if it can move the rows'
//! times instead.

pub(crate) mod audit;
pub(crate) mod batches;
pub(crate) mod clock;
pub(crate) mod connect;
pub(crate) mod driver;
pub(crate) mod events;
pub(crate) mod job_types;
pub(crate) mod jobs;
pub(crate) mod lost_commits;
pub(crate) mod outbox;
pub(crate) mod pipes;
pub(crate) mod rehearsals;
pub(crate) mod reports;
pub(crate) mod retries;
pub(crate) mod schedules;
pub(crate) mod unreadable;
pub(crate) mod watches;

pub(crate) use batches::{repair, split, timers, tree};
pub(crate) use jobs::{
    control, count, create, delete, failures, filters, held, history, list, lives, recount, update,
};
pub(crate) use pipes::{credit, used};
pub(crate) use reports::{apply, shards};
pub(crate) use unreadable::{jobs as unreadable_jobs, lists as unreadable_lists};

use std::{collections::BTreeMap, time::Duration};

use headway_domain::{
    JobId, JobName, PartitionId, PipeName,
    jobs::{BatchSpec, JobSpec, TaskSpec, Work},
    retries::RetryPolicy,
};
use headway_store::{NewJob, Store, StoreConfig};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};

/// How long a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The pipe of the suite's jobs.
pub(crate) const PIPE: &str = "work";

/// The store under test.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The handle that most tests use. Its leases last for an hour.
    pub store: Store,
    /// How it was connected.
    pub config: StoreConfig,
    /// The same tables without the store's rules, to look at rows and to move their times.
    pub raw: DatabaseConnection,
}

impl Fixture {
    /// Connects to empty tables; `raw` says how to reach them without the store.
    pub(crate) async fn connect(config: StoreConfig, raw: ConnectOptions) -> Self {
        Self {
            store: Store::connect(&config).await.unwrap(),
            raw: Database::connect(raw).await.unwrap(),
            config,
        }
    }

    /// Another handle on the same tables, as another process would have.
    pub(crate) async fn another(&self) -> Store {
        Store::connect(&self.config).await.unwrap()
    }

    /// Another handle, whose leases are over as soon as they begin.
    pub(crate) async fn hasty(&self) -> Store {
        let config = StoreConfig {
            lease: Duration::from_micros(1),
            ..self.config.clone()
        };
        Store::connect(&config).await.unwrap()
    }

    /// Whether the dialect has row locks and refuses U+0000.
    pub(crate) fn is_postgres(&self) -> bool {
        self.raw.get_database_backend() == DbBackend::Postgres
    }

    /// Runs a statement past the store; the number of rows it changed.
    pub(crate) async fn sql(&self, sql: impl AsRef<str>) -> u64 {
        let done = self.raw.execute_unprepared(sql.as_ref()).await;
        done.unwrap().rows_affected()
    }

    /// Does this with each row that such a statement changes, as `OLD` or `NEW`.
    pub(crate) async fn trigger(&self, on: &str, statement: &str) {
        let sql = match self.is_postgres() {
            true => format!(
                "CREATE FUNCTION triggered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NULL; END $$; \
                 CREATE TRIGGER triggered AFTER {on} FOR EACH ROW EXECUTE FUNCTION triggered()"
            ),
            false => {
                format!("CREATE TRIGGER triggered AFTER {on} FOR EACH ROW BEGIN {statement}; END")
            }
        };
        self.sql(sql).await;
    }

    /// The column `value` of every row.
    pub(crate) async fn ints(&self, sql: impl Into<String>) -> Vec<i64> {
        let statement = Statement::from_string(self.raw.get_database_backend(), sql);
        let rows = self.raw.query_all_raw(statement).await.unwrap();
        rows.iter()
            .map(|row| row.try_get("", "value").unwrap())
            .collect()
    }

    /// Rows of a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.ints(format!("SELECT count(*) AS value FROM {table}"))
            .await[0]
    }
}

/// The partition of most tests.
pub(crate) fn acme() -> PartitionId {
    PartitionId::new("acme").unwrap()
}

/// A job's name in partition `acme`.
pub(crate) fn name(job: &str) -> JobName {
    name_in("acme", job)
}

/// A job's name.
pub(crate) fn name_in(partition: &str, job: &str) -> JobName {
    JobName {
        partition: PartitionId::new(partition).unwrap(),
        job: JobId::new(job).unwrap(),
    }
}

/// A job to create without a request id.
pub(crate) fn new_job(name: JobName, spec: JobSpec) -> NewJob {
    NewJob {
        name,
        spec,
        request_id: String::new(),
        creator: "somebody".to_owned(),
        correlation: "call-1".to_owned(),
        created: None,
    }
}

/// A single task with this payload.
pub(crate) fn task(payload: &str) -> JobSpec {
    quick(JobSpec::new(Work::Task(TaskSpec {
        pipe: PipeName::new(PIPE).unwrap(),
        task_type: "export".to_owned(),
        payload: payload.as_bytes().to_vec(),
        content_type: "text/plain".to_owned(),
        headers: BTreeMap::from([("trace".to_owned(), "1".to_owned())]),
    })))
}

/// A batch, whose items the driver finds.
pub(crate) fn batch() -> JobSpec {
    quick(JobSpec::new(Work::Batch(BatchSpec {
        splitter: "tree".to_owned(),
        definition: b"tree".to_vec(),
        parameters: serde_json::json!({"depth": 3}),
        pipe: PipeName::new(PIPE).unwrap(),
        task_type: "export".to_owned(),
        payload: None,
        headers: BTreeMap::new(),
    })))
}

/// Delays of a millisecond.
fn quick(spec: JobSpec) -> JobSpec {
    JobSpec {
        retry_policy: RetryPolicy {
            initial_ms: 1,
            max_ms: 1,
            ..RetryPolicy::default()
        },
        ..spec
    }
}

/// Makes one test of each case in `$from`; `$run` gives a case its fixture and takes the tables
/// away again.
macro_rules! cases {
    ($run:ident, $from:ident; $($module:ident: $($case:ident),+ $(,)?;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$run(super::$from::$module::$case).await;
            })+
        })+
    };
}

/// Every case of the suite.
macro_rules! store_suite {
    ($run:ident) => {
        cases! { $run, suite;
            apply: duplicates_and_the_past_change_nothing, many_jobs_in_one_call,
                indexes_out_of_range, unknown_jobs_are_dropped, concurrent_reports_count_once,
                forward_then_done, fractions;
            clock: a_jump_fires_nothing;
            connect: twice_at_once, tables_of_a_newer_version, shards_are_set_once,
                clock_is_the_databases, closed_store_is_unavailable;
            control: illegal_transitions, repeated_actions_change_nothing,
                a_uid_means_one_job, an_answer_is_about_the_job_that_changed,
                paused_items_are_parked_and_sent_again, parked_too_late_is_sent_again,
                a_dispatch_of_a_paused_job_is_parked, a_split_of_a_paused_job_is_taken_back,
                cancel_settles, cancel_while_splitting, discarding_a_job_that_runs_sends_again,
                quick_turns;
            count: counts_by_state;
            create: a_task_is_born_released, a_batch_waits_to_be_split, the_same_id, request_ids,
                many_at_once, new_ones_beside_one_that_exists, one_name_and_many_specs,
                listed_by_the_time_that_is_shown, a_refused_job_is_refused_alone,
                waiting_costs_nothing, settings_of_partitions_reach_every_process,
                one_statement_for_each, rows_of_one_statement, jobs_of_one_commit;
            credit: hungry_pipes_and_allowance, nobody_is_hidden_by_many, rates_add_up_and_fade,
                first_allowances, pipes_with_limits, partitions_with_quotas, tokens_are_spent;
            delete: the_file_shrinks, a_live_job, timers_of_a_deleted_job, a_job_of_many_rows,
                create_again_under_the_same_name;
            events: a_life_in_events, pages_and_queries, what_is_old_is_removed,
                rare_kinds_are_found_in_bounded_steps, failures_are_told_of_less_and_less;
            failures: texts_are_cleaned_and_cut, texts_are_capped_and_counts_exact,
                pages_and_tokens, stop_policy, percentage_policy;
            filters: filters, filters_of_clients;
            held: held_jobs_are_told_of, what_nobody_took_is_discarded,
                as_many_messages_as_items_may_be_out;
            history: history_of_progress;
            job_types: an_etag_is_of_one_definition;
            list: keyset_pages, orders, partitions_do_not_leak, revisions_of_what_exists;
            lives: a_tree, without_children, folders_only, a_small_window, two_jobs_interleaved,
                unlucky_workers, every_message_twice, a_hundred_thousand_items;
            lost_commits: every_commit_of_every_operation;
            outbox: owed_until_sent, overdue_rows_are_taken_once, deferred_until_a_pipe_takes_it,
                deferred_items_are_not_silent;
            recount: a_report_waits_for_a_recount, a_recount_that_fails_stops_no_other,
                a_sweep_finds_a_wrong_count;
            rehearsals: schedules_stay_as_they_are, settings_stay_as_they_are,
                dead_letters_are_only_counted;
            repair: one_epoch_of_a_race, a_new_epoch_reaches_every_process,
                lost_items_are_sent_again, lost_splits_are_asked_again, what_rests_on_time_stays,
                an_older_epoch, paused_jobs_of_an_older_epoch, an_idle_job_is_advanced;
            retries: failed_items_run_again, discarded_items_run_again, a_failed_split_runs_again,
                parked_items_of_an_older_run, many_pages_are_opened_again,
                stale_messages_of_an_older_run, stale_reports_of_an_older_run,
                failures_of_a_running_job_run_again,
                more_failures_than_one_transaction_takes_back;
            schedules: every_open_job_counts, a_job_that_was_retried_counts,
                each_call_makes_a_job, a_repeated_call_knows_its_own_job,
                a_repeated_call_counts_its_job, every_missed_time_is_made, a_clock_that_was_set_back;
            shards: even_parts, the_dead_are_replaced, release_is_at_once, claims_at_once;
            split: a_race_has_one_winner, whoever_lost_sends_what_is_open, passing_faults,
                lasting_faults, batches_that_lie_too_deep, children_are_kept, not_reproducible,
                large_forwards_are_planned_in_parts, messages_of_unknown_pages;
            timers: retry_with_delay, delays_wait, lease_renewed_and_lost, leases_end_in_poison,
                suspects_end_in_poison, a_suspect_may_survive, timers_of_a_cancelled_job;
            tree: a_tree_while_it_runs, batches_by_pages;
            unreadable: a_schedule_that_comes_first, an_outbox_row, a_release_task;
            unreadable_jobs: an_idle_job, jobs_that_start_or_expire, timers_of_a_shard,
                pages_to_split_again, shares_and_suspension;
            unreadable_lists: a_row_of_a_list, one_of_many_states, an_event, a_batch,
                a_job_type_and_a_partition;
            update: other_processes_hear_of_it, lists_and_credit_hear_of_it;
            used: pipes_of_a_partition, forwarded_items_are_at_their_pipe,
                no_more_pipes_than_the_bound;
            watches: states_of_many_jobs, changed_jobs_of_a_partition, changed_partitions;
        }
    };
}
