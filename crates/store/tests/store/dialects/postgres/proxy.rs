//! A proxy between the store and PostgreSQL that loses answers, cuts connections, and takes
//! prepared statements away.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify},
    task::JoinSet,
};

/// A proxy; it ends when it is dropped.
pub(crate) struct Proxy {
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
    /// The server's address.
    upstream: Mutex<String>,
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
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults {
            upstream: Mutex::new(upstream),
            ..Faults::default()
        });
        let mut accepting = JoinSet::new();
        let shared = faults.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = shared.upstream.lock().await.clone();
                // A client whose server is away is cut off.
                if let Ok(server) = TcpStream::connect(upstream).await {
                    connections.spawn(carry(client, server, shared.clone()));
                }
            }
        });
        Self {
            port,
            faults,
            _accepting: accepting,
        }
    }

    /// Its port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses the answer to the next change after the server applied it, and cuts the connection.
    pub(crate) async fn lose_next_change(&self) {
        self.lose_change(0).await;
    }

    /// Loses the answer to a change after so many others.
    pub(crate) async fn lose_change(&self, skip: u32) {
        *self.faults.lose.lock().await = Some(Lose {
            skip,
            of_changes: true,
        });
    }

    /// Loses the answer to a request after so many others, and cuts the connection.
    pub(crate) async fn lose_answer(&self, skip: u32) {
        *self.faults.lose.lock().await = Some(Lose {
            skip,
            of_changes: false,
        });
    }

    /// Loses nothing any more; whether an answer was still to be lost.
    pub(crate) async fn lose_nothing(&self) -> bool {
        self.faults.lose.lock().await.take().is_some()
    }

    /// Runs a statement on every connection, before its next request.
    pub(crate) async fn inject(&self, sql: &'static str) {
        let mut inject = self.faults.inject.lock().await;
        let number = inject.map_or(1, |(number, _)| number + 1);
        *inject = Some((number, sql));
    }

    /// Leads new connections to another server.
    pub(crate) async fn lead_to(&self, upstream: String) {
        *self.faults.upstream.lock().await = upstream;
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
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
    let mut requests = Requests::default();
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
                answer.changed |= requests.change(&upward[..read]);
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

/// What the client asks, message by message: a change that gives rows is answered as a read is.
#[derive(Default)]
struct Requests {
    /// Not read yet.
    bytes: Vec<u8>,
    /// Whether the first message was read, which has no kind.
    begun: bool,
    /// The prepared statements that insert, by name.
    inserting: HashSet<Vec<u8>>,
}

impl Requests {
    /// Whether one of the messages that end here runs a statement that inserts.
    fn change(&mut self, more: &[u8]) -> bool {
        self.bytes.extend_from_slice(more);
        let mut changes = false;
        loop {
            let kind = usize::from(self.begun);
            let Some(length) = self.bytes.get(kind..kind + 4) else {
                return changes;
            };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + kind;
            if self.bytes.len() < length {
                return changes;
            }
            let message: Vec<u8> = self.bytes.drain(..length).collect();
            if std::mem::replace(&mut self.begun, true) {
                let mut texts = message[5..].split(|byte| *byte == 0);
                let (first, second) = (texts.next(), texts.next());
                match (message[0], first, second) {
                    (b'P', Some(name), Some(sql)) => {
                        if sql.windows(12).any(|part| part == b"INSERT INTO ") {
                            self.inserting.insert(name.to_vec());
                        } else {
                            self.inserting.remove(name);
                        }
                    }
                    (b'B', _, Some(name)) => changes |= self.inserting.contains(name),
                    _ => {}
                }
            }
        }
    }
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
    /// Reads whole messages. At the end of an answer outside of a transaction: whether it says that
    /// something was changed.
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
