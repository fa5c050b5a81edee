//! LIO's tree in configfs: folders are things, files their attributes, links what leads where.
//!
//! Sources: Linux `drivers/target/target_core_configfs.c`, `drivers/target/iscsi/iscsi_target_configfs.c`, and
//! Documentation/filesystems/configfs.rst. Everything may be asked for twice: what is there stays, what is gone is gone.

use super::super::{ExportError, LUN, Wish};
use std::fs;
use std::io::{ErrorKind, Result as Io};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// INQUIRY has 8 bytes for a vendor (SPC-4 section 6.4.2).
const VENDOR: &str = "ARAME";
/// Of a link to what it leads to.
const LINK: &str = "to";
/// What `info` of an initiator without a session begins with (`lio_target_nacl_info_show`).
const NO_SESSION: &str = "No active iSCSI Session";
/// What an account reads as that was never set.
const UNSET: &str = "NULL";

/// A target as the tree has it.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub iqn: String,
    pub is_enabled: bool,
    pub path: Option<PathBuf>,
    pub initiators: Vec<String>,
    pub accounts: Vec<String>,
    pub sessions: Vec<String>,
}

pub struct Tree {
    root: PathBuf,
}

fn refused(doing: &'static str) -> impl Fn(std::io::Error) -> ExportError {
    move |error| ExportError::Refused { doing, reason: error.to_string() }
}

fn text(path: &Path) -> Io<String> {
    Ok(fs::read_to_string(path)?.trim_matches(['\n', '\0', ' ']).to_owned())
}

fn set(path: &Path, value: &str) -> Io<()> {
    // Attributes take their value in one write and are not made.
    std::io::Write::write_all(&mut fs::File::options().write(true).open(path)?, value.as_bytes())
}

