//! What an image file really is: read from its first bytes, then from `qemu-img info` with the format named.
//!
//! Rule: an image may refer to no other file. The header is read by us first, because `qemu-img` would already open
//! what the header names. Layout: QEMU's docs/interop/qcow2.txt.

use super::StoreError;
use crate::command::{self, CommandError};
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// `qemu-img info` reads a header; a loaded machine still does that in this time.
const INFO_LIMIT: Duration = Duration::from_secs(30);
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Bit 2 of the incompatible features: the data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// Judges the first bytes against the announced format.
///
/// # Errors
/// Broken when the format differs, refused when the header names another file.
pub fn check_header(image: &ImageId, format: DiskFormat, head: &[u8]) -> Result<(), StoreError> {
    let broken = |reason: &str| Err(StoreError::ImageBroken { image: image.clone(), reason: reason.to_owned() });
    let refused = |reason: &str| Err(StoreError::ImageRefused { image: image.clone(), reason: reason.to_owned() });
    let is_qcow2 = head.starts_with(&MAGIC);
    match format {
        // A raw image that begins like a qcow2 would be opened as one by whoever guesses formats.
        DiskFormat::Raw if is_qcow2 => return broken("announced as raw, but it is a qcow2 image"),
        DiskFormat::Raw => return Ok(()),
        DiskFormat::Qcow2 if !is_qcow2 => return broken("announced as qcow2, but it does not begin like one"),
        DiskFormat::Qcow2 => {}
    }
    let (Some(version), Some(backing)) = (number::<4>(head, 4), number::<8>(head, 8)) else {
        return broken("its header is cut off");
    };
    if backing != 0 {
        return refused("it names a backing file");
    }
    match version {
        2 => Ok(()),
        3 => match number::<8>(head, 72) {
            None => broken("its header is cut off"),
            Some(features) if features & EXTERNAL_DATA != 0 => refused("it names an external data file"),
            Some(_) => Ok(()),
        },
        _ => broken("its qcow2 version is neither 2 nor 3"),
    }
}

/// A big-endian number of `N` bytes at `offset`.
fn number<const N: usize>(head: &[u8], offset: usize) -> Option<u64> {
    let bytes = head.get(offset..offset + N)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The first bytes of a file, as [`check_header`] wants them.
pub fn head(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    file.take(512).read_to_end(&mut bytes).map_err(StoreError::io("read", path))?;
    Ok(bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    format_specific: Option<Specific>,
}

#[derive(Deserialize)]
struct Specific {
    #[serde(default)]
    data: SpecificData,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    data_file: Option<String>,
}

/// Size of the disk inside the image, after QEMU's own look at it. Call [`check_header`] first.
///
/// # Errors
/// Broken when QEMU cannot read it, refused when it names another file.
pub async fn virtual_size(image: &ImageId, format: DiskFormat, path: &Path) -> Result<u64, StoreError> {
    let name = match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let arguments = ["info", "--output=json", "-f", name, &path.display().to_string()].map(str::to_owned);
    let text = match command::run("qemu-img", &arguments, INFO_LIMIT).await {
        Ok(text) => text,
        Err(CommandError::Failed { stderr, .. }) => {
            return Err(StoreError::ImageBroken { image: image.clone(), reason: stderr });
        }
        Err(other) => return Err(other.into()),
    };
    judge_info(image, &text)
}

fn judge_info(image: &ImageId, text: &str) -> Result<u64, StoreError> {
    let info: Info = serde_json::from_str(text)
        .map_err(|wrong| StoreError::Unreadable { program: "qemu-img", line: wrong.to_string() })?;
    let data_file = info.format_specific.and_then(|specific| specific.data.data_file);
    match info.backing_filename.or(data_file) {
        Some(other) => {
            Err(StoreError::ImageRefused { image: image.clone(), reason: format!("it refers to `{other}`") })
        }
        None => Ok(info.virtual_size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageId {
        "wmi-a".parse().unwrap()
    }

    fn header(version: u32, backing: u64, features: u64) -> Vec<u8> {
        let mut head = vec![0u8; 104];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[8..16].copy_from_slice(&backing.to_be_bytes());
        head[72..80].copy_from_slice(&features.to_be_bytes());
        head
    }

    #[test]
    fn an_image_that_names_another_file_is_refused() {
        assert!(check_header(&image(), DiskFormat::Qcow2, &header(3, 0, 0)).is_ok(), "control");
        assert!(check_header(&image(), DiskFormat::Qcow2, &header(2, 0, 0)[..72]).is_ok(), "control");
        for head in [header(3, 512, 0), header(2, 512, 0), header(3, 0, EXTERNAL_DATA)] {
            let refused = check_header(&image(), DiskFormat::Qcow2, &head);
            assert!(matches!(refused, Err(StoreError::ImageRefused { .. })), "{refused:?}");
        }
    }

    #[test]
    fn an_image_of_another_format_than_announced_is_broken() {
        let cases = [
            (DiskFormat::Raw, header(3, 0, 0)),
            (DiskFormat::Qcow2, vec![0; 512]),
            (DiskFormat::Qcow2, header(3, 0, 0)[..40].to_vec()),
            (DiskFormat::Qcow2, header(9, 0, 0)),
            (DiskFormat::Qcow2, Vec::new()),
        ];
        for (format, head) in cases {
            let broken = check_header(&image(), format, &head);
            assert!(matches!(broken, Err(StoreError::ImageBroken { .. })), "{broken:?}");
        }
        assert!(check_header(&image(), DiskFormat::Raw, &[]).is_ok(), "control");
    }

    #[test]
    fn what_qemu_says_of_other_files_is_believed() {
        assert_eq!(judge_info(&image(), r#"{"virtual-size": 1048576, "format": "qcow2"}"#).unwrap(), 1_048_576);
        for text in [
            r#"{"virtual-size": 1, "backing-filename": "/etc/passwd"}"#,
            r#"{"virtual-size": 1, "format-specific": {"type": "qcow2", "data": {"data-file": "/dev/vda"}}}"#,
        ] {
            assert!(matches!(judge_info(&image(), text), Err(StoreError::ImageRefused { .. })));
        }
    }
}
