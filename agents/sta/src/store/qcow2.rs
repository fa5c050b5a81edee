//! What `qemu-img info` says of an image, with the format named.
//!
//! Rule: an image may refer to no other file. The header is read by us first ([`super::header`]), because `qemu-img` would
//! already open what the header names; and it runs behind walls ([`crate::sandbox`]), because we may have missed something.

use super::StoreError;
use crate::command::CommandError;
use crate::sandbox::Checker;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;
use serde::Deserialize;
use std::path::Path;

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

/// Size of the disk inside the image, after QEMU's own look at it. Judge its header first.
///
/// # Errors
/// Broken when QEMU cannot read it, refused when it names another file.
pub async fn virtual_size(
    image: &ImageId,
    format: DiskFormat,
    path: &Path,
    checker: &Checker,
) -> Result<u64, StoreError> {
    match checker.info(path, format).await {
        Ok(text) => judge_info(image, &text),
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("qemu-img") => {
            Err(StoreError::ImageBroken { image: image.clone(), reason: stderr })
        }
        // The walls could not be built: nothing is known of the image.
        Err(other) => Err(other.into()),
    }
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
