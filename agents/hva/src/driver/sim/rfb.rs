//! A screen that never changes, over the RFB protocol 3.8 (RFC 6143): what noVNC needs to show it.
//!
//! Rule: points of 32 bits, raw encoding, no authentication (whoever is here was let in by a ticket). What is typed or
//! pointed at is taken and changes nothing. Keys are taken by their places too, as QEMU takes them (its extended key event,
//! rfbproto section 7.5.8), so that a viewer does here what it does there.

use crate::screen::Picture;
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const VERSION: &[u8; 12] = b"RFB 003.008\n";

/// Section 7.4: 32 bits, depth 24, little endian, true colour, three maxima, three shifts.
const FORMAT: [u8; 16] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];

/// The encoding that stands for "keys are taken by their places".
const EXTENDED_KEYS: i32 = -258;

/// Encodings that a viewer may name: noVNC names some thirty.
const ENCODINGS_MAX: u16 = 1024;

pub async fn serve(viewer: &mut DuplexStream, picture: &Picture, name: &str) -> Result<()> {
    begin(viewer, picture, name).await?;
    let (mut shifts, mut shown, mut extended_keys) = ([16, 8, 0], false, false);
    loop {
        match viewer.read_u8().await? {
            0 => {
                let mut format = [0; 19];
                viewer.read_exact(&mut format).await?;
                if format[3] != 32 {
                    return Err(Error::new(ErrorKind::Unsupported, "only points of 32 bits"));
                }
                shifts = [format[13], format[14], format[15]].map(|shift| shift & 31);
            }
            2 => {
                let mut head = [0; 3];
                viewer.read_exact(&mut head).await?;
                let count = u16::from_be_bytes([head[1], head[2]]);
                if count > ENCODINGS_MAX {
                    return Err(Error::new(ErrorKind::InvalidData, format!("{count} encodings")));
                }
                for _ in 0..count {
                    extended_keys |= viewer.read_i32().await? == EXTENDED_KEYS;
                }
            }
            3 => {
                let mut wish = [0; 9];
                viewer.read_exact(&mut wish).await?;
                if wish[0] == 0 || !shown {
                    update(viewer, picture, shifts, extended_keys).await?;
                    shown = true;
                }
            }
            4 => skip(viewer, 7).await?,
            5 => skip(viewer, 5).await?,
            6 => {
                let mut head = [0; 7];
                viewer.read_exact(&mut head).await?;
                skip(viewer, u64::from(u32::from_be_bytes([head[3], head[4], head[5], head[6]]))).await?;
            }
            255 => skip(viewer, 11).await?,
            other => return Err(Error::new(ErrorKind::InvalidData, format!("message {other}"))),
        }
    }
}

/// Sections 7.1 to 7.3.
async fn begin(viewer: &mut DuplexStream, picture: &Picture, name: &str) -> Result<()> {
    viewer.write_all(VERSION).await?;
    skip(viewer, VERSION.len() as u64).await?;
    // One kind of security: none.
    viewer.write_all(&[1, 1]).await?;
    viewer.read_u8().await?;
    viewer.write_u32(0).await?;
    viewer.read_u8().await?;
    let mut init = Vec::new();
    init.extend((picture.width as u16).to_be_bytes());
    init.extend((picture.height as u16).to_be_bytes());
    init.extend(FORMAT);
    init.extend((name.len() as u32).to_be_bytes());
    init.extend(name.as_bytes());
    viewer.write_all(&init).await
}

/// Section 7.6.1: one rectangle, raw; before it, where it is understood, the one without points that says how keys are taken.
async fn update(viewer: &mut DuplexStream, picture: &Picture, shifts: [u8; 3], extended_keys: bool) -> Result<()> {
    let mut message = vec![0, 0, 0, 1 + u8::from(extended_keys)];
    if extended_keys {
        message.extend([0; 8]);
        message.extend(EXTENDED_KEYS.to_be_bytes());
    }
    message.extend([0; 4]);
    message.extend((picture.width as u16).to_be_bytes());
    message.extend((picture.height as u16).to_be_bytes());
    message.extend(0u32.to_be_bytes());
    for point in picture.rgb.chunks_exact(3) {
        let value = point.iter().zip(shifts).fold(0u32, |value, (part, shift)| value | u32::from(*part) << shift);
        message.extend(value.to_le_bytes());
    }
    viewer.write_all(&message).await
}

async fn skip(viewer: &mut DuplexStream, bytes: u64) -> Result<()> {
    let skipped = tokio::io::copy(&mut viewer.take(bytes), &mut tokio::io::sink()).await?;
    if skipped == bytes { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
