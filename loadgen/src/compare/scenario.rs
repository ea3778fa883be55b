//! What is compared: servers, rows of loads, and how often. From the command line, a scenario file, or both.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::CompareOptions;
use super::command;

const ROUNDS: u16 = 5;

/// A scenario file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Heads the page.
    title: Option<String>,
    rounds: Option<u16>,
    /// Options of every row's runs.
    #[serde(default)]
    load: String,
    #[serde(default, rename = "server")]
    servers: Vec<ScenarioServer>,
    #[serde(default, rename = "row")]
    rows: Vec<ScenarioRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioServer {
    name: Option<String>,
    command: String,
    /// Options of the runs on this server only.
    #[serde(default)]
    load: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioRow {
    name: String,
    /// Options of this row's runs.
    load: String,
    /// Whether the load has a thread on each of the servers' CPUs as well.
    #[serde(default)]
    load_beside_server: bool,
}

/// All that will be done.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) title: String,
    pub(super) rounds: u16,
    /// At least two, with names of their own.
    pub(super) servers: Vec<ServerSpec>,
    /// At least one.
    pub(super) rows: Vec<Row>,
    pub(super) server_cpus: Vec<usize>,
    pub(super) client_cpus: Vec<usize>,
}

/// A server to start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServerSpec {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    /// Options of its runs, beside the row's.
    pub(super) load: Vec<String>,
}

/// A load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Options of its runs.
    pub(super) load: Vec<String>,
    /// With a thread on each of the servers' CPUs as well.
    pub(super) load_beside_server: bool,
}

impl Matrix {
    /// The error is one line for whoever wrote the options or the file.
    pub(super) fn new(options: &CompareOptions) -> Result<Matrix, String> {
        let scenario = match &options.scenario {
            Some(path) => read(path)?,
            None => Scenario::default(),
        };
        let given: Vec<_> = [&options.a, &options.b, &options.c, &options.d].into_iter().flatten().collect();
        let servers = if given.is_empty() {
            scenario.servers.iter().map(|server| spec(server.name.as_deref(), &server.command, &server.load)).collect()
        } else {
            given.iter().map(|command| spec(None, command, "")).collect::<Result<Vec<_>, _>>()
        };
        let servers = named(servers?, &options.names)?;
        let client_cpus = match options.client_cpus.as_slice() {
            [] => vec![free_cpu(&options.server_cpus)?],
            chosen => chosen.to_vec(),
        };
        let title = scenario
            .title
            .clone()
            .unwrap_or_else(|| servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(" and "));
        Ok(Matrix {
            title,
            rounds: options.rounds.or(scenario.rounds).unwrap_or(ROUNDS).max(1),
            rows: rows(&scenario, options)?,
            servers,
            server_cpus: options.server_cpus.clone(),
            client_cpus,
        })
    }
}

fn read(path: &Path) -> Result<Scenario, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn spec(name: Option<&str>, text: &str, load: &str) -> Result<ServerSpec, String> {
    let words = command::words(text)?;
    Ok(ServerSpec { name: name.map_or_else(|| command::name(&words), String::from), words, load: load_words(load)? })
}

/// Options as they are written in a scenario.
fn load_words(text: &str) -> Result<Vec<String>, String> {
    shlex::split(text).ok_or_else(|| format!("`{text}` in the scenario has a quote without its other half"))
}

/// Gives each server a name of its own.
fn named(mut servers: Vec<ServerSpec>, names: &[String]) -> Result<Vec<ServerSpec>, String> {
    if servers.len() < 2 {
        return Err("two servers are needed: --a COMMAND --b COMMAND, or [[server]] in the scenario".to_string());
    }
    if !names.is_empty() && names.len() != servers.len() {
        return Err(format!("{} names for {} servers", names.len(), servers.len()));
    }
    for (server, name) in servers.iter_mut().zip(names) {
        server.name.clone_from(name);
    }
    let all: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    for (server, letter) in servers.iter_mut().zip('a'..) {
        if all.iter().filter(|name| **name == server.name).count() > 1 {
            server.name = format!("{} ({letter})", server.name);
        }
    }
    Ok(servers)
}

