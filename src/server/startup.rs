//! From a configuration to a process that may start its cores: limits raised, sockets open, privileges dropped, ring
//! allowed, in the background if asked. All on the main thread, before there is any other, and with every failure said
//! in one line while standard error is still there.

use std::fmt::{self, Display};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use io_uring::IoUring;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd;

use super::listener::{self, Bound, Door};
use super::unix::SocketFile;
use crate::config::{Account, Config};
use crate::engine::Address;

/// Why the server cannot start on this machine: one line that says what to change. The process ends with exit code 2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartError(String);

impl StartError {
    /// A reason that holds on one line.
    pub fn new(line: impl AsRef<str>) -> Self {
        Self(line.as_ref().replace(char::is_control, " "))
    }
}

impl Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ringcached: {}", self.0)
    }
}

impl std::error::Error for StartError {}

/// What the cores need from the outside. To be kept until the end of the process.
#[derive(Debug)]
pub struct Started {
    /// For each core its doors, to be handed over.
    pub doors: Vec<Vec<Door>>,
    /// The addresses that are open, ports found.
    pub bound: Vec<Bound>,
    /// Removed when dropped.
    pub socket_file: Option<SocketFile>,
    /// Removed when dropped.
    pub pidfile: Option<Pidfile>,
}

/// Does all that stands before the first core, in the one order that works, and completes `config` by what was found:
/// the port for `-p -1`, further notices.
pub fn start(config: &mut Config) -> Result<Started, StartError> {
    raise_open_files(config)?;
    raise_locked_memory(config)?;
    if config.core_dumps {
        raise_core_dumps()?;
    }
    let opened = listener::open(config)?;
    for bound in opened.bound.iter().rev() {
        match &bound.address {
            Address::Tcp(address) if config.network.tcp_port == -1 => {
                config.network.tcp_port = i32::from(address.port());
            }
            Address::Udp(address) if config.network.udp_port == -1 => {
                config.network.udp_port = i32::from(address.port());
            }
            _ => {}
        }
    }
    config.notices.extend(short_backlog(config.backlog));
    if let (Some(us), Some(error)) = (config.tuning.busy_poll_us, &opened.busy_poll_refused) {
        config.notices.push(format!(
            "--busy-poll {us}: not for sockets: {error}; it needs CAP_NET_ADMIN at the start, where sysctl \
             net.core.busy_read is lower"
        ));
    }
    // Only now: a second server must not touch the file of the one that holds the address.
    let mut pidfile = config.pidfile.as_deref().map(Pidfile::create).transpose()?;
    if let Some(account) = &config.user {
        become_user(account, config.core_dumps)?;
    }
    // As the user that will make the rings: root may what others may not.
    check_ring()?;
    if config.daemon {
        go_to_background(config)?;
    }
    // Locks do not survive the fork.
    if config.lock_memory {
        lock_memory()?;
    }
    if let Some(pidfile) = &mut pidfile {
        pidfile.write()?;
    }
    Ok(Started { doors: opened.per_core, bound: opened.bound, socket_file: opened.socket_file, pidfile })
}

/// Descriptors of one core besides connections and listeners: glommio's rings, timers and event descriptors, our ring,
/// its doorbell.
const FILES_PER_CORE: u64 = 32;
/// Descriptors of the process: standard streams, logs, the control thread, and a reserve, so that refusing connections
/// above `-c` never fails for want of one.
const FILES_OF_PROCESS: u64 = 64;

/// Descriptors that are not client connections. Each core holds the doorbells of all.
pub(super) fn files_reserved(config: &Config) -> u64 {
    let network = &config.network;
    let addresses = network.listen.iter().chain(&network.udp).map(|listen| listen.addresses.len());
    let shard_ports =
        network.shard_ports.map_or(0, |_| network.listen.iter().map(|listen| listen.addresses.len()).sum());
    let addresses = addresses.sum::<usize>() + usize::from(network.unix.is_some()) + shard_ports;
    let cores = config.cores.len() as u64;
    cores * (FILES_PER_CORE + cores + addresses as u64) + FILES_OF_PROCESS
}

fn files_needed(config: &Config) -> u64 {
    config.conn_limit as u64 + files_reserved(config)
}

