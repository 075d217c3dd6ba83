//! Opening log files: only regular ones, private to their owner.
//!
//! Pipes, devices and folders are refused, and so is a symbolic link: anyone who can write to the folder could point it at another
//! file. The folders of the path may be links.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::files::{draft_beside, kind_of, make_folders, reason_of};

/// How often a file is looked for that others create and remove at the same moment.
const TRIES: usize = 5;

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub file: File,
    /// Whether it can be read, too.
    pub is_readable: bool,
}

/// Opens a regular file for appending. The file and its folders are created if needed; the mode is that of a new file, as far as
/// the umask allows.
pub(super) fn open_for_appending(path: &Path, mode: u32) -> io::Result<Opened> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    for _ in 0..TRIES {
        let opened = match fs::symlink_metadata(path) {
            Ok(seen) => existing(path, &seen),
            Err(error) if error.kind() == ErrorKind::NotFound => new(path, mode),
            Err(error) => Err(error),
        };
        match opened {
            // Somebody else was faster.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
            opened => return opened,
        }
    }
    Err(io::Error::other(
        "it is created and removed again and again",
    ))
}

/// Creates a file. This never follows a link.
fn new(path: &Path, mode: u32) -> io::Result<Opened> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path).map(|file| Opened {
        file,
        is_readable: true,
    })
}

fn existing(path: &Path, seen: &Metadata) -> io::Result<Opened> {
    if let Some(kind) = kind_of(seen) {
        let text = format!("it is {kind}, not a regular file");
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let opened = match OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Opened {
            file: OpenOptions::new().append(true).open(path)?,
            is_readable: false,
        },
        file => Opened {
            file: file?,
            is_readable: true,
        },
    };
    // A link may have been put in its place in the meantime.
    if is_same(&opened.file.metadata()?, seen) {
        Ok(opened)
    } else {
        Err(ErrorKind::NotFound.into())
    }
}

/// Tells whether two answers are about one file. Where files have no numbers, it is taken for granted.
#[cfg(unix)]
pub(super) fn is_same(one: &Metadata, two: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (two.dev(), two.ino())
}

#[cfg(not(unix))]
pub(super) fn is_same(_one: &Metadata, _two: &Metadata) -> bool {
    true
}

/// Tells whether a file has no name any more: it was deleted, and not moved.
#[cfg(unix)]
pub(super) fn is_deleted(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) == 0
}

#[cfg(not(unix))]
pub(super) fn is_deleted(_file: &Metadata) -> bool {
    false
}

/// Returns why no file can be created at an absolute path, or `None`. Nothing is left behind. A full disk is no reason: it may pass.
pub(super) fn refusal(path: &Path) -> Option<String> {
    if let Ok(seen) = fs::symlink_metadata(path) {
        match kind_of(&seen) {
            Some("a folder") => return Some("it is a folder; name a file in it".to_owned()),
            Some(kind) => {
                return Some(format!(
                    "it is {kind}, and only regular files are written to; name another path"
                ))
            }
            None => {}
        }
    }
    let mut folders = path.ancestors().skip(1);
    let folder = folders.find(|folder| fs::symlink_metadata(folder).is_ok())?;
    if !folder.is_dir() {
        return Some(format!("{folder:?} is not a folder; choose another path"));
    }
    let problem = try_folder(folder, path)?;
    Some(format!("{problem}; choose another path"))
}

/// Returns why a file cannot be written in a folder. To look at modes is not enough: of a read-only mount they say nothing.
fn try_folder(folder: &Path, path: &Path) -> Option<String> {
    let draft = folder.join(draft_beside(path).file_name().unwrap_or_default());
    let tried = match OpenOptions::new().write(true).create_new(true).open(&draft) {
        Ok(_) => fs::remove_file(&draft),
        Err(error) => Err(error),
    };
    let tried = tried.and_then(|()| match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    match tried {
        Ok(()) => None,
        Err(error) if may_pass(&error) => None,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Some("no permission".to_owned())
        }
        Err(error) => Some(reason_of(&error)),
    }
}

fn may_pass(error: &io::Error) -> bool {
    let too_many_files = [23, 24]; // ENFILE and EMFILE on every Unix
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ) || error
        .raw_os_error()
        .is_some_and(|code| cfg!(unix) && too_many_files.contains(&code))
}
