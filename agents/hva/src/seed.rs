//! The seed of a guest: what cloud-init's NoCloud source reads at the first start, as a small disk.
//!
//! ```text
//! CIDATA (FAT)   meta-data   user-data   vendor-data   network-config
//! ```
//!
//! Stock images look for it by its label before they ask the network for anything, so a machine has its key, its name
//! and its user-data whichever way its network is. Form: cloud-init's "NoCloud" (doc/rtd/reference/datasources/nocloud).
//!
//! Rule: pure, and the same bytes for the same record: a seed that is as it should be is not written again.

use crate::records::Record;
use arame_schema::jobs::hva::Nic;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use serde_json::{Value, json};
use std::io::{Cursor, Write};

/// cloud-init looks for a file system of this name, in capitals or not.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// Beside the files themselves: tables, the root folder, a cluster's rest for each.
const OVERHEAD_BYTES: usize = 64 * 1024;

/// A file system smaller than that is refused by some readers.
const STEP_BYTES: usize = 256 * 1024;

/// A fixed number: else each writing would differ.
const VOLUME_ID: u32 = 0x4152_414d;

/// The disk's bytes. `vendor_data` is what the operator gives every guest of the host.
///
/// # Errors
/// None that a caller could cause: memory is written.
pub fn image(record: &Record, vendor_data: Option<&str>) -> std::io::Result<Vec<u8>> {
    let files = files(record, vendor_data);
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let room = (bytes + OVERHEAD_BYTES).next_multiple_of(STEP_BYTES);
    let mut disk = Cursor::new(vec![0; room]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(LABEL).volume_id(VOLUME_ID))?;
    let system = FileSystem::new(&mut disk, FsOptions::new().update_accessed_date(false))?;
    for (name, text) in &files {
        let mut file = system.root_dir().create_file(name)?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
    }
    system.unmount()?;
    Ok(disk.into_inner())
}

/// The files by name. `user-data` is there also when there is none: without it the disk is no seed.
fn files(record: &Record, vendor_data: Option<&str>) -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("meta-data", meta_data(record).to_string()),
        ("user-data", record.metadata.user_data.clone().unwrap_or_default()),
    ];
    files.extend(vendor_data.map(|text| ("vendor-data", text.to_owned())));
    if !record.nics.is_empty() {
        files.push(("network-config", network_config(record).to_string()));
    }
    files
}

/// JSON is YAML: nothing a tenant writes can end a value.
fn meta_data(record: &Record) -> Value {
    let keys: Vec<&str> = record.metadata.ssh_keys.iter().map(|key| key.public_key.trim()).collect();
    json!({
        "instance-id": record.instance,
        "local-hostname": record.local_hostname(),
        "public-keys": keys,
    })
}

/// Version 1, which every network manager of a stock image is written from. Addresses, routes and MTU come by DHCP.
fn network_config(record: &Record) -> Value {
    let mut nics: Vec<&Nic> = record.nics.iter().collect();
    nics.sort_by_key(|nic| nic.index);
    let interface = |(at, nic): (usize, &Nic)| {
        json!({
            "type": "physical",
            "name": format!("eth{at}"),
            "mac_address": nic.mac,
            "subnets": [{ "type": "dhcp4" }],
        })
    };
    json!({ "version": 1, "config": nics.into_iter().enumerate().map(interface).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::a_record;
    use std::io::Read;

    fn read(image: Vec<u8>, name: &str) -> Option<String> {
        let system = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        let mut text = String::new();
        system.root_dir().open_file(name).ok()?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn a_seed_has_the_name_the_key_the_script_and_every_interface() {
        let record = a_record();
        let seed = image(&record, None).unwrap();
        let system = FileSystem::new(Cursor::new(seed.clone()), FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), "CIDATA");
        drop(system);
        let meta: Value = serde_json::from_str(&read(seed.clone(), "meta-data").unwrap()).unwrap();
        assert_eq!(meta["instance-id"], "i-web");
        assert_eq!(meta["local-hostname"], "web1.demo.example");
        assert_eq!(meta["public-keys"], json!(["ssh-ed25519 AAAA demo"]));
        assert_eq!(read(seed.clone(), "user-data").as_deref(), Some("#!/bin/sh\n"));
        let network: Value = serde_json::from_str(&read(seed.clone(), "network-config").unwrap()).unwrap();
        assert_eq!(network["config"][0]["mac_address"], "52:54:00:00:00:01");
        assert_eq!(read(seed, "vendor-data"), None);
        let vendor = image(&record, Some("#cloud-config\n")).unwrap();
        assert_eq!(read(vendor, "vendor-data").as_deref(), Some("#cloud-config\n"), "the control");
    }

    #[test]
    fn the_same_record_makes_the_same_bytes_and_another_makes_others() {
        let record = a_record();
        assert_eq!(image(&record, None).unwrap(), image(&record, None).unwrap());
        let renamed = Record { hostname: "web2".into(), ..record.clone() };
        assert_ne!(image(&record, None).unwrap(), image(&renamed, None).unwrap());
    }

    #[test]
    fn without_user_data_the_file_is_there_and_empty_and_much_of_it_fits() {
        let mut record = a_record();
        record.metadata.user_data = None;
        assert_eq!(read(image(&record, None).unwrap(), "user-data").as_deref(), Some(""));
        let much = "x".repeat(1 << 20);
        record.metadata.user_data = Some(much.clone());
        assert_eq!(read(image(&record, None).unwrap(), "user-data"), Some(much));
    }
}