fn raise_open_files(config: &Config) -> Result<(), StartError> {
    let needed = files_needed(config);
    raise(Resource::RLIMIT_NOFILE, needed).map_err(|limit| {
        StartError::new(format!(
            "-c {} needs {needed} open files, but only {limit} are allowed: raise `ulimit -n` (systemd: \
             LimitNOFILE=) or lower -c",
            config.conn_limit
        ))
    })
}

/// What glommio asks for before it makes an executor's rings.
const LOCKED_MEMORY_MIN: u64 = 512 << 10;
/// What one core's rings take where the kernel counts them, as Linux 6.18 does. Older ones ask for less, so a limit below
/// this is no reason not to try.
const LOCKED_MEMORY_PER_CORE: u64 = 1 << 20;

fn raise_locked_memory(config: &Config) -> Result<(), StartError> {
    if config.lock_memory {
        return raise(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY).or_else(|limit| {
            if config.user.is_none() && may_lock_without_limit() {
                return Ok(());
            }
            Err(StartError::new(format!(
                "-k needs unlimited locked memory, but only {} KiB are allowed: raise `ulimit -l` (systemd: \
                 LimitMEMLOCK=infinity) or leave out -k",
                limit >> 10
            )))
        });
    }
    if raise(Resource::RLIMIT_MEMLOCK, LOCKED_MEMORY_PER_CORE * config.cores.len() as u64).is_ok() {
        return Ok(());
    }
    raise(Resource::RLIMIT_MEMLOCK, LOCKED_MEMORY_MIN).map_err(|limit| {
        StartError::new(format!(
            "io_uring needs {} KiB of locked memory, but only {} KiB are allowed: raise `ulimit -l` (systemd: \
             LimitMEMLOCK=, containers: --ulimit memlock=)",
            LOCKED_MEMORY_MIN >> 10,
            limit >> 10
        ))
    })
}

/// Whether this process has `CAP_IPC_LOCK`, to which the limit does not apply.
fn may_lock_without_limit() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|capabilities| capabilities >> CAP_IPC_LOCK & 1 == 1)
}

fn raise_core_dumps() -> Result<(), StartError> {
    let raised = raise(Resource::RLIMIT_CORE, RLIM_INFINITY).or_else(|hard| match hard {
        0 => Err(Errno::EPERM),
        hard => setrlimit(Resource::RLIMIT_CORE, hard, hard),
    });
    raised.map_err(|_| {
        StartError::new("-r: core dumps are not allowed: raise `ulimit -c` (systemd: LimitCORE=) or leave out -r")
    })
}

/// Makes a limit at least `needed`; the hard one too where that is allowed. Fails with the limit that stays.
fn raise(resource: Resource, needed: u64) -> Result<(), u64> {
    let (soft, hard) = getrlimit(resource).map_err(|_| 0_u64)?;
    if soft >= needed || setrlimit(resource, needed, hard.max(needed)).is_ok() {
        return Ok(());
    }
    Err(hard)
}

/// The kernel shortens a backlog without a word.
fn short_backlog(backlog: i32) -> Option<String> {
    let allowed: i32 = fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()?;
    (allowed < backlog).then(|| format!("-b {backlog}: the kernel allows {allowed}: raise sysctl net.core.somaxconn"))
}

fn become_user(account: &Account, core_dumps: bool) -> Result<(), StartError> {
    let failed =
        |what: &str, error: Errno| StartError::new(format!("-u {}: cannot {what}: {}", account.name, error.desc()));
    unistd::setgroups(&[]).map_err(|error| failed("leave root's groups", error))?;
    unistd::setgid(account.gid).map_err(|error| failed("change the group", error))?;
    unistd::setuid(account.uid).map_err(|error| failed("change the user", error))?;
    if core_dumps {
        // A process that changed its user is not dumped unless it says so.
        prctl::set_dumpable(true).map_err(|error| failed("allow core dumps", error))?;
    }
    Ok(())
}

/// Makes a ring as small as can be, with the features that the driver relies on.
fn check_ring() -> Result<(), StartError> {
    let mut builder: io_uring::Builder = IoUring::builder();
    builder.setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    match builder.build(2) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(explain_ring(&error, fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().as_deref()))
        }
    }
}

