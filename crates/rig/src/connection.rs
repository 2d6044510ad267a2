//! A connection that stays open, and what is answered on it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::event::request;

/// An open connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the length in bytes of the answer that `bytes` begin with, and its status; `None` when it is
    /// not whole yet. Answers say how long they are: chunked ones are not read.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no such answer.
    pub fn measure(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
        let Some(head_len) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let no_answer = || io::Error::new(io::ErrorKind::InvalidData, "not an answer");
        let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| no_answer())?;
        let status =
            head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(no_answer)?;
        let content_len = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, len)| len.trim().parse::<usize>().ok())
            .ok_or_else(no_answer)?;
        let len = head_len + 4 + content_len;
        Ok((bytes.len() >= len).then_some((status, head_len + 4, len)))
    }

    /// Returns the body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

impl Connection {
    /// Connects; each answer is awaited for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Fails when the server does not accept.
    pub fn open(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends bytes and reads one answer.
    ///
    /// # Errors
    ///
    /// Fails when the connection ends before there is a whole answer.
    pub fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(bytes)?;
        loop {
            if let Some((status, head_len, len)) = Answer::measure(&self.buffer)? {
                let body = String::from_utf8_lossy(&self.buffer[head_len..len]).into_owned();
                self.buffer.drain(..len);
                return Ok(Answer { status, body });
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n_read => self.buffer.extend_from_slice(&chunk[..n_read]),
            }
        }
    }

    /// Posts an event.
    ///
    /// # Errors
    ///
    /// Fails when the connection ends before the answer.
    pub fn predict(&mut self, event: &str) -> io::Result<Answer> {
        self.exchange(&request("POST", "/predict", "application/json", event))
    }

    /// Asks for a path.
    ///
    /// # Errors
    ///
    /// Fails when the connection ends before the answer.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.exchange(&request("GET", path, "", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        assert_eq!(Answer::measure(whole).unwrap(), Some((200, 38, 40)));
        assert_eq!(Answer::measure(&whole[..39]).unwrap(), None);
        assert!(Answer::measure(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Answer::measure(b"hello\r\n\r\n").is_err());
    }
}
