//! The form of a packed backup: zstd, one frame a block, each behind a skippable frame that tells its length (as pzstd
//! writes; `zstd -d` reads it).
//!
//! Rule: what was packed was unpacked again and compared before it is written: a backup that cannot be read is noticed while
//! the volume is still there. What is unpacked is a stranger's: no block of it is larger than ours are.

use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Of content, in one frame.
pub const BLOCK_BYTES: usize = 4 << 20;
/// The first magic number of a skippable frame (RFC 8878 section 3.1.2), then the length of what is in it: four bytes.
const SKIPPABLE: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0];
const HEAD_BYTES: usize = 12;
/// Stored as it is, a block grows by little.
const FRAME_BYTES_MAX: usize = BLOCK_BYTES + (64 << 10);

/// Packs at most [`BLOCK_BYTES`].
pub fn pack(block: &[u8]) -> Vec<u8> {
    let mut frame = compress_to_vec(block, CompressionLevel::Fastest);
    if unpack(&frame).as_deref() != Ok(block) {
        frame = compress_to_vec(block, CompressionLevel::Uncompressed);
    }
    let mut packed = Vec::with_capacity(HEAD_BYTES + frame.len());
    packed.extend_from_slice(&SKIPPABLE);
    packed.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    packed.extend_from_slice(&frame);
    packed
}

fn unpack(frame: &[u8]) -> Result<Vec<u8>, String> {
    let mut block = vec![0; BLOCK_BYTES];
    let length = FrameDecoder::new().decode_all(frame, &mut block).map_err(|wrong| wrong.to_string())?;
    block.truncate(length);
    Ok(block)
}

/// Takes packed bytes as they come, in pieces of any length.
#[derive(Debug, Default)]
pub struct Unpacker {
    waiting: Vec<u8>,
}

impl Unpacker {
    /// The blocks that are whole by now.
    ///
    /// # Errors
    /// It is not packed so: a sentence.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.waiting.extend_from_slice(piece);
        let mut blocks = Vec::new();
        while let Some(head) = self.waiting.get(..HEAD_BYTES) {
            let (magic, length) = head.split_at(SKIPPABLE.len());
            if magic != SKIPPABLE {
                return Err("it is not packed as a backup is".into());
            }
            let length = length.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            if length > FRAME_BYTES_MAX {
                return Err(format!("a frame of {length} bytes"));
            }
            let Some(frame) = self.waiting.get(HEAD_BYTES..HEAD_BYTES + length) else { break };
            blocks.push(unpack(frame)?);
            self.waiting.drain(..HEAD_BYTES + length);
        }
        Ok(blocks)
    }

    /// # Errors
    /// It broke off.
    pub fn end(self) -> Result<(), String> {
        match self.waiting.len() {
            0 => Ok(()),
            left => Err(format!("it breaks off: {left} bytes of a frame are left over")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(blocks: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let packed: Vec<u8> = blocks.iter().flat_map(|block| pack(block)).collect();
        let mut unpacker = Unpacker::default();
        let mut content = Vec::new();
        for piece in packed.chunks(piece) {
            content.extend(unpacker.take(piece).unwrap().concat());
        }
        unpacker.end().unwrap();
        content
    }

    #[test]
    fn zeros_take_next_to_nothing_and_noise_little_more_than_itself() {
        let zeros = vec![0; BLOCK_BYTES];
        assert!(pack(&zeros).len() < BLOCK_BYTES / 100, "{}", pack(&zeros).len());
        let mut seed = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(BLOCK_BYTES)
        .collect();
        assert!(pack(&noise).len() <= HEAD_BYTES + FRAME_BYTES_MAX, "{}", pack(&noise).len());
        assert_eq!(round(&[zeros.clone(), noise.clone()], 1 << 20), [zeros, noise].concat());
    }

    #[test]
    fn what_broke_off_or_is_not_packed_so_is_told() {
        let packed = pack(b"content");
        let mut unpacker = Unpacker::default();
        assert!(unpacker.take(&packed[..packed.len() - 1]).unwrap().is_empty());
        assert!(unpacker.end().is_err());
        assert!(Unpacker::default().take(b"this is no backup").is_err());
        let mut huge = SKIPPABLE.to_vec();
        huge.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(Unpacker::default().take(&huge).is_err(), "no room is made for it");
        assert_eq!(Unpacker::default().take(&packed).unwrap(), [b"content".to_vec()], "control");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_the_same_in_pieces_of_any_length(
            blocks in prop::collection::vec(prop::collection::vec(0u8..4, 0..5000), 0..4), piece in 1usize..3000,
        ) {
            prop_assert_eq!(round(&blocks, piece), blocks.concat());
        }
    }
}