/// `disabled` is what the kernel says of itself, where it has the switch.
fn explain_ring(error: &io::Error, disabled: Option<&str>) -> StartError {
    let is_disabled = disabled.is_some_and(|text| text.trim() != "0");
    StartError::new(match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if is_disabled => format!(
            "io_uring is switched off: set sysctl kernel.io_uring_disabled=0 (it is {})",
            disabled.unwrap_or_default().trim()
        ),
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => format!(
            "io_uring is not allowed ({error}): in a container use a seccomp profile that permits io_uring_setup, \
             io_uring_enter and io_uring_register; elsewhere see sysctl kernel.io_uring_disabled"
        ),
        Some(libc::EINVAL) => "io_uring of this kernel is too old: Linux 6.1 or newer is needed".to_owned(),
        Some(libc::ENOMEM) => {
            format!("no memory for io_uring ({error}): raise `ulimit -l` (systemd: LimitMEMLOCK=)")
        }
        _ => format!("io_uring cannot be used: {error}"),
    })
}

/// Why a core could not be set up on its thread. The limit of locked memory can suffice for the ring that was tried and
/// not for those of all cores.
pub(super) fn explain_core(error: &io::Error) -> StartError {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => explain_ring(error, None),
        _ => StartError::new(format!("cannot start a core: {error}")),
    }
}

/// Like memcached: `-r` stays in the directory, where the dump shall go, and `-v` keeps standard error.
fn go_to_background(config: &Config) -> Result<(), StartError> {
    unistd::daemon(config.core_dumps, config.verbosity > 0)
        .map_err(|error| StartError::new(format!("-d: cannot go into the background: {}", error.desc())))
}

/// Pages are locked when first touched: address space is reserved far beyond `-m`, and must not be filled.
fn lock_memory() -> Result<(), StartError> {
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault).map_err(|error| {
        StartError::new(format!("-k: cannot lock memory: {}: raise `ulimit -l` or leave out -k", error.desc()))
    })
}

/// The file of `-P`. Created while the directory may still be written to, filled when the process has its last number.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
}

impl Pidfile {
    fn create(path: &Path) -> Result<Self, StartError> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| StartError::new(format!("-P: cannot write {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self) -> Result<(), StartError> {
        writeln!(self.file, "{}", std::process::id())
            .map_err(|error| StartError::new(format!("-P: cannot write {}: {error}", self.path.display())))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // After -u the directory may be out of reach. An empty file at least names no process.
        if fs::remove_file(&self.path).is_err() && self.file.set_len(0).is_err() {
            tracing::warn!("cannot remove {}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_may_make_a_ring() {
        assert_eq!(check_ring(), Ok(()));
    }

    #[test]
    fn a_forbidden_ring_says_what_to_change() {
        for (errno, disabled, says) in [
            (libc::EPERM, Some("2\n"), "kernel.io_uring_disabled=0 (it is 2)"),
            (libc::EPERM, Some("0\n"), "seccomp profile"),
            (libc::ENOSYS, None, "seccomp profile"),
            (libc::EINVAL, Some("0\n"), "6.1"),
            (libc::ENOMEM, Some("0\n"), "LimitMEMLOCK="),
        ] {
            let line = explain_ring(&io::Error::from_raw_os_error(errno), disabled).to_string();
            assert!(line.starts_with("ringcached: ") && line.contains(says) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_core_without_memory_for_its_ring_says_what_to_raise() {
        let line = explain_core(&io::Error::from_raw_os_error(libc::ENOMEM)).to_string();
        assert!(line.contains("ulimit -l") && !line.contains('\n'), "{line}");
        let line = explain_core(&io::Error::from_raw_os_error(libc::EMFILE)).to_string();
        assert!(line.contains("cannot start a core"), "{line}");
    }

    #[test]
    fn a_limit_that_cannot_be_raised_is_told() {
        assert_eq!(raise(Resource::RLIMIT_NOFILE, 16), Ok(()));
        assert!(raise(Resource::RLIMIT_NOFILE, 1 << 40).is_err(), "no kernel allows so many");
    }

    #[test]
    fn the_pidfile_lives_as_long_as_its_owner() {
        let path = std::env::temp_dir().join(format!("ringcached-pid-{}", std::process::id()));
        let mut pidfile = Pidfile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        pidfile.write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());
        assert!(Pidfile::create(Path::new("/proc/nowhere/pid")).is_err());
    }
}
