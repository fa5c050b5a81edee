//! tgtd's management socket: one request, one answer, as `tgtadm` speaks it.
//!
//! Spoken here and not through `tgtadm`, because that program takes CHAP secrets in its argument vector, where every
//! user of the machine can read them; it also saves a process per step. The form has been the same since 2010
//! (tgt 1.0.0 to 1.0.85): a header of 120 bytes in the machine's byte order, then `key=value` text ending in a zero.
//! Rule: every exchange has a time limit. A daemon of another form leaves us waiting and so is unavailable.

use super::super::ExportError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The daemon answers from memory; only a stuck one takes this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A listing of some ten thousand targets; more is not one of ours.
const ANSWER_BYTES_MAX: usize = 32 << 20;
const HEADER_BYTES: usize = 120;
const DRIVER_BYTES: usize = 64;
/// Where tgtd listens unless `TGT_IPC_SOCKET` says otherwise; the control port is added.
const DEFAULT_PATH: &str = "/var/run/tgtd/socket";

#[derive(Debug, Clone, Copy)]
pub enum Mode {
    Target = 1,
    Device = 2,
    Connection = 6,
    Account = 7,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    New = 0,
    Delete = 1,
    Show = 2,
    Bind = 3,
    Unbind = 4,
    Update = 5,
}

/// How a request ended; the numbers were recorded from tgtd 1.0.85.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

impl Code {
    pub const SUCCESS: Code = Code(0);
    pub const NO_TARGET: Code = Code(4);
    pub const NO_SESSION: Code = Code(6);
    pub const NO_CONNECTION: Code = Code(7);
    pub const ACL_NOEXIST: Code = Code(13);
    pub const NO_USER: Code = Code(15);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => "success",
            2 => "out of memory",
            3 => "no such driver",
            4 => "no such target",
            5 => "no such logical unit",
            6 => "no such session",
            7 => "no such connection",
            9 => "the target exists already",
            10 => "the logical unit exists already",
            12 => "the initiator is allowed already",
            13 => "the initiator is not allowed",
            14 => "the account exists already",
            15 => "no such account",
            16 => "too many accounts",
            17 => "invalid request",
            19 => "the target is in use",
            20 => "the logical unit is in use",
            _ => return write!(f, "code {}", self.0),
        };
        f.write_str(text)
    }
}

/// Not `Debug`: a request may hold a secret.
pub struct Request {
    mode: Mode,
    op: Op,
    tid: i32,
    sid: u64,
    lun: u64,
    cid: u32,
    force: u32,
    text: String,
}

impl Request {
    pub fn new(mode: Mode, op: Op) -> Self {
        // -1: all targets, no unit; what tgtadm sends when they are not given.
        Self { mode, op, tid: -1, sid: 0, lun: u64::MAX, cid: 0, force: 0, text: String::new() }
    }

    pub fn tid(self, tid: i32) -> Self {
        Self { tid, ..self }
    }

    pub fn lun(self, lun: u64) -> Self {
        Self { lun, ..self }
    }

    pub fn connection(self, sid: u64, cid: u32) -> Self {
        Self { sid, cid, ..self }
    }

    pub fn forced(self) -> Self {
        Self { force: 1, ..self }
    }

    pub fn text(self, key: &str, value: &str) -> Self {
        Self { text: format!("{key}={value}"), ..self }
    }

    pub fn raw(self, text: String) -> Self {
        Self { text, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let text_bytes = if self.text.is_empty() { 0 } else { self.text.len() + 1 };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + text_bytes);
        bytes.extend((self.mode as u32).to_ne_bytes());
        bytes.extend((self.op as u32).to_ne_bytes());
        let mut driver = [0u8; DRIVER_BYTES];
        driver[..5].copy_from_slice(b"iscsi");
        bytes.extend(driver);
        bytes.extend(((HEADER_BYTES + text_bytes) as u32).to_ne_bytes());
        bytes.extend(self.tid.to_ne_bytes());
        bytes.extend(self.sid.to_ne_bytes());
        bytes.extend(self.lun.to_ne_bytes());
        bytes.extend(self.cid.to_ne_bytes());
        // Host number, device type (0: disk), account direction (0: initiator to target), a word without use.
        bytes.extend([0u8; 16]);
        bytes.extend(self.force.to_ne_bytes());
        if text_bytes > 0 {
            bytes.extend(self.text.as_bytes());
            bytes.push(0);
        }
        bytes
    }
}

pub struct Answer {
    pub code: Code,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Socket {
    path: PathBuf,
}

impl Socket {
    /// `base` is what the daemon has as `TGT_IPC_SOCKET`.
    pub fn new(base: Option<&PathBuf>, control_port: u16) -> Self {
        let base = base.map_or_else(|| DEFAULT_PATH.to_owned(), |base| base.display().to_string());
        Self { path: PathBuf::from(format!("{base}.{control_port}")) }
    }

    pub async fn ask(&self, request: &Request) -> Result<Answer, ExportError> {
        let unavailable = |reason: String| ExportError::Unavailable { reason };
        let place = self.path.display();
        match tokio::time::timeout(ANSWER_LIMIT, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unavailable(format!("{place}: {error}"))),
            Err(_) => Err(unavailable(format!("{place}: no answer within {ANSWER_LIMIT:?}"))),
        }
    }

    async fn exchange(&self, request: &Request) -> std::io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.path).await?;
        stream.write_all(&request.bytes()).await?;
        let code = Code(stream.read_u32_le().await?.to_le_native());
        let length = stream.read_u32_le().await?.to_le_native() as usize;
        let text_bytes = length.saturating_sub(8);
        if text_bytes > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other(format!("an answer of {text_bytes} bytes")));
        }
        let mut text = vec![0u8; text_bytes];
        stream.read_exact(&mut text).await?;
        let text = String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned();
        Ok(Answer { code, text })
    }
}

trait Native {
    fn to_le_native(self) -> u32;
}

impl Native for u32 {
    /// Read as little-endian by tokio, meant in the machine's order.
    fn to_le_native(self) -> u32 {
        u32::from_ne_bytes(self.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_tgtadm_sends() {
        let bytes = Request::new(Mode::Account, Op::New).raw("user=u2,password=secretsecret2".into()).bytes();
        // Recorded from tgtadm 1.0.85: mode 7, op 0, "iscsi", length 0x97, tid and lun -1, the text and its zero.
        assert_eq!(bytes.len(), 0x97);
        assert_eq!(bytes[..8], [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[8..13], b"iscsi");
        assert_eq!(bytes[72..80], [0x97, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(bytes[88..96], [0xff; 8]);
        assert_eq!(&bytes[120..], b"user=u2,password=secretsecret2\0");
        let forced = Request::new(Mode::Target, Op::Delete).tid(1).forced().bytes();
        assert_eq!((forced.len(), forced[76], forced[116]), (120, 1, 1));
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_unavailable() {
        let socket = Socket::new(Some(&PathBuf::from("/nonexistent/tgtd")), 1);
        let answer = socket.ask(&Request::new(Mode::Target, Op::Show)).await;
        assert!(matches!(answer, Err(ExportError::Unavailable { .. })));
    }
}
