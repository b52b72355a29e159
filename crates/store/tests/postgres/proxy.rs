//! A proxy between the store and PostgreSQL that loses answers, cuts connections, and takes prepared statements away.

use std::sync::Arc;

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
    /// The answer to lose.
    lose: Mutex<Option<Lose>>,
    /// A statement that is run on each connection once, before its next request.
    inject: Mutex<Option<(u64, &'static str)>>,
    cut: Notify,
}

/// Which answer is lost: after so many others, of changes or of all.
#[derive(Clone, Copy)]
struct Lose {
    skip: u32,
    of_changes: bool,
}

impl Faults {
    /// Whether this answer is to be lost.
    async fn loses(&self, changed: bool) -> bool {
        let mut lose = self.lose.lock().await;
        match &mut *lose {
            Some(wanted) if wanted.of_changes && !changed => false,
            Some(wanted) if wanted.skip > 0 => {
                wanted.skip -= 1;
                false
            }
            Some(_) => {
                *lose = None;
                true
            }
            None => false,
        }
    }
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

    /// Loses the answer to the next change after the server applied it, and cuts the connection.
    pub async fn lose_next_change(&self) {
        *self.faults.lose.lock().await = Some(Lose {
            skip: 0,
            of_changes: true,
        });
    }

    /// Loses the answer to a request after so many others, and cuts the connection.
    pub async fn lose_answer(&self, skip: u32) {
        *self.faults.lose.lock().await = Some(Lose {
            skip,
            of_changes: false,
        });
    }

    /// Loses nothing any more.
    pub async fn lose_nothing(&self) {
        *self.faults.lose.lock().await = None;
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
                if let Some(changed) = answer.read_messages()
                    && faults.loses(changed).await
                {
                    return Ok(());
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
    /// Reads whole messages. At the end of an answer outside of a transaction: whether it says that something was changed.
    fn read_messages(&mut self) -> Option<bool> {
        let mut ended = None;
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
                    let changed = std::mem::take(&mut self.changed);
                    // Not inside a transaction any more.
                    if message[5] == b'I' {
                        ended = Some(changed || ended == Some(true));
                    }
                    self.ready = true;
                }
                _ => {}
            }
            self.whole.extend(self.bytes.drain(..length));
        }
        ended
    }
}
