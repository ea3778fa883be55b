//! The scenario with the crate `memcache`: each argument is the address of a server, by TCP, UDP, a socket in the file
//! system or TLS.
//!
//! By UDP the crate sends a datagram and awaits its reply when it flushes its stream. It does not flush in `gets`, nor by
//! text in most requests: nothing is sent, and with any server it fails with "failed to fill whole buffer". So the leg by
//! UDP speaks packets, and gets one key at a time.

use std::collections::HashMap;
use std::env;
use std::fmt::Debug;
use std::process::{Command, exit};
use std::thread::sleep;
use std::time::Duration;

use memcache::{Client, MemcacheError};

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) {
    if found != expected {
        eprintln!("FAILED: {what}: found {found:.200?}, expected {expected:.200?}");
        exit(1);
    }
}

fn scenario(address: &str) -> Result<(), MemcacheError> {
    let is_udp = address.contains("+udp");
    let (client, other) = (Client::connect(address)?, Client::connect(address)?);
    let text = |key: &str| client.get::<String>(key);
    client.flush()?;
    same("get of nothing", text("a")?, None);
    client.set("a", "one", 0)?;
    same("get", text("a")?, Some("one".to_owned()));
    // By text the crate takes any answer for success.
    let _ = client.add("a", "x", 0);
    same("what stays", text("a")?, Some("one".to_owned()));
    client.append("a", "!")?;

    let unique = |client: &Client| -> Result<u64, MemcacheError> {
        let found: Option<(Vec<u8>, u32, Option<u64>)> = client.get("a")?;
        Ok(found.and_then(|(_, _, unique)| unique).unwrap_or_default())
    };
    let (first, second) = (unique(&client)?, unique(&other)?);
    same("cas", client.cas("a", "ONE", 0, first)?, true);
    same("cas of who was late", other.cas("a", "x", 0, second)?, false);

    client.set("number", 10, 0)?;
    same("increment", client.increment("number", 5)?, 15);
    same("decrement", client.decrement("number", 20)?, 0);
    same("touch", client.touch("a", 100)?, true);
    same("delete", client.delete("a")?, true);
    same("delete of nothing", client.delete("a")?, false);

    client.set("short", "x", 1)?;
    sleep(Duration::from_millis(2600));
    same("get of what has expired", text("short")?, None);

    let large = "0123456789\r\nEND\r\nabc".repeat(if is_udp { 1500 } else { 48_000 });
    client.set("large", large.as_str(), 0)?;
    same("get of a large value", text("large")? == Some(large), true);
    let long = "k".repeat(250);
    client.set(&long, "x", 0)?;
    same("get of a key of 250", text(&long)?, Some("x".to_owned()));

    let many: HashMap<String, String> = (0..200).map(|number| (format!("many-{number}"), number.to_string())).collect();
    for (key, value) in &many {
        client.set(key, value.as_str(), 0)?;
    }
    if is_udp {
        for (key, value) in &many {
            same("get of one of many", text(key)?.as_ref(), Some(value));
        }
    } else {
        let keys: Vec<&str> = many.keys().map(String::as_str).collect();
        same("get of many", client.gets::<String>(&keys)?, many.clone());
    }

    if let Ok(restart) = env::var("RESTART")
        && !restart.is_empty()
        && address.starts_with("memcache://")
        && !address.starts_with("memcache:///")
    {
        same(
            "a restart",
            Command::new("sh").args(["-c", &restart]).status().is_ok_and(|status| status.success()),
            true,
        );
        let again = (0..100).any(|_| {
            let stored = Client::connect(address).and_then(|client| client.set("again", "x", 0));
            if stored.is_err() {
                sleep(Duration::from_millis(100));
            }
            stored.is_ok()
        });
        same("after a restart", again, true);
    }
    Ok(())
}

fn main() {
    for address in env::args().skip(1) {
        println!("   {}", address.split('?').next().unwrap_or_default());
        if let Err(error) = scenario(&address) {
            eprintln!("FAILED: {address}: {error}");
            exit(1);
        }
    }
}
