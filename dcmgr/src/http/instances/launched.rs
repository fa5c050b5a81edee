//! What a launch brings beside the machine: volumes and labels, in each of the original's spellings, and where it is to go.

use super::NAME_BYTES_MAX;
use crate::http::fields::{Fields, short};
use arame_schema::api::label::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use arame_schema::api::{Refusal, VolumeRequest};
use arame_schema::limits::{VOLUME_SIZE_MIB, VOLUMES_MAX};
use arame_schema::model::placement::PlacementPolicy;
use arame_schema::model::restart::RestartPolicy;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of a placement group's name.
const GROUP_NAME_MAX: usize = 63;

/// `volumes[0][size]=1G`, or a hash or a list of such.
pub(super) fn volumes(fields: &mut Fields) -> Result<BTreeMap<String, VolumeRequest>, Refusal> {
    let given = fields.numbered("volumes")?;
    if given.len() > VOLUMES_MAX {
        return Err(fields.invalid("volumes", given.len(), format!("<= {VOLUMES_MAX}")));
    }
    let mut volumes = BTreeMap::new();
    for (name, mut inner) in given {
        let request = volume(&mut inner)?;
        inner.finish()?;
        volumes.insert(short(&name), request);
    }
    Ok(volumes)
}

fn volume(fields: &mut Fields) -> Result<VolumeRequest, Refusal> {
    // Their data is on a storage node, whatever is asked for.
    if let Some(kind) = fields.text("volume_type")?.filter(|kind| !["", "shared"].contains(&kind.as_str())) {
        return Err(fields.invalid("volume_type", short(&kind), "shared"));
    }
    // The guest finds a volume by its serial; the original did not keep to this word either.
    fields.text("guest_device_name")?;
    let in_mib = fields.number("volume_size", VOLUME_SIZE_MIB)?;
    let size = size(fields)?;
    let volume_id = fields.parsed("volume_id", "vol-…")?;
    let volume_size = in_mib.or(size);
    let backup_object_id = fields.parsed("backup_object_id", "bo-…")?;
    let snapshot_id = fields.parsed("snapshot_id", "snap-…")?;
    if let (Some(id), Some(_)) = (&snapshot_id, &backup_object_id) {
        return Err(fields.invalid("snapshot_id", id, "snapshot_id | backup_object_id"));
    }
    match (&volume_id, volume_size.is_some() || backup_object_id.is_some() || snapshot_id.is_some()) {
        (None, false) => return Err(fields.needed("size", None::<()>).expect_err("nothing was given")),
        (Some(id), true) => {
            return Err(fields.invalid("volume_id", id, "volume_id | size | backup_object_id | snapshot_id"));
        }
        _ => {}
    }
    let display_name = fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|name| !name.is_empty());
    // Taken and not kept: a volume has no such text.
    fields.text_within("description", NAME_BYTES_MAX)?;
    let delete_on_termination = fields.flag("delete_on_termination")?;
    Ok(VolumeRequest { volume_id, volume_size, backup_object_id, snapshot_id, display_name, delete_on_termination })
}

/// The original's size: bytes, or a number with K, M, G or T; in whole MiB.
fn size(fields: &mut Fields) -> Result<Option<u64>, Refusal> {
    let Some(text) = fields.text("size")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let whole = text.trim();
    let digits = whole.find(|c: char| !c.is_ascii_digit()).unwrap_or(whole.len());
    let shift = match whole[digits..].to_ascii_uppercase().as_str() {
        "" => Some(0),
        "K" | "KB" => Some(10),
        "M" | "MB" => Some(20),
        "G" | "GB" => Some(30),
        "T" | "TB" => Some(40),
        _ => None,
    };
    let bytes = whole[..digits].parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    match bytes.filter(|bytes| bytes % (1 << 20) == 0).map(|bytes| bytes >> 20) {
        Some(mib) if VOLUME_SIZE_MIB.contains(&mib) => Ok(Some(mib)),
        _ => {
            let range = format!("{}M..{}M", VOLUME_SIZE_MIB.start(), VOLUME_SIZE_MIB.end());
            Err(fields.invalid("size", short(&text), range))
        }
    }
}

/// `labels[][name]=a&labels[][value]=b`, `labels[1][name]=…`, or `labels[a]=b`.
/// Its form is an id's, so that it can stand in a sentence.
pub(super) fn placement_group(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let Some(name) = fields.text("placement_group")?.filter(|name| !name.is_empty()) else { return Ok(None) };
    let formed = name.len() <= GROUP_NAME_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-');
    if formed {
        Ok(Some(name))
    } else {
        Err(fields.invalid("placement_group", short(&name), "[0-9a-z][0-9a-z-]{0,62}"))
    }
}

pub(super) fn restart_policy(fields: &mut Fields) -> Result<Option<RestartPolicy>, Refusal> {
    let Some(word) = fields.text("restart_policy")?.filter(|word| !word.is_empty()) else { return Ok(None) };
    let known = RestartPolicy::parse(&word);
    known.map(Some).ok_or_else(|| fields.invalid("restart_policy", short(&word), "always | on-failure | never"))
}

