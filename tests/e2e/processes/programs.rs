//! The programs as they are shipped: what they do when open files run out, and how they end while a
//! file system does not answer.

use std::{net::SocketAddr, path::Path, time::Duration};

use futures::TryStreamExt;
use headway::v1::{JobSpec, JobState, RetryPolicy, job_reason::Kind};
use headway_client::{
    BatchBuilder, Client, ClientConfig, JobBuilder, JobName, TaskBuilder, create_request,
};
use headway_tests::{
    BackEnd, Cluster, ClusterOptions, Deployment, Options, PATIENCE, Program, Role, WORK, run,
    run_cluster, until,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

pub(super) const TESTS: &str = env!("CARGO_BIN_EXE_headway-test-process");
/// Open files that a server may have,
const FILES: usize = 64;
/// and the connections that it is to take.
const CONNECTIONS: usize = 120;
/// How long a program may take to end: longer than the longest drain, which is the demo's. Without
/// a drain that ends it never does.
pub(super) const END: Duration = Duration::from_secs(40);

/// Mounts a file system that answers nobody at the folder `$0`, where only this process sees it,
/// and goes on as the program that follows. Its own end takes the file system away.
const SILENT: &str = "exec 5<>/dev/fuse && mount -t fuse \
     -o fd=5,rootmode=40000,user_id=0,group_id=0 silent \"$0\" && exec \"$@\"";

/// A program beside a file system that does not answer.
struct Beside {
    folder: tempfile::TempDir,
    command: Command,
}

impl Beside {
    /// None where this machine allows no such file system.
    async fn of(program: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let silent = folder.path().join("silent");
        std::fs::create_dir(&silent).unwrap();
        let command = |program: &Path| {
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", SILENT]).arg(&silent);
            command.arg(program);
            command
        };
        let tried = command(Path::new("true")).status().await;
        if !tried.is_ok_and(|status| status.success()) {
            eprintln!("left out: this machine allows no FUSE mount in a namespace of its own");
            return None;
        }
        let command = command(&Program::path(TESTS, program));
        Some(Self { folder, command })
    }

    /// Folders in which it may read.
    fn roots(&self) -> &Path {
        self.folder.path()
    }

    fn start(&mut self) -> Program {
        Program::start(&mut self.command, self.folder.path())
    }

    /// A batch over the lines of a file that cannot be opened; it is tried twice.
    fn lines(&self) -> JobSpec {
        let path = self.folder.path().join("silent/file");
        let batch = BatchBuilder::new("lines").json(&json!({"path": path}));
        let soon = prost_types::Duration {
            seconds: 0,
            nanos: 1_000_000,
        };
        JobBuilder::new(batch.item(WORK, "line"))
            .retry_policy(RetryPolicy {
                max_attempts: 2,
                initial_backoff: Some(soon),
                ..RetryPolicy::default()
            })
            .build()
    }

    /// An item for the workers of documents over such a file.
    fn tag(&self) -> JobSpec {
        let folder = self.folder.path();
        let source = json!({"root": folder, "dir": "silent", "files": ["file"]});
        let payload: Value = json!({"source": source, "out": folder});
        JobBuilder::new(TaskBuilder::new("documents.tag", "tag").json(&payload)).build()
    }
}

/// The address in a line of a log.
pub(super) fn address(line: &str) -> SocketAddr {
    let (_, port) = line.split_once("127.0.0.1:").expect("an address");
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")))
}

/// A server that `limit`, a command of the shell, lets have few open files.
async fn limited(folder: &Path, limit: &str) -> (Program, SocketAddr) {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
        .arg(Program::path(TESTS, "headway-server"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.join("data"));
    let server = Program::start(&mut command, folder);
    let address = address(&server.logged("listening").await);
    (server, address)
}

async fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    connections
}

/// Asks a server how it is; nothing where it does not answer.
async fn health(address: SocketAddr) -> Option<String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), asking).await;
    answer.ok()?.ok()
}

/// The time of all processors that a process has used, in hundredths of a second.
fn processor_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next().unwrap().parse::<u64>().unwrap();
    ticks() + ticks()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_open_files_rests_and_comes_back() {
    const TROUBLE: &str = "cannot accept connections";
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = limited(folder.path(), &format!("ulimit -n {FILES}")).await;
    let connections = idle_connections(address).await;
    let said = server.logged(TROUBLE).await;
    assert!(said.contains("Too many open files"), "{said}");

    let before = processor_time(server.pid());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let percent = (processor_time(server.pid()) - before) / 2;
    assert!(percent < 20, "{percent} % of a processor");
    assert_eq!(server.log().matches(TROUBLE).count(), 1);

    drop(connections);
    let answer = until("the server to serve again", PATIENCE, || health(address)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.terminate(END).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_raises_its_limit_of_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = limited(folder.path(), &format!("ulimit -S -n {FILES}")).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut files = files.unwrap().split_whitespace().skip(3);
    let (soft, hard) = (files.next().unwrap(), files.next().unwrap());
    assert!(soft == hard && soft != FILES.to_string(), "{limits}");

    let _connections = idle_connections(address).await;
    let answer = until("the server to serve", PATIENCE, || health(address)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!server.log().contains("cannot accept"), "{}", server.log());
    assert!(server.terminate(END).await.success());
}

pub(super) async fn create(client: &Client, id: &str, spec: JobSpec) -> JobName {
    let mut request = create_request("default", spec);
    request.job_id = id.to_owned();
    client.create_job(request).await.unwrap();
    JobName::new("default", id).unwrap()
}

/// Waits until ExplainJob gives a reason; its sentence.
async fn explained(client: &Client, name: &JobName, kind: Kind) -> String {
    until(kind.as_str_name(), PATIENCE, || async {
        let reasons = client.explain_job(name).await.unwrap().reasons;
        let mut reasons = reasons.into_iter();
        let reason = reasons.find(|reason| reason.kind() == kind);
        reason.map(|reason| reason.message)
    })
    .await
}

/// Waits until a thread of a program waits for the file system.
async fn blocked(program: &Program) {
    let folder = format!("/proc/{}/task", program.pid());
    until("a thread to block", PATIENCE, || async {
        let tasks = std::fs::read_dir(&folder).unwrap().flatten();
        let wait = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("wchan"));
        let mut waits = tasks.filter_map(|task| wait(task).ok());
        waits.any(|wait| wait.contains("fuse")).then_some(())
    })
    .await;
}

