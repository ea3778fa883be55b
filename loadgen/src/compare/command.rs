//! A server's command line: its words, and where its port goes.

/// Stands for the port in a command.
const PORT: &str = "{port}";

/// Cuts a command into words as a shell would, without anything else a shell does.
pub(super) fn words(command: &str) -> Result<Vec<String>, String> {
    match shlex::split(command) {
        Some(words) if !words.is_empty() => Ok(words),
        Some(_) => Err("a server's command is empty".to_string()),
        None => Err(format!("`{command}` has a quote without its other half")),
    }
}

/// The command with this port in it: in place of `{port}`, or of what follows `-p` or `--port`, or else at its end.
pub(super) fn with_port(words: &[String], port: u16) -> Vec<String> {
    let port = port.to_string();
    if words.iter().any(|word| word.contains(PORT)) {
        return words.iter().map(|word| word.replace(PORT, &port)).collect();
    }
    let mut words = words.to_vec();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for index in 1..words.len() {
        let word = words[index].clone();
        if (word == "-p" || word == "--port") && words.get(index + 1).is_some_and(|next| is_number(next)) {
            words[index + 1] = port;
            return words;
        }
        for prefix in ["--port=", "-p"] {
            if word.strip_prefix(prefix).is_some_and(is_number) {
                words[index] = format!("{prefix}{port}");
                return words;
            }
        }
    }
    words.extend(["-p".to_string(), port]);
    words
}

/// What to call a server: its program's name.
pub(super) fn name(words: &[String]) -> String {
    let program = words.first().map_or("", String::as_str);
    program.rsplit('/').next().unwrap_or(program).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_goes_where_it_belongs() {
        for (command, expected) in [
            ("srv -l 127.0.0.1:{port} -p 5", "srv -l 127.0.0.1:7 -p 5"),
            ("memcached -t 1 -p 11211 -m 64", "memcached -t 1 -p 7 -m 64"),
            ("memcached -p11211", "memcached -p7"),
            ("ringcached --port 1 -t 1", "ringcached --port 7 -t 1"),
            ("ringcached --port=1", "ringcached --port=7"),
            ("memcached -P file -t 1", "memcached -P file -t 1 -p 7"),
            ("x", "x -p 7"),
        ] {
            assert_eq!(with_port(&words(command).unwrap(), 7).join(" "), expected);
        }
    }

    #[test]
    fn words_are_cut_at_spaces_outside_quotes() {
        assert_eq!(words("/a/b 'c d' \"e\"").unwrap(), ["/a/b", "c d", "e"]);
        assert_eq!(name(&words("/a/b c").unwrap()), "b");
        assert!(words("a 'b").unwrap_err().contains("quote"));
        assert!(words("  ").is_err());
    }
}
