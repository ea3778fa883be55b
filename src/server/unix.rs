//! The socket in the file system (`-s`): one listener that all cores accept from, and the file that stands for it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use super::startup::StartError;
use crate::config::UnixSocket;

/// The file of a listening socket: removed when dropped, unless another one stands in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Device, number and age of a file: a number is used again once its file is gone.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// The path, for people to read.
    pub(super) fn path(&self) -> &str {
        self.path.to_str().unwrap_or("(a path that is no text)")
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        // After -u the directory may be out of reach; the next start takes such a file for what it is.
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::info!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Listens. A file that a server has left behind is replaced; any other file, and a server that answers, are not.
/// To be called while there is no other thread: the process's file mode mask is changed for a moment.
pub(super) fn open(unix: &UnixSocket, backlog: i32) -> Result<(Socket, SocketFile), StartError> {
    let path = unix.path.as_path();
    let failed = |error: io::Error| {
        let shown = path.display();
        StartError::new(match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => format!("-s {shown}: there is no such directory"),
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => format!("-s {shown}: not allowed to make it: {error}"),
            _ => format!("-s {shown}: cannot listen: {error}"),
        })
    };
    remove_stale(path)?;
    let address = SockAddr::unix(path).map_err(failed)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    // There is no moment at which the file is open to more than -a says.
    let before = umask(Mode::from_bits_truncate(!unix.mask & 0o777));
    let bound = socket.bind(&address);
    umask(before);
    bound.and_then(|()| socket.listen(backlog)).map_err(failed)?;
    let identity = identity(path).map_err(failed)?;
    Ok((socket, SocketFile { path: path.to_owned(), identity }))
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let shown = path.display();
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(StartError::new(format!(
            "-s {shown}: there is a file that is no socket: remove it, or choose another"
        )));
    }
    let refused = SockAddr::unix(path)
        .and_then(|address| Socket::new(Domain::UNIX, Type::STREAM, None)?.connect(&address))
        .err()
        .and_then(|error| error.raw_os_error());
    match refused {
        None | Some(libc::EAGAIN) => {
            Err(StartError::new(format!("another process listens on {shown}: stop it, or choose another -s")))
        }
        _ => fs::remove_file(path).map_err(|error| {
            StartError::new(format!("-s {shown}: cannot remove the socket of a former server: {error}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A path of this test's own.
    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ringcached-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn opened(path: &Path, mask: u32) -> Result<(Socket, SocketFile), String> {
        open(&UnixSocket { path: path.to_owned(), mask }, 64).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_has_the_mode_asked_for_and_goes_with_its_owner() {
        let path = place("mode");
        for mask in [0o700, 0o770, 0o666] {
            let (_socket, file) = opened(&path, mask).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mask);
            assert!(UnixStream::connect(&path).is_ok());
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
        let path = place("stale");
        let (socket, file) = opened(&path, 0o700).unwrap();
        let error = opened(&path, 0o700).unwrap_err();
        assert!(error.contains("another process listens on"), "{error}");
        drop(socket);
        let (_socket, second) = opened(&path, 0o700).unwrap();
        drop(file);
        assert!(path.exists(), "the first owner has lost the file to the second");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn no_other_file_is_touched() {
        let path = place("file");
        fs::write(&path, "precious").unwrap();
        let error = opened(&path, 0o700).unwrap_err();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        let error = opened(&path.join("below"), 0o700).unwrap_err();
        assert!(error.contains("no such directory"), "{error}");
    }
}