/// Ends a program that is reading: its status may say that not everything has ended.
async fn ends_by_itself(program: Program) {
    let status = program.terminate(END).await;
    assert!(status.code().is_some(), "{status}");
}

pub(super) async fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(ClientConfig::new(format!("http://{address}")));
    client.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_file_system_fails_its_job_and_does_not_keep_the_server() {
    let Some(mut beside) = Beside::of("headway-server").await else {
        return;
    };
    let data = beside.roots().join("data");
    let roots = beside.roots().to_owned();
    beside
        .command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .env("HEADWAY_FILE_ROOTS", roots)
        .env("HEADWAY_SPLIT_TIMEOUT", "1s")
        .env("HEADWAY_SWEEP_INTERVAL", "500ms")
        .env("HEADWAY_DRAIN", "1s");
    let server = beside.start();
    let client = connect(address(&server.logged("listening").await)).await;
    let name = create(&client, "lines", beside.lines()).await;
    let reason = explained(&client, &name, Kind::RetryDelay).await;
    assert!(reason.contains("found no page within 1 s"), "{reason}");
    let warning = server.logged("cannot split a page").await;
    assert!(warning.contains("WARN"), "{warning}");

    let failed = until("the job to fail", PATIENCE, || async {
        let job = client.get_job(&name).await.unwrap();
        (job.state() == JobState::Failed).then_some(job)
    });
    let progress = failed.await.progress.unwrap_or_default();
    assert_eq!(progress.split_failure_count, 1);
    let failures: Vec<_> = client.failures(&name, 10).try_collect().await.unwrap();
    assert_eq!(failures[0].code, "SPLIT_FAILED");
    assert!(failures[0].message.contains("no page"), "{failures:?}");
    blocked(&server).await;
    assert!(server.terminate(END).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_file_system_does_not_keep_the_demo() {
    let Some(mut beside) = Beside::of("headway-demo").await else {
        return;
    };
    let data = beside.roots().join("data");
    let roots = beside.roots().to_owned();
    beside
        .command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .arg("--file-roots")
        .arg(roots);
    let demo = beside.start();
    let client = connect(address(&demo.logged("serving at").await)).await;
    create(&client, "lines", beside.lines()).await;
    blocked(&demo).await;
    ends_by_itself(demo).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_file_system_does_not_keep_document_workers() {
    run(Options::new(BackEnd::Cluster), document_workers).await;
}

async fn document_workers(d: Deployment) {
    let Some(mut beside) = Beside::of("headway-documents").await else {
        return;
    };
    let namespace = d.namespace().unwrap();
    let roots = beside.roots().to_owned();
    beside
        .command
        .args(["--broker-url", &namespace.amqp_url])
        .args(["--prefix", &namespace.prefix])
        .args(["--drain", "1s", "--file-roots"])
        .arg(roots);
    let worker = beside.start();
    let name = d.create("tag", beside.tag()).await;
    blocked(&worker).await;
    ends_by_itself(worker).await;
    d.client().cancel_job(&name).await.unwrap();
    d.finish(&name, JobState::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_file_system_does_not_keep_a_batch_worker() {
    run_cluster(ClusterOptions::new(TESTS), batch_worker).await;
}

async fn batch_worker(cluster: Cluster) {
    let Some(mut beside) = Beside::of("headway-worker-batch").await else {
        return;
    };
    // The shipped program takes the place of the cluster's own.
    cluster.process(Role::Batch, 0).await.stop().await.unwrap();
    let namespace = cluster.namespace().unwrap();
    let roots = beside.roots().to_owned();
    beside
        .command
        .env("HEADWAY_DATABASE_URL", &namespace.database_url)
        .env("HEADWAY_DATABASE_SCHEMA", &namespace.schema)
        .env("HEADWAY_BROKER_URL", &namespace.amqp_url)
        .env("HEADWAY_PREFIX", &namespace.prefix)
        .env("HEADWAY_FILE_ROOTS", roots)
        .env("HEADWAY_DRAIN", "1s");
    let worker = beside.start();
    let name = cluster.create("lines", beside.lines()).await;
    blocked(&worker).await;
    ends_by_itself(worker).await;
    cluster.client().cancel_job(&name).await.unwrap();
    // It takes the message of the job that was cancelled.
    let mut own = cluster.process(Role::Batch, 0).await;
    own.start().await.unwrap();
    drop(own);
    cluster.finish(&name, JobState::Cancelled).await;
}
