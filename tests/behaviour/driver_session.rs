//! The drivers without a process: one engine, or several joined by letters, with a clock that only the tests move.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringcached::auth::Users;
use ringcached::auth::scram::{ScramUsers, Secret};
use ringcached::memory::Budget;
use ringcached::protocol::Dialect;

use crate::cluster::{Client, Cluster, config};
use crate::driver::{Connection, Driver, Received};

/// Time moves in steps of what a driver of sockets ticks.
const TICK_MS: u64 = 100;

pub(crate) struct Session {
    cluster: Rc<RefCell<Cluster>>,
    cores: usize,
    connections: usize,
}

impl Session {
    pub(crate) fn new(cores: u16, options: &[&str]) -> Self {
        let mut config = config();
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "-C" => config.shard.cas = false,
                "-F" => config.flush_enabled = false,
                "-X" => config.admin.dump_enabled = false,
                "-W" => config.admin.watch_enabled = false,
                "-D" => {
                    config.admin.detail_enabled = true;
                    config.admin.prefix_delimiter = options.next().expect("a character").as_bytes()[0];
                }
                "-o" => config.admin.track_sizes = options.next() == Some(&"track_sizes"),
                "-m" => {
                    let size = options.next().expect("-m in MiB").parse::<usize>().expect("a number");
                    config.shard.budget = Arc::new(Budget::new(size << 20));
                }
                "-I" => {
                    let size = options.next().and_then(|size| size.strip_suffix('m')).expect("-I in m");
                    config.shard.item_size_max = size.parse::<usize>().expect("a number") << 20;
                }
                "-B" => {
                    config.access.dialect = match *options.next().expect("-B NAME") {
                        "ascii" => Some(Dialect::Text),
                        "binary" => Some(Dialect::Binary),
                        other => panic!("-B {other}"),
                    };
                }
                "-Y" => {
                    let text = fs::read(options.next().expect("-Y FILE")).expect("a password file");
                    let users = Users::parse(&text).expect("users");
                    config.access.users = Some(Arc::new(ScramUsers::new(users, Arc::new(Secret::new([7; 32])))));
                }
                "-S" => config.access.dialect = Some(Dialect::Binary),
                other => panic!("the session driver does not know {other}"),
            }
        }
        let cluster = Rc::new(RefCell::new(Cluster::new(cores, &config)));
        Self { cluster, cores: usize::from(cores), connections: 0 }
    }
}

impl Driver for Session {
    fn connect(&mut self) -> Box<dyn Connection> {
        let client = self.cluster.borrow_mut().connect(self.connections % self.cores);
        self.connections += 1;
        Box::new(Conversation { cluster: Rc::clone(&self.cluster), client, finished: false })
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.cluster.borrow().now.monotonic_ms)
    }

    fn unix_ms(&self) -> u64 {
        self.cluster.borrow().now.unix_ms
    }

    fn wait(&mut self, duration: Duration) {
        let mut left = u64::try_from(duration.as_millis()).expect("a short time");
        while left > 0 {
            let step = left.min(TICK_MS);
            self.cluster.borrow_mut().advance(step);
            left -= step;
        }
    }
}

struct Conversation {
    cluster: Rc<RefCell<Cluster>>,
    client: Client,
    finished: bool,
}

impl Connection for Conversation {
    fn send(&mut self, bytes: &[u8]) {
        let mut cluster = self.cluster.borrow_mut();
        cluster.send(self.client, bytes);
        cluster.settle();
    }

    fn receive(&mut self) -> Received {
        let mut cluster = self.cluster.borrow_mut();
        cluster.settle();
        let bytes = cluster.receive(self.client);
        cluster.settle();
        if !bytes.is_empty() {
            Received::Bytes(bytes)
        } else if cluster.is_closed(self.client) {
            self.finished = true;
            Received::Closed
        } else {
            Received::Nothing
        }
    }

    fn half_close(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        cluster.finish(self.client);
        cluster.settle();
    }

    fn pause(&mut self) {}
}

impl Drop for Conversation {
    /// A client that goes away.
    fn drop(&mut self) {
        if !self.finished {
            self.half_close();
            while !matches!(self.receive(), Received::Closed | Received::Nothing) {}
        }
    }
}
