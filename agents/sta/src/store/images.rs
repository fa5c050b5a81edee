//! The image folder: files copied in, verified while they are copied, never changed afterwards.
//!
//! Used by every store that has bytes. Rule: a source is read only below the configured folders, and an image gets
//! its name only after its checksum, its size and its format were found right. It does not fetch from the network ([`crate::fetch`] does).

use super::folder::{Folder, Temporary};
use super::label::{self, ImageLabel, Label};
use super::{Image, NewImage, Staged, StoreError, Verified, blocking, check_pace, folder};
use crate::faults::Faults;
use crate::mark::Mark;
use crate::sandbox::Checker;
use arame_framework::agent::Work;
use arame_schema::model::ImageId;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Between two of these the copy looks whether it is still wanted.
const BLOCK: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct Images {
    pub folder: Arc<Folder>,
    pub import_dirs: Vec<PathBuf>,
    pub faults: Arc<Faults>,
    pub checker: Checker,
}

impl Images {
    pub async fn find(&self, image: &ImageId) -> Result<Option<Image>, StoreError> {
        let (images, name) = (self.clone(), image.as_str().to_owned());
        blocking(move || look(&images.folder.images()?, &name)).await
    }

    pub async fn list(&self) -> Result<Vec<Image>, StoreError> {
        let images = self.clone();
        blocking(move || {
            let place = images.folder.images()?;
            let names = folder::names(&place)?;
            let things = names.iter().filter(|name| !name.starts_with('.') && !label::is_label(name));
            things.filter_map(|name| look(&place, name).transpose()).collect()
        })
        .await
    }

    pub async fn import(&self, new: &NewImage, work: &Work) -> Result<(), StoreError> {
        let (images, wanted, pace) = (self.clone(), new.clone(), work.clone());
        let staged = blocking(move || images.copy_in(&wanted, &pace)).await?;
        let verified = staged.finish(&new.announced, &self.checker).await?;
        check_pace(work)?;
        self.keep(&new.announced.image, verified, &new.mark).await
    }

    /// A place for the bytes, with its temporary name.
    pub async fn stage(&self, image: &ImageId) -> Result<Staged, StoreError> {
        let (images, name) = (self.clone(), image.as_str().to_owned());
        blocking(move || {
            images.faults.hit_blocking("import_image:before")?;
            Ok(Staged::new(Some(Temporary::beside(&images.folder.images()?.join(name))?)))
        })
        .await
    }

    pub async fn keep(&self, image: &ImageId, verified: Verified, mark: &Mark) -> Result<(), StoreError> {
        let (images, name, mark) = (self.clone(), image.as_str().to_owned(), mark.clone());
        blocking(move || {
            let target = images.folder.images()?.join(name);
            let Verified { file: Some(temporary), sha256, format, .. } = verified else {
                return Err(StoreError::Unavailable { reason: "the image was staged in another store".into() });
            };
            let found = ImageLabel { sha256, format };
            label::write(temporary.file(), &target, &Label { image: Some(found), ..Label::of(mark) })?;
            images.faults.hit_blocking("import_image:marked")?;
            temporary.keep_as(&target)?;
            Ok(images.faults.hit_blocking("import_image:after")?)
        })
        .await
    }

    pub async fn mark(&self, image: &ImageId, mark: &Mark) -> Result<(), StoreError> {
        let (images, name, mark) = (self.clone(), image.as_str().to_owned(), mark.clone());
        blocking(move || {
            let path = images.folder.images()?.join(name);
            let verified = label::read(&path)?.and_then(|label| label.image);
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            label::write(&file, &path, &Label { image: verified, ..Label::of(mark) })?;
            file.sync_all().map_err(StoreError::io("sync", &path))
        })
        .await
    }

    pub async fn delete(&self, image: &ImageId) -> Result<(), StoreError> {
        let (images, name) = (self.clone(), image.as_str().to_owned());
        blocking(move || {
            let place = images.folder.images()?;
            images.faults.hit_blocking("delete_image:before")?;
            remove(&place.join(name))?;
            Ok(images.faults.hit_blocking("delete_image:after")?)
        })
        .await
    }

    fn copy_in(&self, new: &NewImage, work: &Work) -> Result<Staged, StoreError> {
        let target = self.folder.images()?.join(new.announced.image.as_str());
        self.faults.hit_blocking("import_image:before")?;
        let source = open_source(&new.source, &self.import_dirs)?;
        let staged = read_all(source, Staged::new(Some(Temporary::beside(&target)?)), new, work)?;
        self.faults.hit_blocking("import_image:copied")?;
        Ok(staged)
    }
}