pub(super) fn placement_policy(fields: &mut Fields) -> Result<Option<PlacementPolicy>, Refusal> {
    let Some(word) = fields.text("placement_policy")?.filter(|word| !word.is_empty()) else { return Ok(None) };
    let known = PlacementPolicy::parse(&word);
    known.map(Some).ok_or_else(|| fields.invalid("placement_policy", short(&word), "apart | together | spread"))
}

pub(super) fn labels(fields: &mut Fields) -> Result<BTreeMap<String, String>, Refusal> {
    let mut labels = BTreeMap::new();
    if fields.is_flat("labels") {
        for (name, value) in fields.map("labels")?.unwrap_or_default() {
            let value = match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                other => other.to_string(),
            };
            labels.insert(name, value);
        }
    } else {
        for (_, mut one) in fields.numbered("labels")? {
            let name = one.text_within("name", NAME_BYTES_MAX)?;
            let value = one.text_within("value", LABEL_VALUE_BYTES_MAX)?;
            labels.insert(one.needed("name", name)?, value.unwrap_or_default());
            one.finish()?;
        }
    }
    if labels.len() > LABELS_MAX {
        return Err(fields.invalid("labels", labels.len(), format!("<= {LABELS_MAX}")));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;
    use arame_schema::api::Code;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn form(text: &str) -> Fields {
        parameters("", FORM, text.as_bytes()).unwrap()
    }

    #[test]
    fn a_volume_is_asked_for_by_the_originals_size_by_ours_or_by_its_id() {
        let text =
            "volumes[0][size]=1G&volumes[1][size]=1073741824&volumes[2][volume_size]=64&volumes[3][volume_id]=vol-a";
        let read = volumes(&mut form(text)).unwrap();
        let sizes: Vec<Option<u64>> = read.values().map(|one| one.volume_size).collect();
        assert_eq!(sizes, [Some(1024), Some(1024), Some(64), None]);
        let goes: Vec<bool> = read.values().map(VolumeRequest::goes).collect();
        assert_eq!(goes, [true, true, true, false]);
        let json = br#"{"volumes": [{"size": "1G", "display_name": "data", "delete_on_termination": false}]}"#;
        let read = volumes(&mut parameters("", "application/json", json).unwrap()).unwrap();
        assert!(read.values().all(|one| !one.goes() && one.display_name.as_deref() == Some("data")), "{read:?}");
        for (text, name) in [
            ("volumes[0][size]=1X", "volumes[0][size]"),
            ("volumes[0][size]=1000", "volumes[0][size]"),
            ("volumes[0][size]=99999999T", "volumes[0][size]"),
            ("volumes[0][display_name]=a", "volumes[0][size]"),
            ("volumes[0][size]=1G&volumes[0][volume_type]=local", "volumes[0][volume_type]"),
            ("volumes[0][size]=1G&volumes[0][volume_id]=vol-a", "volumes[0][volume_id]"),
        ] {
            assert_eq!(volumes(&mut form(text)).unwrap_err().values["name"], name, "{text}");
        }
        let backups = "volumes[0][backup_object_id]=bo-a&volumes[1][backup_object_id]=bo-a&volumes[1][size]=1G";
        let read = volumes(&mut form(backups)).unwrap();
        let sizes: Vec<Option<u64>> = read.values().map(|one| one.volume_size).collect();
        assert!(sizes == [None, Some(1024)] && read.values().all(|one| one.backup_object_id.is_some()), "{read:?}");
        let both = volumes(&mut form("volumes[0][backup_object_id]=bo-a&volumes[0][volume_id]=vol-a")).unwrap_err();
        assert_eq!(both.values["name"], "volumes[0][volume_id]");
        let read = volumes(&mut form("volumes[0][snapshot_id]=snap-a")).unwrap();
        assert!(read.values().all(|one| one.snapshot_id.is_some() && one.goes()), "{read:?}");
        for also in ["volume_id]=vol-a", "backup_object_id]=bo-a"] {
            let two = volumes(&mut form(&format!("volumes[0][snapshot_id]=snap-a&volumes[0][{also}"))).unwrap_err();
            assert_eq!(two.code, Code::InvalidParameter, "{also}");
        }
    }

    #[test]
    fn labels_come_in_the_originals_three_spellings() {
        let wanted = BTreeMap::from([("env".to_owned(), "test".to_owned()), ("owner".to_owned(), "hanako".to_owned())]);
        for text in [
            "labels[][name]=env&labels[][value]=test&labels[][name]=owner&labels[][value]=hanako",
            "labels[1][name]=env&labels[1][value]=test&labels[2][name]=owner&labels[2][value]=hanako",
            "labels[env]=test&labels[owner]=hanako",
        ] {
            assert_eq!(labels(&mut form(text)).unwrap(), wanted, "{text}");
        }
        assert_eq!(labels(&mut form("a=b")).unwrap(), BTreeMap::new());
        assert_eq!(labels(&mut form("labels[1][value]=x")).unwrap_err().code, Code::MissingParameter);
    }
}
