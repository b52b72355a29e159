//! m: finding jobs among many: reads and lists on PostgreSQL, beside the raw look-up of the same
//! rows, and deleting many while a batch runs.

use std::time::Instant;

use headway_client::{Client, JobBuilder, JobName, TaskBuilder, v1::ListJobsRequest};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};

use super::{Bench, deletions};
use crate::{
    cluster::{Cluster, PIPE},
    jobs,
    report::Row,
    sizes::Sizes,
    stats::Times,
};

/// Jobs a page; so page 1,000 of a partition of 20,000 is the last.
const PAGE: i32 = 20;
/// The longest that a list or count may take, in milliseconds.
const TARGET_MS: f64 = 50.0;

/// Measures on a cluster whose tables are filled by copying a row.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let rows = Cluster::with(&services, "m", true, async |cluster: &mut Cluster| {
        let mut database = cluster.services.database().await?;
        let schema = cluster.scope.schema.clone();
        let path = format!("SET search_path TO {schema}; SET enable_seqscan TO off");
        sqlx::raw_sql(AssertSqlSafe(path))
            .execute(&mut database)
            .await?;
        fill(&cluster.client, &mut database, sizes).await?;
        let mut rows = raw(&mut database, sizes).await?;
        rows.extend(find(&cluster.client, sizes).await?);
        rows.extend(deletions::measure(&cluster.client, sizes).await?);
        database.close().await?;
        Ok(rows)
    })
    .await?;
    for row in rows {
        bench.add(row);
    }
    Ok(())
}

/// Copies a job that has ended to every partition, each time with another key, id, label and state.
async fn fill(client: &Client, database: &mut PgConnection, sizes: Sizes) -> anyhow::Result<()> {
    let spec = JobBuilder::new(TaskBuilder::new(PIPE, "noop").json(&serde_json::json!({"n": 1})));
    let spec = spec.label("team", "blue").build();
    let mut request = jobs::task("seed", "seed", PIPE, "noop");
    request.spec = Some(spec);
    client.create_job(request).await?;
    jobs::ended(client, &JobName::new("seed", "seed")?).await?;
    let (partitions, each) = sizes.many;
    let begin = Instant::now();
    for partition in 0..partitions {
        for (table, changes) in [
            (
                "job",
                "'job_key', one.job_key + n, 'uid', '\\x' || md5(KEY::text), 'partition_id', 'p' || P, 'job_id', 'j' || n, 'request_id', ''",
            ),
            (
                "job_progress",
                "'job_key', one.job_key + n, 'partition_id', 'p' || P, 'state', 4 + n % 3, 'phase', 3 + n % 3",
            ),
            (
                "label",
                "'job_key', one.job_key + n, 'partition_id', 'p' || P, 'value', 't' || n % 100",
            ),
        ] {
            let key = format!("({partition}::bigint * {each} + n)");
            let changes = changes
                .replace("KEY", &key)
                .replace('P', &partition.to_string());
            let changes = changes.replace("one.job_key + n", &format!("one.job_key + {key}"));
            let sql = format!(
                "INSERT INTO {table} SELECT copy.* FROM (SELECT t AS row, t.job_key FROM {table} t JOIN job j USING (job_key) \
                 WHERE j.partition_id = 'seed' LIMIT 1) AS one, generate_series(1, {each}) AS n, \
                 jsonb_populate_record(one.row, jsonb_build_object({changes})) AS copy"
            );
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut *database)
                .await?;
        }
    }
    // Jobs that were created over months have been vacuumed. Autovacuum would do it within two
    // minutes, before the lists are measured or after.
    for table in ["job", "job_progress", "label"] {
        sqlx::raw_sql(AssertSqlSafe(format!("VACUUM (ANALYZE) {table}")))
            .execute(&mut *database)
            .await?;
    }
    eprintln!(
        "  {} jobs in {} partitions, made in {:.0} s",
        partitions * each,
        partitions,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The raw look-up: a page of rows by the index, without anything above the database.
async fn raw(database: &mut PgConnection, sizes: Sizes) -> anyhow::Result<Vec<Row>> {
    let sql = "SELECT j.*, p.* FROM job j JOIN job_progress p ON p.job_key = j.job_key \
               WHERE j.partition_id = $1 ORDER BY j.job_key DESC LIMIT $2";
    let mut times = Times::default();
    for turn in 0..sizes.finds {
        let partition = format!("p{}", turn % sizes.many.0);
        let begin = Instant::now();
        let rows = sqlx::query(sql)
            .bind(partition)
            .bind(i64::from(PAGE))
            .fetch_all(&mut *database)
            .await?;
        times.add(begin.elapsed());
        anyhow::ensure!(
            rows.len() == PAGE as usize && rows[0].len() > 1,
            "the tables are not filled"
        );
    }
    Ok(vec![
        Row::new("m.raw_page_p50_ms", times.percentile_ms(50)),
        Row::new("m.raw_page_p99_ms", times.percentile_ms(99)),
    ])
}

/// What is looked for, and the key of its figures.
async fn find(client: &Client, sizes: Sizes) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let list = |partition: usize, filter: &str, token: &str| ListJobsRequest {
        parent: format!("partitions/p{partition}"),
        page_size: PAGE,
        filter: filter.to_owned(),
        page_token: token.to_owned(),
        ..ListJobsRequest::default()
    };
    let last_page = sizes.many.1 / PAGE as usize;
    let mut tokens = Vec::new();
    for partition in 0..sizes.many.0.min(8) {
        let mut token = String::new();
        for _ in 1..last_page {
            token = client
                .list_jobs(list(partition, "", &token))
                .await?
                .next_page_token;
        }
        tokens.push(token);
    }
    for what in [
        "get",
        "page_1",
        "page_1000",
        "state",
        "label",
        "state_and_label",
        "id",
        "counts",
        "counts_of_label",
    ] {
        let mut times = Times::default();
        for turn in 0..sizes.finds {
            let partition = turn % sizes.many.0;
            let number = (turn * 7919) % sizes.many.1 + 1;
            let begin = Instant::now();
            let found = match what {
                "get" => {
                    let name = JobName::new(format!("p{partition}"), format!("j{number}"))?;
                    client.get_job(&name).await?;
                    1
                }
                "counts" => client.count_jobs(&format!("p{partition}")).await?.len(),
                "counts_of_label" => {
                    let filter = format!("labels.team = t{}", turn % 100);
                    client
                        .count_jobs_like(&format!("p{partition}"), &filter)
                        .await?
                        .len()
                }
                _ => {
                    let token = match what {
                        "page_1000" => tokens[turn % tokens.len()].as_str(),
                        _ => "",
                    };
                    let filter = match what {
                        "state" => "state = FAILED".to_owned(),
                        "label" => format!("labels.team = t{}", turn % 100),
                        "state_and_label" => {
                            format!("state = COMPLETED labels.team = t{}", turn % 100)
                        }
                        "id" => format!("id = j{number}"),
                        _ => String::new(),
                    };
                    let partition = if token.is_empty() {
                        partition
                    } else {
                        turn % tokens.len()
                    };
                    client
                        .list_jobs(list(partition, &filter, token))
                        .await?
                        .jobs
                        .len()
                }
            };
            times.add(begin.elapsed());
            anyhow::ensure!(found > 0, "{what} finds nothing");
        }
        rows.push(Row::new(
            format!("m.{what}_p50_ms"),
            times.percentile_ms(50),
        ));
        rows.push(Row::new(format!("m.{what}_p99_ms"), times.percentile_ms(99)).at_most(TARGET_MS));
    }
    Ok(rows)
}
