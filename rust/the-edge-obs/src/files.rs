//! Opening and creating files: only regular ones, private to their owner, and written completely or not at all.
//!
//! New files have mode 0600 and new folders 0700; files that exist keep their mode. Pipes, devices and sockets are refused, so that
//! no open blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::ids::new_number;

/// How many characters of a file's name its draft has.
const DRAFT_NAME: usize = 40;

/// Returns the reason of a failure, in lower case, for the end of a message.
#[must_use]
pub fn reason_of(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or(&text),
        None => &text,
    };
    text.to_lowercase()
}

/// Opens a regular file for reading. The path may be a symbolic link.
///
/// # Errors
///
/// The file does not exist, cannot be read, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Before the open, which would block on a pipe without a writer; and after it, as another file may be there by then.
    check_kind(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    check_kind(&file.metadata()?)?;
    Ok(file)
}

fn check_kind(found: &fs::Metadata) -> io::Result<()> {
    match kind_of(found) {
        None => Ok(()),
        Some(kind) => Err(io::Error::other(format!(
            "it is {kind}, not a regular file"
        ))),
    }
}

/// Returns what something is, such as `a symbolic link`; `None` for a regular file.
#[must_use]
pub fn kind_of(seen: &fs::Metadata) -> Option<&'static str> {
    let kind = seen.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_symlink() {
        return Some("a symbolic link");
    }
    if kind.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some("a pipe (FIFO)");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
    }
    Some("no file")
}

/// Returns a new name for a draft of a file, beside it. It cannot be predicted, so that no one can plant a link.
#[must_use]
pub fn draft_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().take(DRAFT_NAME).collect();
    path.with_file_name(format!(".{name}.{:016x}.part", new_number()))
}

/// Creates a folder and its missing parents, with mode 0700.
///
/// # Errors
///
/// A folder cannot be created.
pub fn make_folders(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A new file that takes the place of another one when it is complete. Until then it stands beside it, and is removed if it is
/// dropped.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: Option<BufWriter<File>>,
    /// Folders that did not exist before, the inner ones first.
    new_folders: Vec<PathBuf>,
}

impl Draft {
    /// Creates the draft of a file, and missing folders. An existing file is never opened.
    ///
    /// # Errors
    ///
    /// The path is a folder, a pipe or a device, or the draft cannot be created.
    pub fn create(path: &Path) -> io::Result<Draft> {
        Draft::with_mode(path, 0o600)
    }

    /// Creates a draft as [`Draft::create`] does. A new file gets this mode, as far as the umask allows.
    ///
    /// # Errors
    ///
    /// As [`Draft::create`].
    pub fn with_mode(path: &Path, mode: u32) -> io::Result<Draft> {
        #[cfg(not(unix))]
        let _ = mode;
        if let Ok(found) = fs::metadata(path) {
            check_kind(&found)?;
        }
        let parents = path
            .ancestors()
            .skip(1)
            .filter(|folder| !folder.as_os_str().is_empty());
        let is_new = |folder: &&Path| fs::symlink_metadata(folder).is_err();
        let mut draft = Draft {
            path: path.to_owned(),
            draft: draft_beside(path),
            file: None,
            new_folders: parents.take_while(is_new).map(Path::to_owned).collect(),
        };
        make_folders(path.parent().unwrap_or(Path::new("")))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        draft.file = Some(BufWriter::new(options.open(&draft.draft)?));
        Ok(draft)
    }

    /// Moves the draft to its path, and returns its size in bytes. The mode of a file that is replaced is kept.
    ///
    /// # Errors
    ///
    /// What was written cannot be written out, or the draft cannot be moved. Then nothing is left behind.
    pub fn finish(mut self) -> io::Result<u64> {
        let writer = self
            .file
            .take()
            .ok_or_else(|| io::Error::other("it is closed"))?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let moved = file.and_then(|file| self.put_in_place(&file));
        match moved {
            Ok(_) => self.new_folders.clear(),
            Err(_) => self.remove(),
        }
        moved
    }

    fn put_in_place(&self, file: &File) -> io::Result<u64> {
        let size = file.metadata()?.len();
        let before = fs::symlink_metadata(&self.path).ok();
        if let Some(before) = before.filter(|before| !before.file_type().is_symlink()) {
            fs::set_permissions(&self.draft, before.permissions())?;
        }
        fs::rename(&self.draft, &self.path)?;
        Ok(size)
    }

    fn remove(&mut self) {
        // A failure here is not told: the draft's own failure is.
        let _ = fs::remove_file(&self.draft);
        for folder in self.new_folders.drain(..) {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("it is closed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some() || !self.new_folders.is_empty() {
            self.remove();
        }
    }
}
