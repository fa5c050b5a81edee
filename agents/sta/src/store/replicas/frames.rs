//! The stream of stores that have none of their own: a snapshot's bytes in frames, each with its place and its checksum.
//!
//! ```text
//! kind (1)  offset (8, big-endian)  length (4)  [SHA-256 of the bytes (32)  the bytes]
//!   D data   Z zeros   S as in the base   P not sent: the receiver has it   E end: the bytes are the SHA-256 of all
//! ```
//!
//! Rule: frames follow each other without a gap, and the last of them says what the whole is: what broke off, was changed
//! or is out of order is an error. No frame is larger than a block, whoever sends it.

use super::Pieces;
use crate::store::{StoreError, blocking};
use futures_util::StreamExt;
use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Sent and compared at a time.
pub const BLOCK_BYTES: usize = 1 << 20;
const HEAD_BYTES: usize = 13;
const SUM_BYTES: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Data { offset: u64, bytes: Vec<u8> },
    Zeros { offset: u64, length: u64 },
    Same { offset: u64, length: u64 },
    Passed { offset: u64, length: u64 },
    End { size_bytes: u64, sha256: [u8; SUM_BYTES] },
}

impl Frame {
    pub fn write(&self) -> Vec<u8> {
        let head = |kind: u8, offset: u64, length: u64| {
            let mut written = Vec::with_capacity(HEAD_BYTES);
            written.push(kind);
            written.extend_from_slice(&offset.to_be_bytes());
            written.extend_from_slice(&(length as u32).to_be_bytes());
            written
        };
        let with = |mut written: Vec<u8>, bytes: &[u8]| {
            written.extend_from_slice(&Sha256::digest(bytes));
            written.extend_from_slice(bytes);
            written
        };
        match self {
            Frame::Data { offset, bytes } => with(head(b'D', *offset, bytes.len() as u64), bytes),
            Frame::Zeros { offset, length } => head(b'Z', *offset, *length),
            Frame::Same { offset, length } => head(b'S', *offset, *length),
            Frame::Passed { offset, length } => head(b'P', *offset, *length),
            Frame::End { size_bytes, sha256 } => with(head(b'E', *size_bytes, sha256.len() as u64), sha256),
        }
    }
}

/// Takes a stream as it comes, in pieces of any length.
#[derive(Debug, Default)]
pub struct Reader {
    waiting: Vec<u8>,
    ended: bool,
}

impl Reader {
    /// The frames that are whole by now.
    ///
    /// # Errors
    /// It is no such stream, or a frame is not what its checksum says: a sentence.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Frame>, String> {
        self.waiting.extend_from_slice(piece);
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some((frame, length)) = first(&self.waiting[at..])? {
            if self.ended {
                return Err("more comes after the end".into());
            }
            self.ended = matches!(frame, Frame::End { .. });
            frames.push(frame);
            at += length;
        }
        self.waiting.drain(..at);
        Ok(frames)
    }
}

/// The first frame and how long it is, where all of it is there.
fn first(bytes: &[u8]) -> Result<Option<(Frame, usize)>, String> {
    let Some(head) = bytes.get(..HEAD_BYTES) else { return Ok(None) };
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let (kind, offset, length) = (head[0], number(&head[1..9]), number(&head[9..]));
    if length == 0 || length > BLOCK_BYTES as u64 {
        return Err(format!("a frame of {length} bytes"));
    }
    match kind {
        b'Z' => return Ok(Some((Frame::Zeros { offset, length }, HEAD_BYTES))),
        b'S' => return Ok(Some((Frame::Same { offset, length }, HEAD_BYTES))),
        b'P' => return Ok(Some((Frame::Passed { offset, length }, HEAD_BYTES))),
        b'D' | b'E' => {}
        other => return Err(format!("a frame of the kind {other}")),
    }
    let end = HEAD_BYTES + SUM_BYTES + length as usize;
    let (Some(sum), Some(content)) =
        (bytes.get(HEAD_BYTES..HEAD_BYTES + SUM_BYTES), bytes.get(HEAD_BYTES + SUM_BYTES..end))
    else {
        return Ok(None);
    };
    if Sha256::digest(content).as_slice() != sum {
        return Err(format!("the checksum of {length} bytes at {offset} differs"));
    }
    if kind == b'D' {
        return Ok(Some((Frame::Data { offset, bytes: content.to_vec() }, end)));
    }
    let sha256 = content.try_into().map_err(|_| "the checksum of the whole is none".to_owned())?;
    Ok(Some((Frame::End { size_bytes: offset, sha256 }, end)))
}

type Bytewise = Box<dyn Read + Send>;

/// Makes the stream of a snapshot.
pub struct Writer {
    snapshot: Bytewise,
    /// What the receiver holds, where only what changed is sent.
    base: Option<Bytewise>,
    /// What is before this is not sent: the receiver has it.
    from: u64,
    at: u64,
    sum: Sha256,
    ended: bool,
}

impl Writer {
    pub fn new(snapshot: Bytewise, base: Option<Bytewise>, from: u64) -> Self {
        Self { snapshot, base, from, at: 0, sum: Sha256::new(), ended: false }
    }

