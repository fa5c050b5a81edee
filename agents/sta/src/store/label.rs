//! Writes and reads the label of a file: the extended attribute `user.arame`, or `<name>.mark` beside the file where
//! the file system has none.
//!
//! Rule: the label is written before the file gets its final name and removed after the file is gone, so a file of
//! ours is never seen without it. A `.mark` without its file means nothing.

use super::StoreError;
use crate::mark::Mark;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::sta::Origin;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const ATTRIBUTE: &str = "user.arame";
const SUFFIX: &str = "mark";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    #[serde(flatten)]
    pub mark: Mark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageLabel>,
    /// Of a volume: the last rollback that was carried out on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupLabel>,
    /// Of a snapshot that was offered to other storage nodes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferLabel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaLabel>,
}

impl Label {
    /// A mark and nothing else.
    pub fn of(mark: Mark) -> Self {
        Self { mark, image: None, rollback: None, backup: None, offer: None, replica: None }
    }
}

/// What was verified when the image came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLabel {
    pub sha256: String,
    pub format: DiskFormat,
}

/// What was measured when the backup was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupLabel {
    /// Of the content, not of the packed file.
    pub sha256: String,
    pub size_bytes: u64,
    /// SHA-256 of what a reader has to show.
    pub reader: String,
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferLabel {
    /// The snapshot's identity: drawn once, never again.
    pub guid: u64,
    /// SHA-256 of what a reader has to show; empty while nobody may read.
    pub reader: String,
}

/// What is known of a replica, whole or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaLabel {
    /// Of the snapshot it is, or is to become, a copy of.
    pub guid: u64,
    /// Of the snapshot it was begun with the bytes of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The volume's id.
    pub volume: String,
    /// From the beginning, as far as they are surely there.
    pub received_bytes: u64,
    /// All of it came, was read again, and is equal.
    pub is_proved: bool,
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
}

/// Labels `file`, which now has a temporary name and will be called `named`.
pub fn write(file: &File, named: &Path, label: &Label) -> Result<(), StoreError> {
    if write_inside(file, named, label)? { Ok(()) } else { write_beside(named, label) }
}

/// Labels the file itself: the label is renamed with it. `false`: the file system has no attributes.
pub fn write_inside(file: &File, named: &Path, label: &Label) -> Result<bool, StoreError> {
    use xattr::FileExt;
    match file.set_xattr(ATTRIBUTE, &text_of(named, label)?) {
        Ok(()) => Ok(true),
        Err(refused) if refused.kind() == ErrorKind::Unsupported => Ok(false),
        Err(other) => Err(StoreError::io("label", named)(other)),
    }
}

fn text_of(named: &Path, label: &Label) -> Result<Vec<u8>, StoreError> {
    let wrong = |e| StoreError::Io { doing: "label", path: named.to_owned(), source: std::io::Error::other(e) };
    serde_json::to_vec(label).map_err(wrong)
}

/// Labels what is called `named`, whichever file that is.
pub fn write_beside(named: &Path, label: &Label) -> Result<(), StoreError> {
    let text = text_of(named, label)?;
    let beside = path_beside(named);
    let temporary = named.with_file_name(format!("{}{}", super::folder::TEMPORARY, uuid::Uuid::new_v4().simple()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, &beside)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        StoreError::io("label", named)(error)
    })
}

/// The label of the file called `named`; `None` when it has none or one we cannot read: not ours.
pub fn read(named: &Path) -> Result<Option<Label>, StoreError> {
    let text = match xattr::get(named, ATTRIBUTE) {
        Ok(Some(text)) => text,
        Ok(None) => return read_beside(named),
        Err(refused) if refused.kind() == ErrorKind::Unsupported => return read_beside(named),
        Err(other) => return Err(StoreError::io("read the label of", named)(other)),
    };
    Ok(serde_json::from_slice(&text).ok())
}

fn read_beside(named: &Path) -> Result<Option<Label>, StoreError> {
    match fs::read(path_beside(named)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(none) if none.kind() == ErrorKind::NotFound => Ok(None),
        Err(other) => Err(StoreError::io("read the label of", named)(other)),
    }
}

/// After the file is gone.
pub fn remove(named: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path_beside(named)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove the label of", named)(error)),
        _ => Ok(()),
    }
}

/// Whether a directory entry is a label and not a thing: things have no dot in their names.
pub fn is_label(name: &str) -> bool {
    name.ends_with(".mark")
}

fn path_beside(named: &Path) -> PathBuf {
    named.with_extension(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        let mark = Mark { installation: uuid::Uuid::from_u128(7), owner: "vol-a".into(), generation: 3 };
        let image = Some(ImageLabel { sha256: "00".into(), format: DiskFormat::Raw });
        Label { image, rollback: Some(uuid::Uuid::from_u128(9)), ..Label::of(mark) }
    }

    #[test]
    fn a_label_is_read_back_from_the_attribute_and_from_beside() {
        let folder = tempfile::tempdir().unwrap();
        for (name, beside) in [("a", false), ("b", true)] {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            if beside {
                write_beside(&path, &label()).unwrap();
            } else {
                write(&file, &path, &label()).unwrap();
            }
            assert_eq!(read(&path).unwrap(), Some(label()));
        }
    }

    #[test]
    fn a_label_that_says_nothing_of_its_origin_is_read_and_one_that_does_says_it_again() {
        let older = r#"{"installation":"00000000-0000-0000-0000-000000000007","owner":"rep-a","generation":2,
            "replica":{"guid":9,"volume":"vol-a","received_bytes":4,"is_proved":true},
            "backup":{"sha256":"00","size_bytes":4,"reader":"11"}}"#;
        let read: Label = serde_json::from_str(older).unwrap();
        assert!(
            read.backup.as_ref().unwrap().origin.is_unknown() && read.replica.as_ref().unwrap().origin.is_unknown()
        );
        let origin = Origin { snapshot: Some("snap-a".parse().unwrap()), ..Origin::default() };
        let told = read.replica.map(|replica| ReplicaLabel { origin, ..replica });
        let newer = Label { replica: told, backup: None, ..label() };
        let text = serde_json::to_string(&newer).unwrap();
        assert!(text.contains("snap-a"), "{text}");
        assert_eq!(serde_json::from_str::<Label>(&text).unwrap(), newer);
    }

    #[test]
    fn a_file_without_or_with_an_unreadable_label_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        File::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        fs::write(path_beside(&path), b"{").unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
