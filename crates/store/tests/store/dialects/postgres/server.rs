//! PostgreSQL servers that a test starts for itself, to stop them and to promote one to primary.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

/// A folder of servers.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    /// Any user of the machine reaches their ports.
    password: String,
}

/// A server. It is stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub port: u16,
}

/// Whether the tests run as root, under which PostgreSQL does not.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

impl Cluster {
    /// A folder for servers; `None` where PostgreSQL is not installed here.
    pub(crate) fn new() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let versions = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
        let bin = versions.filter(|bin| bin.join("initdb").exists()).max()?;
        let folder = tempfile::tempdir().unwrap();
        let password = uuid::Uuid::new_v4().simple().to_string();
        fs::write(folder.path().join("password"), &password).unwrap();
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres:"])
                .arg(folder.path()));
        }
        Some(Self {
            folder,
            bin,
            password,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One of PostgreSQL's programs, as the user that it may run under.
    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = match is_root() {
            false => Command::new(program),
            true => {
                // It becomes the program, so that a signal reaches the server itself.
                let mut command = Command::new("setpriv");
                let group = run(Command::new("id").args(["-g", "postgres"])).stdout;
                let group = String::from_utf8_lossy(&group).trim().to_owned();
                command
                    .args(["--reuid=postgres", "--init-groups", "--regid"])
                    .arg(group)
                    .arg("--")
                    .arg(program);
                command
            }
        };
        command
            .current_dir("/")
            .env("PGPASSWORD", &self.password)
            .env("LC_ALL", "C");
        command
    }

    /// Makes the tables of a primary.
    pub(crate) fn make_primary(&self, name: &str) {
        run(self
            .program("initdb")
            .args(["-U", "headway", "-A", "scram-sha-256", "-E", "UTF8"])
            .args(["--no-locale", "--no-sync", "-D"])
            .arg(self.path(name))
            .arg("--pwfile")
            .arg(self.path("password")));
    }

    /// Copies a primary that runs, as a standby that follows it.
    pub(crate) fn make_standby(&self, name: &str, primary: &Server) {
        run(self
            .program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "headway", "-p"])
            .arg(primary.port.to_string())
            .args(["-X", "stream", "-c", "fast", "--no-sync", "-R", "-D"])
            .arg(self.path(name)));
    }

    /// Starts a server on a free port, and waits until it takes connections.
    pub(crate) async fn start(&self, name: &str) -> Server {
        let port = free_port();
        let data = self.path(name);
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=60",
            "shared_buffers=32MB",
            "dynamic_shared_memory_type=mmap",
            // The machine keeps running.
            "fsync=off",
        ];
        let mut command = self.program("postgres");
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        for setting in settings {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Server { child, port };
        while !is_ready(&data) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        server
    }

    /// The address of the database behind a port.
    pub(crate) fn url(&self, port: u16) -> String {
        format!(
            "postgres://headway:{}@127.0.0.1:{port}/postgres?sslmode=disable",
            self.password
        )
    }

    /// A connection to a server.
    pub(crate) async fn connect(&self, server: &Server) -> DatabaseConnection {
        let mut options = ConnectOptions::new(self.url(server.port));
        options.sqlx_logging(false).max_connections(1);
        Database::connect(options).await.unwrap()
    }
}

/// The eighth line of this file is the server's own word on its state.
fn is_ready(data: &Path) -> bool {
    let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    state
        .lines()
        .nth(7)
        .is_some_and(|state| state.starts_with("ready"))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    /// Stops the server as a crash of its machine would: without a word to its clients, and without
    /// a checkpoint.
    pub(crate) fn stop_at_once(&mut self) {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-QUIT", &pid]));
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop_at_once();
        }
    }
}

/// The number that a statement gives.
pub(crate) async fn number(on: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(on.get_database_backend(), sql);
    let row = on.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "value").unwrap()
}
