//! grpc-web streams as a browser opens them: HTTP/1.1, a connection each, messages in a chunked
//! body.

use std::sync::Arc;

use anyhow::Context;
use bytes::{Buf, BufMut, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::streams::{Measured, PATH, request};

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// The flag of the frame with the trailers.
const TRAILERS: u8 = 0x80;

/// Opens a stream and reads it until the task is dropped. A stream that ends is an error.
pub(crate) async fn open(
    address: &str,
    count: usize,
    names: &[String],
    measured: &Arc<Measured>,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let mut readers = JoinSet::new();
    for name in names.iter().cycle().take(count) {
        let mut connection = TcpStream::connect(address).await?;
        connection.set_nodelay(true)?;
        let message = request(name);
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
             content-length: {}\r\n\r\n",
            message.len() + 5
        );
        let mut sent = BytesMut::from(head.as_bytes());
        sent.put_u8(0);
        sent.put_u32(u32::try_from(message.len())?);
        sent.put(message);
        connection.write_all(&sent).await?;
        let mut body = Body::begin(connection).await?;
        let measured = Arc::clone(measured);
        readers.spawn(async move {
            loop {
                let (flag, message) = body.frame().await?;
                anyhow::ensure!(flag & TRAILERS == 0, "a grpc-web stream has ended");
                measured.note(&message);
            }
        });
    }
    Ok(readers)
}

/// The chunked body of an answer.
struct Body {
    connection: TcpStream,
    /// Bytes of the wire that were read.
    wire: BytesMut,
    /// Bytes of the body that were unwrapped.
    content: BytesMut,
    /// What is left of the present chunk; `None` before its head.
    left: Option<usize>,
}

impl Body {
    async fn begin(connection: TcpStream) -> anyhow::Result<Self> {
        let mut body = Self {
            connection,
            wire: BytesMut::new(),
            content: BytesMut::new(),
            left: None,
        };
        let end = loop {
            if let Some(end) = body.wire.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            body.fill().await?;
        };
        let head = body.wire.split_to(end);
        anyhow::ensure!(head.starts_with(b"HTTP/1.1 200"), "the stream was refused");
        Ok(body)
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.wire.reserve(READ);
        let read = self.connection.read_buf(&mut self.wire).await?;
        anyhow::ensure!(read > 0, "the connection was closed");
        Ok(())
    }

    /// The next frame: its flag and its message.
    async fn frame(&mut self) -> anyhow::Result<(u8, BytesMut)> {
        while self.content.len() < 5 {
            self.chunk().await?;
        }
        let flag = self.content.get_u8();
        let length = usize::try_from(self.content.get_u32())?;
        while self.content.len() < length {
            self.chunk().await?;
        }
        Ok((flag, self.content.split_to(length)))
    }

    /// Unwraps more of the body.
    async fn chunk(&mut self) -> anyhow::Result<()> {
        loop {
            match self.left {
                Some(0) if self.wire.len() >= 2 => {
                    self.wire.advance(2);
                    self.left = None;
                }
                Some(left) if left > 0 && !self.wire.is_empty() => {
                    let part = self.wire.split_to(left.min(self.wire.len()));
                    self.left = Some(left - part.len());
                    self.content.put(part);
                    return Ok(());
                }
                None => match self.wire.windows(2).position(|bytes| bytes == b"\r\n") {
                    Some(end) => {
                        let head = self.wire.split_to(end + 2);
                        let digits = std::str::from_utf8(head.get(..end).unwrap_or_default())?;
                        let length = usize::from_str_radix(digits.trim(), 16)
                            .context("a chunk without a length")?;
                        anyhow::ensure!(length > 0, "the body has ended");
                        self.left = Some(length);
                    }
                    None => self.fill().await?,
                },
                Some(_) => self.fill().await?,
            }
        }
    }
}
