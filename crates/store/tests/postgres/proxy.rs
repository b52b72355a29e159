//! A proxy between the store and PostgreSQL that loses answers, cuts connections, and takes prepared statements away.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify},
    task::JoinSet,
};

/// A proxy; it ends when it is dropped.
pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Faults {
    /// Every so many changes an answer is lost; 0 for never.
    lose_each: AtomicU32,
    changes: AtomicU64,
    lost: AtomicU64,
    /// Statements that are run on each connection once, before its next request.
    inject: Mutex<Option<(u64, &'static str)>>,
    cut: Notify,
}

impl Proxy {
    /// A proxy before the server at this address.
    pub async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults::default());
        let mut accepting = JoinSet::new();
        let shared = faults.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&upstream).await.unwrap();
                connections.spawn(carry(client, server, shared.clone()));
            }
        });
        Self {
            port,
            faults,
            _accepting: accepting,
        }
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Loses the answer to every so many changes after the server applied them, and cuts the connection; 0 for none.
    pub fn lose_each(&self, changes: u32) {
        self.faults.lose_each.store(changes, Ordering::SeqCst);
    }

    /// Answers that were lost.
    pub fn lost(&self) -> u64 {
        self.faults.lost.load(Ordering::SeqCst)
    }

    /// Runs a statement on every connection, before its next request.
    pub async fn inject(&self, sql: &'static str) {
        let mut inject = self.faults.inject.lock().await;
        let number = inject.map_or(1, |(number, _)| number + 1);
        *inject = Some((number, sql));
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.faults.cut.notify_waiters();
    }
}

/// Carries one connection until either side ends it, or a fault does.
async fn carry(client: TcpStream, server: TcpStream, faults: Arc<Faults>) {
    tokio::select! {
        () = faults.cut.notified() => {}
        _ = carry_until_lost(client, server, &faults) => {}
    }
}

async fn carry_until_lost(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: &Faults,
) -> std::io::Result<()> {
    let mut injected = faults.inject.lock().await.map_or(0, |(number, _)| number);
    let mut upward = vec![0; 65_536];
    let mut answer = Answer::default();
    let mut downward = vec![0; 65_536];
    loop {
        tokio::select! {
            read = client.read(&mut upward) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let wanted = *faults.inject.lock().await;
                if let Some((number, sql)) = wanted.filter(|(number, _)| *number > injected && answer.ready) {
                    injected = number;
                    run(&mut server, sql).await?;
                }
                answer.ready = false;
                server.write_all(&upward[..read]).await?;
            }
            read = server.read(&mut downward) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                answer.bytes.extend_from_slice(&downward[..read]);
                if answer.read_messages() {
                    let number = faults.changes.fetch_add(1, Ordering::SeqCst) + 1;
                    let each = u64::from(faults.lose_each.load(Ordering::SeqCst));
                    if each > 0 && number % each == 0 {
                        faults.lost.fetch_add(1, Ordering::SeqCst);
                        return Ok(());
                    }
                }
                client.write_all(&answer.whole).await?;
                answer.whole.clear();
            }
        }
    }
}

/// Runs a statement as the client would, and keeps the answer from it.
async fn run(server: &mut TcpStream, sql: &str) -> std::io::Result<()> {
    let length = u32::try_from(sql.len() + 5).unwrap();
    let mut query = vec![b'Q'];
    query.extend_from_slice(&length.to_be_bytes());
    query.extend_from_slice(sql.as_bytes());
    query.push(0);
    server.write_all(&query).await?;
    let mut answer = Answer::default();
    let mut read = vec![0; 4096];
    while !answer.ready {
        let count = server.read(&mut read).await?;
        answer.bytes.extend_from_slice(&read[..count]);
        answer.read_messages();
    }
    Ok(())
}

/// What the server says, message by message.
#[derive(Default)]
struct Answer {
    /// Not read yet.
    bytes: Vec<u8>,
    /// Read, and to be passed on.
    whole: Vec<u8>,
    /// Whether this answer says that something was changed.
    changed: bool,
    /// Whether the server waits for the next request.
    ready: bool,
}

impl Answer {
    /// Reads whole messages; whether one ends an answer that says that a change was committed.
    fn read_messages(&mut self) -> bool {
        let mut committed = false;
        while let Some(head) = self.bytes.get(..5) {
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize + 1;
            let Some(message) = self.bytes.get(..length) else {
                break;
            };
            match message[0] {
                b'C' => {
                    let tag = String::from_utf8_lossy(&message[5..]).into_owned();
                    let changes = ["COMMIT", "INSERT", "UPDATE", "DELETE"];
                    self.changed |= changes.iter().any(|change| tag.starts_with(change));
                }
                b'Z' => {
                    // Not inside a transaction any more.
                    committed |= std::mem::take(&mut self.changed) && message[5] == b'I';
                    self.ready = true;
                }
                _ => {}
            }
            self.whole.extend(self.bytes.drain(..length));
        }
        committed
    }
}