    /// The next frame; `None` after the last. For a thread that may block. It comes soon also where nothing has to be sent.
    ///
    /// # Errors
    /// The snapshot or the base cannot be read.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let bytes = read_block(&mut self.snapshot)?;
        let before = self.base.as_mut().map(read_block).transpose()?;
        let (offset, length) = (self.at, bytes.len() as u64);
        if bytes.is_empty() {
            self.ended = true;
            let sha256 = self.sum.clone().finalize().into();
            return Ok(Some(Frame::End { size_bytes: offset, sha256 }.write().into()));
        }
        self.sum.update(&bytes);
        self.at += length;
        let frame = match before {
            _ if offset + length <= self.from => Frame::Passed { offset, length },
            Some(before) if before == bytes => Frame::Same { offset, length },
            _ if bytes.iter().all(|byte| *byte == 0) => Frame::Zeros { offset, length },
            _ => Frame::Data { offset, bytes },
        };
        Ok(Some(frame.write().into()))
    }
}

/// The stream, a block at a time, on a thread that may block.
pub fn pieces(writer: Writer) -> Pieces {
    let next = |writer: Option<Writer>| async {
        let mut writer = writer?;
        let read = blocking(move || writer.next_frame().map(|piece| piece.map(|piece| (piece, writer)))).await;
        match read {
            Ok(None) => None,
            Ok(Some((piece, writer))) => Some((Ok::<Bytes, StoreError>(piece), Some(writer))),
            Err(error) => Some((Err(error), None)),
        }
    };
    futures_util::stream::unfold(Some(writer), next).boxed()
}

fn read_block(from: &mut Bytewise) -> Result<Vec<u8>, StoreError> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let read = from.take(BLOCK_BYTES as u64).read_to_end(&mut block);
    read.map_err(StoreError::io("read", Path::new("the snapshot")))?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn stream(snapshot: &[u8], base: Option<&[u8]>, from: u64) -> Vec<u8> {
        let boxed = |bytes: &[u8]| -> Bytewise { Box::new(Cursor::new(bytes.to_vec())) };
        let mut writer = Writer::new(boxed(snapshot), base.map(boxed), from);
        let mut written = Vec::new();
        while let Some(frame) = writer.next_frame().unwrap() {
            written.extend_from_slice(&frame);
        }
        written
    }

    fn frames(stream: &[u8]) -> Vec<Frame> {
        Reader::default().take(stream).unwrap()
    }

    fn content() -> Vec<u8> {
        let mut content = vec![0; 3 * BLOCK_BYTES + 5];
        content[BLOCK_BYTES + 7] = 1;
        content[3 * BLOCK_BYTES] = 2;
        content
    }

    #[test]
    fn zeros_what_is_the_same_and_what_is_there_are_not_sent() {
        let content = content();
        let block = BLOCK_BYTES as u64;
        let end = Frame::End { size_bytes: 3 * block + 5, sha256: Sha256::digest(&content).into() };
        let whole = frames(&stream(&content, None, 0));
        assert!(matches!(whole[0], Frame::Zeros { offset: 0, .. }), "{:?}", whole[0]);
        assert!(matches!(&whole[1], Frame::Data { offset, bytes } if *offset == block && bytes[7] == 1));
        assert!(matches!(&whole[3], Frame::Data { bytes, .. } if bytes.len() == 5));
        assert_eq!((whole.len(), &whole[4]), (5, &end));
        let mut base = content.clone();
        base[0] = 9;
        base.truncate(2 * BLOCK_BYTES);
        let changed = frames(&stream(&content, Some(&base), 0));
        assert!(matches!(changed[0], Frame::Zeros { offset: 0, .. }), "what became zero is told");
        assert!(matches!(changed[1], Frame::Same { offset, .. } if offset == block));
        assert!(matches!(changed[3], Frame::Data { .. }), "the base was shorter");
        let rest = frames(&stream(&content, None, 2 * block));
        assert!(matches!(rest[1], Frame::Passed { offset, .. } if offset == block));
        assert_eq!(rest[2..], whole[2..]);
    }

    #[test]
    fn what_was_changed_on_its_way_or_is_no_such_stream_is_told() {
        let good = stream(b"content", None, 0);
        for at in [HEAD_BYTES + SUM_BYTES, HEAD_BYTES, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Reader::default().take(&bad).is_err(), "at {at}");
        }
        assert!(Reader::default().take(b"<html>not found</html>").is_err());
        let mut huge = good.clone();
        huge[9] = 0xff;
        assert!(Reader::default().take(&huge).is_err(), "no room is made for it");
        assert!(Reader::default().take(&[&good[..], &good[..]].concat()).is_err(), "it begins again");
        assert_eq!(frames(&good).len(), 2, "control");
    }

    proptest! {
        #[test]
        fn a_stream_in_pieces_of_any_length_is_read_the_same(
            content in prop::collection::vec(0u8..3, 1..4000), piece in 1usize..500,
        ) {
            let whole = stream(&content, None, 0);
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for piece in whole.chunks(piece) {
                read.extend(reader.take(piece).unwrap());
            }
            prop_assert_eq!(read, frames(&whole));
        }
    }
}