fn folder(path: &Path) -> Io<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn link(to: &Path, at: &Path) -> Io<()> {
    match symlink(to, at) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn gone(done: Io<()>) -> Io<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Names in a folder; none where it is not there.
fn names(path: &Path, wanted: impl Fn(&fs::FileType) -> bool) -> Io<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if wanted(&entry.file_type()?) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

fn folders(path: &Path) -> Io<Vec<String>> {
    names(path, fs::FileType::is_dir)
}

fn links(path: &Path) -> Io<Vec<String>> {
    names(path, fs::FileType::is_symlink)
}

impl Tree {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn group(&self, iqn: &str) -> PathBuf {
        self.root.join("iscsi").join(iqn).join("tpgt_1")
    }

    /// # Errors
    /// The kernel has no LIO, or its tree cannot be read.
    pub fn targets(&self, prefix: &str) -> Result<Vec<Found>, ExportError> {
        let unavailable = |error: std::io::Error| {
            let reason = format!("{} cannot be read: {error}", self.root.display());
            ExportError::Unavailable { reason }
        };
        if !self.root.join("core").is_dir() {
            let reason = format!("{} is not there: target_core_mod is not loaded", self.root.display());
            return Err(ExportError::Unavailable { reason });
        }
        let ours = format!("{prefix}:");
        let all = folders(&self.root.join("iscsi")).map_err(unavailable)?;
        all.into_iter().filter(|name| name.starts_with(&ours)).map(|iqn| self.look(iqn).map_err(unavailable)).collect()
    }

    fn look(&self, iqn: String) -> Io<Found> {
        let group = self.group(&iqn);
        let absent = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
        let is_enabled = match text(&group.join("enable")) {
            Err(error) if absent(&error) => return Ok(Found { iqn, ..Found::default() }),
            other => other? == "1",
        };
        let path = match fs::canonicalize(group.join(format!("lun/lun_{LUN}")).join(LINK)) {
            Err(error) if absent(&error) => None,
            device => Some(PathBuf::from(text(&device?.join("udev_path"))?)),
        };
        let mut found = Found { iqn, is_enabled, path, ..Found::default() };
        for initiator in folders(&group.join("acls"))? {
            let acl = group.join("acls").join(&initiator);
            let user = text(&acl.join("auth/userid"))?;
            if !user.is_empty() && user != UNSET {
                found.accounts.push(user);
            }
            if !text(&acl.join("info"))?.starts_with(NO_SESSION) {
                found.sessions.push(initiator.clone());
            }
            found.initiators.push(initiator);
        }
        Ok(found)
    }

    /// The volume as the kernel serves it, made if it is not: a block device as it is, a file through the page cache of this
    /// machine with every write synchronous (`fileio` without `fd_buffered_io`).
    pub fn add_volume(&self, name: &str, path: &Path, serial: &str) -> Result<PathBuf, ExportError> {
        let named = path.display().to_string();
        let known = fs::metadata(path).map_err(refused("look at the volume"))?;
        let (plugin, control) = match known.file_type().is_block_device() {
            true => ("iblock_0", format!("udev_path={named},readonly=0")),
            false => ("fileio_0", format!("fd_dev_name={named},fd_dev_size={}", known.size())),
        };
        let plugin = self.root.join("core").join(plugin);
        let device = plugin.join(name);
        let make = || -> Io<()> {
            folder(&plugin)?;
            folder(&device)?;
            if text(&device.join("enable"))? == "1" {
                return Ok(());
            }
            set(&device.join("control"), &control)?;
            set(&device.join("udev_path"), &named)?;
            set(&device.join("enable"), "1")?;
            // Fixed as soon as a target leads to it.
            set(&device.join("wwn/vendor_id"), VENDOR)?;
            set(&device.join("wwn/vpd_unit_serial"), serial)
        };
        make().map_err(refused("serve the volume"))?;
        let served = text(&device.join("udev_path")).map_err(refused("look at the volume"))?;
        if served != named {
            return Err(ExportError::Foreign { what: format!("{name} (it serves {served})") });
        }
        Ok(device)
    }

    pub fn add_target(&self, iqn: &str) -> Result<(), ExportError> {
        let group = self.group(iqn);
        let make = || -> Io<()> {
            folder(&self.root.join("iscsi"))?;
            folder(&self.root.join("iscsi").join(iqn))?;
            folder(&group)?;
            // Only who is named, only with a secret, and nobody else learns that it exists.
            for (attribute, value) in [
                ("attrib/generate_node_acls", "0"),
                ("attrib/authentication", "1"),
                ("attrib/demo_mode_discovery", "0"),
                ("param/AuthMethod", "CHAP"),
            ] {
                set(&group.join(attribute), value)?;
            }
            Ok(())
        };
        make().map_err(refused("create the target"))
    }

    pub fn add_lun(&self, iqn: &str, device: &Path) -> Result<(), ExportError> {
        let lun = self.group(iqn).join(format!("lun/lun_{LUN}"));
        folder(&lun).and_then(|()| link(device, &lun.join(LINK))).map_err(refused("add the LUN"))
    }

    pub fn add_initiator(&self, iqn: &str, wish: &Wish) -> Result<(), ExportError> {
        let group = self.group(iqn);
        let acl = group.join("acls").join(&wish.initiator_iqn);
        let mapped = acl.join(format!("lun_{LUN}"));
        let make = || -> Io<()> {
            folder(&acl)?;
            set(&acl.join("auth/userid"), &wish.chap_user)?;
            set(&acl.join("auth/password"), wish.chap_secret.expose())?;
            folder(&mapped)?;
            link(&group.join(format!("lun/lun_{LUN}")), &mapped.join(LINK))?;
            set(&mapped.join("write_protect"), "0")
        };
        make().map_err(refused("allow the initiator"))
    }

    pub fn add_portal(&self, iqn: &str, portal: &str) -> Result<(), ExportError> {
        folder(&self.group(iqn).join("np").join(portal)).map_err(refused("open the portal"))
    }

    /// Disabled, its sessions are ended, which waits for their commands in flight (`iscsit_tpg_disable_portal_group`).
    pub fn enable(&self, iqn: &str, is_on: bool) -> Result<(), ExportError> {
        let path = self.group(iqn).join("enable");
        let change = || -> Io<()> {
            let wanted = if is_on { "1" } else { "0" };
            if text(&path)? == wanted { Ok(()) } else { set(&path, wanted) }
        };
        match change() {
            Err(error) if !is_on && error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(refused(if is_on { "enable the target" } else { "disable the target" })),
        }
    }

    /// From its leaves to its root, as configfs wants it.
    pub fn remove_target(&self, iqn: &str) -> Result<(), ExportError> {
        let group = self.group(iqn);
        let remove = || -> Io<()> {
            for portal in folders(&group.join("np"))? {
                gone(fs::remove_dir(group.join("np").join(portal)))?;
            }
            for initiator in folders(&group.join("acls"))? {
                let acl = group.join("acls").join(initiator);
                for mapped in folders(&acl)?.into_iter().filter(|name| name.starts_with("lun_")) {
                    empty(&acl.join(mapped))?;
                }
                gone(fs::remove_dir(acl))?;
            }
            for lun in folders(&group.join("lun"))? {
                empty(&group.join("lun").join(lun))?;
            }
            gone(fs::remove_dir(&group))?;
            gone(fs::remove_dir(self.root.join("iscsi").join(iqn)))
        };
        remove().map_err(refused("remove the target"))
    }

    pub fn remove_unused_volumes(&self, prefix: &str) -> Result<(), ExportError> {
        let ours = format!("{prefix}:");
        let remove = || -> Io<()> {
            for plugin in ["iblock_0", "fileio_0"].map(|plugin| self.root.join("core").join(plugin)) {
                for name in folders(&plugin)?.into_iter().filter(|name| name.starts_with(&ours)) {
                    match gone(fs::remove_dir(plugin.join(name))) {
                        // Another attachment's target leads to it.
                        Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                        other => other?,
                    }
                }
            }
            Ok(())
        };
        remove().map_err(refused("let go of the volume"))
    }

    /// Whether any target of this machine, ours or not, listens there.
    pub fn has_portal(&self, portal: &str) -> Result<bool, ExportError> {
        let look = || -> Io<bool> {
            for iqn in folders(&self.root.join("iscsi"))? {
                for group in folders(&self.root.join("iscsi").join(&iqn))? {
                    let group = self.root.join("iscsi").join(&iqn).join(group);
                    if folders(&group.join("np"))?.iter().any(|one| one == portal) {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        };
        look().map_err(refused("look at the portals"))
    }
}

/// Takes the links out of a folder, and the folder.
fn empty(path: &Path) -> Io<()> {
    for name in links(path)? {
        gone(fs::remove_file(path.join(name)))?;
    }
    gone(fs::remove_dir(path))
}
