//! What the options that make a process of the server do, as far as it shows from outside: `-d`, `-P`, `-r`, `-u`, `-k`.
//!
//! What a test may expect depends on what this machine allows to whoever runs it. Where that is not the whole, the test
//! says so on standard error, past the harness, and checks what must happen instead.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "real servers run in real time")]

mod common;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Client, PATIENCE, Server, ringcached, scratch_directory};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_RESOURCE: u32 = 24;

#[test]
fn the_pid_file_names_the_process_and_goes_with_it() {
    let directory = scratch_directory();
    let file = directory.join("pid");
    let mut server = Server::ringcached(&["-t", "1", "-P", file.to_str().unwrap()]);
    // The port is named before the file is filled.
    let named = wait_for("a process", || fs::read_to_string(&file).ok().filter(|text| !text.is_empty()));
    assert_eq!(named, format!("{}\n", server.pid()));
    // A second server for the same address does not start, and leaves the file alone.
    let port = server.address().port().to_string();
    let second = Command::new(env!("CARGO_BIN_EXE_ringcached"))
        .args(["-p", &port, "-l", "127.0.0.1", "-t", "1", "-P", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_refused(&second, &port);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", server.pid()));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.stderr());
    assert!(!file.exists(), "the server is gone, its file is not");
    drop(fs::remove_dir_all(directory));
}

#[test]
fn a_pid_file_that_cannot_be_written_forbids_the_start() {
    assert_refused(&ringcached(&["-t", "1", "-P", "/proc/nowhere/pid"]).output().unwrap(), "-P");
}

#[test]
fn a_daemon_belongs_to_nobody() {
    let daemon = Daemon::start(&["-t", "2"]);
    let [parent, group, session, terminal] = daemon.stat();
    assert_ne!(parent, i64::from(std::process::id()), "whoever started it is its parent still");
    assert_eq!([group, session, terminal], [daemon.pid.as_raw().into(), daemon.pid.as_raw().into(), 0]);
    assert_eq!(daemon.link("cwd"), Path::new("/"));
    for descriptor in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(daemon.link(descriptor), Path::new("/dev/null"), "{descriptor}");
    }
    Client::connect((Ipv4Addr::LOCALHOST, daemon.port).into()).ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    daemon.stop();
}

#[test]
fn a_daemon_that_may_dump_stays_where_it_is() {
    if !may_dump() {
        say("no core dumps are allowed here: where a daemon with -r stays is not checked");
        return;
    }
    let daemon = Daemon::start(&["-t", "1", "-r"]);
    assert_eq!(daemon.link("cwd"), std::env::current_dir().unwrap());
    daemon.stop();
}

#[test]
fn what_forbids_a_daemon_is_said_before_it_is_one() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let program = env!("CARGO_BIN_EXE_ringcached");
    let output = Command::new(program).args(["-d", "-t", "1", "-l", "127.0.0.1", "-p", &port]).output().unwrap();
    assert_refused(&output, &port);
}

#[test]
fn core_dumps_are_as_large_as_allowed() {
    // Both start with none, and may raise that.
    let without = Process::start("ulimit -S -c 0", &["-t", "1"]);
    assert_eq!(without.core_limits().0, "0");
    without.stop();
    if !may_dump() {
        say("no core dumps are allowed here: -r is only seen to be refused");
        assert_refused(&ringcached(&["-t", "1", "-r"]).output().unwrap(), "-r");
        return;
    }
    let with = Process::start("ulimit -S -c 0", &["-t", "1", "-r"]);
    let (soft, hard) = with.core_limits();
    assert_eq!(soft, hard);
    assert_ne!(soft, "0");
    with.stop();
}

#[test]
fn core_dumps_that_are_not_allowed_are_refused() {
    if has_capability(CAP_SYS_RESOURCE) {
        say("this user may raise every limit: that -r is refused is not checked");
        let process = Process::start("ulimit -c 0", &["-t", "1", "-r"]);
        assert_eq!(process.core_limits().0, "unlimited");
        process.stop();
    } else {
        assert_refused(&in_shell("ulimit -c 0", &["-t", "1", "-r"]).output().unwrap(), "-r");
    }
}

#[test]
fn root_becomes_the_user_it_is_told() {
    let process = Process::start(":", &["-t", "2", "-u", "nobody"]);
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        for (name, number) in [("Uid:", nobody.uid.as_raw()), ("Gid:", nobody.gid.as_raw())] {
            assert_eq!(process.status(name), vec![number.to_string(); 4], "{name}");
        }
        assert_eq!(process.status("Groups:"), Vec::<String>::new());
        assert_eq!(process.status("CapEff:"), ["0000000000000000"]);
    } else {
        say("not root: -u is only seen to have no effect");
        assert_eq!(process.status("Uid:"), vec![geteuid().to_string(); 4]);
    }
    process.client().ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    process.stop();
}