fn rows(scenario: &Scenario, options: &CompareOptions) -> Result<Vec<Row>, String> {
    let common = load_words(&scenario.load)?;
    if scenario.rows.is_empty() {
        let load: Vec<String> = common.into_iter().chain(options.load.iter().cloned()).collect();
        let name = if options.load.is_empty() { "the default load".to_string() } else { options.load.join(" ") };
        return Ok(vec![Row { name, load, load_beside_server: false }]);
    }
    let mut rows = Vec::new();
    for row in &scenario.rows {
        let is_wanted = options.only.is_empty() || options.only.iter().any(|text| row.name.contains(text.as_str()));
        if is_wanted {
            let own = load_words(&row.load)?;
            let load = common.iter().cloned().chain(own).chain(options.load.iter().cloned()).collect();
            let load_beside_server = row.load_beside_server;
            rows.push(Row { name: row.name.clone(), load, load_beside_server });
        }
    }
    if rows.is_empty() {
        let names: Vec<_> = scenario.rows.iter().map(|row| format!("`{}`", row.name)).collect();
        return Err(format!("no row's name holds that; there are {}", names.join(", ")));
    }
    Ok(rows)
}

/// The last CPU that no server uses.
fn free_cpu(server_cpus: &[usize]) -> Result<usize, String> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let free = allowed.iter().rev().map(|cpu| cpu.id).find(|cpu| !server_cpus.contains(cpu));
    free.ok_or_else(|| "no CPU is left for the load: a server and its load need one each; see --server-cpus".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: CompareOptions,
    }

    fn matrix(words: &[&str]) -> Result<Matrix, String> {
        let words = ["compare", "--client-cpus", "1"].iter().chain(words);
        Matrix::new(&Line::try_parse_from(words).map_err(|error| error.to_string())?.options)
    }

    fn file(test: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("loadgen-scenario-{test}-{}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    const TEXT: &str = "
        title = 'two of them'
        rounds = 3
        load = '--duration 1s'
        [[server]]
        command = './x -t 1'
        [[server]]
        name = 'other'
        command = 'y {port}'
        [[row]]
        name = 'depth 1'
        load = ''
        [[row]]
        name = 'depth 16'
        load = '--pipeline 16'
        load_beside_server = true
    ";

    #[test]
    fn a_scenario_is_a_matrix() {
        let path = file("matrix", TEXT);
        let whole = matrix(&["--scenario", &path]).unwrap();
        assert_eq!((whole.title.as_str(), whole.rounds, whole.rows.len()), ("two of them", 3, 2));
        assert_eq!(whole.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["x", "other"]);
        let part = ["--scenario", &path, "--only", "16", "--rounds", "9", "--", "--keys", "5"];
        let part = matrix(&part).unwrap();
        assert_eq!(part.rounds, 9);
        assert!(part.rows[0].load_beside_server && !whole.rows[0].load_beside_server);
        assert_eq!(part.rows[0].load, ["--duration", "1s", "--pipeline", "16", "--keys", "5"]);
        assert!(matrix(&["--scenario", &path, "--only", "17"]).unwrap_err().contains("`depth 16`"));
        let others = matrix(&["--scenario", &path, "--a", "p", "--b", "q"]).unwrap();
        assert_eq!(others.servers[1].words, ["q"]);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn two_commands_are_enough() {
        let matrix = matrix(&["--a", "/bin/x 1", "--b", "y/x 2", "--", "--pipeline", "16"]).unwrap();
        assert_eq!(
            matrix.servers[0],
            ServerSpec { name: "x (a)".into(), words: vec!["/bin/x".into(), "1".into()], load: vec![] }
        );
        assert_eq!(matrix.servers[1].name, "x (b)");
        assert_eq!((matrix.rounds, matrix.rows[0].name.as_str()), (ROUNDS, "--pipeline 16"));
    }

    #[test]
    fn mistakes_are_named() {
        let misspelt = file("misspelt", &TEXT.replace("rounds", "runds"));
        for (words, why) in [
            (vec![], "two servers"),
            (vec!["--a", "x"], "--b"),
            (vec!["--a", "x", "--b", "'y"], "quote"),
            (vec!["--a", "x", "--b", "y", "--names", "z"], "1 names for 2"),
            (vec!["--scenario", "/nowhere.toml"], "/nowhere.toml"),
            (vec!["--scenario", &misspelt], "runds"),
        ] {
            let error = matrix(&words).unwrap_err();
            assert!(error.contains(why), "{words:?}: {error}");
        }
        fs::remove_file(misspelt).unwrap();
    }
}