/// Removes a file and its label; what does not exist is removed.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(StoreError::io("remove", path)(error)),
        _ => {}
    }
    label::remove(path)?;
    match path.parent() {
        Some(place) => folder::sync(place),
        None => Ok(()),
    }
}

fn look(place: &Path, name: &str) -> Result<Option<Image>, StoreError> {
    let path = place.join(name);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(StoreError::io("look at", &path)(other)),
    };
    let label = if meta.is_file() { label::read(&path)? } else { None };
    let (mark, verified) = label.map_or((None, None), |label| (Some(label.mark), label.image));
    Ok(Some(Image {
        name: name.to_owned(),
        mark,
        sha256: verified.as_ref().map_or_else(String::new, |image| image.sha256.clone()),
        format: verified.map(|image| image.format),
        size_bytes: meta.len(),
        path: Some(path),
    }))
}

/// Opens `file:///…` when what it leads to is a regular file below one of `dirs`.
pub fn open_source(origin: &str, dirs: &[PathBuf]) -> Result<File, StoreError> {
    let refused = |reason: &str| StoreError::SourceRefused { origin: origin.to_owned(), reason: reason.to_owned() };
    let missing = |source| StoreError::SourceMissing { origin: origin.to_owned(), source };
    let path = origin.strip_prefix("file://").ok_or_else(|| refused("only file:// is read"))?;
    if !path.starts_with('/') {
        return Err(refused("the path must be absolute, without a host"));
    }
    // Non-blocking: a pipe in the folder must not hold the lane. A regular file is not affected.
    let opened = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).map_err(missing)?;
    // Of the open file and not of the name: the name may lead elsewhere a moment later.
    let real = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).map_err(missing)?;
    let below = |dir: &PathBuf| fs::canonicalize(dir).is_ok_and(|dir| real.starts_with(dir));
    if !dirs.iter().any(below) {
        return Err(refused("it is not below a folder images may be imported from"));
    }
    if !opened.metadata().map_err(missing)?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    Ok(opened)
}

/// Reads all of `source`, and no more than was announced.
pub fn read_all(mut source: File, mut staged: Staged, new: &NewImage, work: &Work) -> Result<Staged, StoreError> {
    let announced = new.announced.size_bytes.unwrap_or(u64::MAX);
    let mut block = vec![0u8; BLOCK];
    loop {
        check_pace(work)?;
        let count = source
            .read(&mut block)
            .map_err(|source| StoreError::SourceMissing { origin: new.source.clone(), source })?;
        if count == 0 {
            return Ok(staged);
        }
        staged.write(&block[..count])?;
        let done = staged.size_bytes();
        if done > announced {
            let reason = format!("the source is longer than {announced} bytes");
            return Err(StoreError::ChecksumMismatch { image: new.announced.image.clone(), reason });
        }
        work.progress((u128::from(done) * 100 / u128::from(announced.max(1))) as u8, "copying the image");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_only_below_the_import_folders_also_through_links() {
        let place = tempfile::tempdir().unwrap();
        let allowed = place.path().join("seed");
        fs::create_dir(&allowed).unwrap();
        fs::write(allowed.join("good"), "x").unwrap();
        fs::write(place.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(place.path().join("secret"), allowed.join("link")).unwrap();
        let dirs = [allowed.clone()];
        let open = |path: PathBuf| open_source(&format!("file://{}", path.display()), &dirs);

        assert!(open(allowed.join("good")).is_ok(), "control");
        for path in [allowed.join("link"), allowed.join("../secret"), place.path().join("secret"), allowed.clone()] {
            let refused = open(path.clone());
            assert!(matches!(refused, Err(StoreError::SourceRefused { .. })), "{path:?}: {refused:?}");
        }
        assert!(matches!(open(allowed.join("none")), Err(StoreError::SourceMissing { .. })));
        for origin in ["http://x/y", "file://host/x", "/etc/passwd"] {
            assert!(matches!(open_source(origin, &dirs), Err(StoreError::SourceRefused { .. })));
        }
    }

    #[test]
    fn a_pipe_in_the_import_folder_does_not_hold_the_lane() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = open_source(&format!("file://{}", pipe.display()), &[place.path().to_owned()]);
        assert!(matches!(refused, Err(StoreError::SourceRefused { .. })));
    }
}