#[test]
fn a_user_that_is_nobody_forbids_the_start() {
    let command = &mut ringcached(&["-t", "1", "-u", "no such user"]);
    if geteuid().is_root() {
        assert_refused(&command.output().unwrap(), "-u");
    } else {
        say("not root: that a strange name for -u is refused is not checked");
    }
}

#[test]
fn memory_is_locked_or_that_is_refused() {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
    let may_raise = hard == RLIM_INFINITY || has_capability(CAP_SYS_RESOURCE);
    let mut cases = vec![(vec!["-t", "1", "-k"], may_raise || has_capability(CAP_IPC_LOCK))];
    if geteuid().is_root() {
        // The privilege goes with root, the limit stays.
        cases.push((vec!["-t", "1", "-k", "-u", "nobody"], may_raise));
    } else {
        say("not root: -k together with -u is not checked");
    }
    for (options, is_allowed) in cases {
        if is_allowed {
            let process = Process::start(":", &options);
            let locked: u64 = process.status("VmLck:")[0].parse().unwrap();
            // In KiB: at least the memory that is kept for items has been reserved, and with that locked.
            assert!(locked >= 64 << 10, "{options:?}: {locked} KiB");
            process.client().ask("set a 0 0 1\r\nx\r\n", "STORED\r\n");
            process.stop();
        } else {
            say(&format!("locking all memory is not allowed here: {options:?} is only seen to be refused"));
            assert_refused(&ringcached(&options).output().unwrap(), "-k");
        }
    }
}

/// Says something that is seen even if the test succeeds.
fn say(what: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Not eprintln, which the harness keeps to itself.
    std::io::stderr().write_all(format!("\n*** {name}: {what}\n").as_bytes()).unwrap();
}

/// The start is refused: exit code 2, one line that names this, and nothing on standard output.
fn assert_refused(output: &Output, names: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{}, {stderr}", output.status);
    assert!(stderr.starts_with("ringcached: ") && stderr.contains(names), "{stderr:?} does not name {names}");
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(digits.trim(), 16).unwrap() >> number & 1 == 1
}

fn may_dump() -> bool {
    getrlimit(Resource::RLIMIT_CORE).unwrap().1 > 0 || has_capability(CAP_SYS_RESOURCE)
}

/// The command that starts ringcached after something in the same shell.
fn in_shell(before: &str, options: &[&str]) -> Command {
    let server = ringcached(options);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).arg(server.get_program()).args(server.get_args());
    command
}

/// A server whose port is found in what it says, which needs no file that it could write.
struct Process {
    child: std::process::Child,
    directory: PathBuf,
    port: u16,
}

impl Process {
    fn start(before: &str, options: &[&str]) -> Self {
        let directory = scratch_directory();
        let (stdout, stderr) = (directory.join("stdout"), directory.join("stderr"));
        let mut command = in_shell(before, options);
        command.stdin(Stdio::null());
        command.stdout(fs::File::create(&stdout).unwrap()).stderr(fs::File::create(&stderr).unwrap());
        let mut process = Self { child: command.spawn().unwrap(), directory, port: 0 };
        process.port = wait_for("a port", || {
            let status = process.child.try_wait().unwrap();
            assert!(status.is_none(), "{options:?}: {status:?}, {}", fs::read_to_string(&stderr).unwrap());
            let text = fs::read_to_string(&stdout).unwrap();
            let (_, rest) = text.split_once("127.0.0.1:")?;
            rest.split_once(": ")?.0.parse().ok()
        });
        process
    }

    fn client(&self) -> Client {
        Client::connect((Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// The words of a line of `/proc/PID/status`.
    fn status(&self, name: &str) -> Vec<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// The soft and the hard limit.
    fn core_limits(&self) -> (String, String) {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// A server in the background.
struct Daemon {
    pid: Pid,
    port: u16,
    directory: PathBuf,
}

impl Daemon {
    fn start(options: &[&str]) -> Self {
        let directory = scratch_directory();
        let (pid_file, port_file) = (directory.join("pid"), directory.join("port"));
        let mut command = ringcached(options);
        command.arg("-d").arg("-P").arg(&pid_file).env("MEMCACHED_PORT_FILENAME", &port_file);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let port = wait_for("a port", || common::tcp_port(&fs::read_to_string(&port_file).ok()?));
        let pid = wait_for("a process", || fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
        Self { pid: Pid::from_raw(pid), port, directory }
    }

    /// Its parent, its group, its session and its terminal.
    fn stat(&self) -> [i64; 4] {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let (_, behind_the_name) = stat.rsplit_once(')').unwrap();
        let numbers = behind_the_name.split_whitespace().skip(1).take(4).map(|word| word.parse().unwrap());
        numbers.collect::<Vec<i64>>().try_into().unwrap()
    }

    fn link(&self, name: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).unwrap()
    }

    /// Whether it runs. One that has ended may wait for its parent, which is not us.
    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    fn stop(self) {
        kill(self.pid, Signal::SIGTERM).unwrap();
        wait_for("the end", || (!self.runs()).then_some(()));
        assert!(!self.directory.join("pid").exists(), "the daemon is gone, its file is not");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// Looks again and again until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
