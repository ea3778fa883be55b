//! Every option of memcached, given to the parser and, where the exit code matters, to the program itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringcached::config::{Config, Machine, Request, parse};
use ringcached::protocol::Dialect;

/// A machine of eight CPUs, of which 4 to 7 are not ours.
fn machine() -> Machine {
    Machine { cpus: vec![0, 1, 2, 3, 8, 9], is_root: false, port_file: None, sasl_file: None }
}

fn read(line: &str) -> Result<Request, String> {
    let arguments = std::iter::once("ringcached").chain(line.split_whitespace());
    parse(arguments, &machine()).map_err(|error| error.to_string())
}

fn config(line: &str) -> Config {
    match read(line) {
        Ok(Request::Run(config)) => *config,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn cpus(line: &str) -> Vec<Option<usize>> {
    let cores = config(line).cores;
    assert!(cores.iter().enumerate().all(|(at, core)| core.id.index() == at), "{line}: numbered in order");
    cores.iter().map(|core| core.cpu).collect()
}

#[test]
fn defaults() {
    let config = config("");
    let addresses: Vec<_> =
        config.network.listen.iter().flat_map(|listen| &listen.addresses).map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:11211"]);
    assert_eq!((config.memory_limit, config.item_size_max), (64 << 20, 1 << 20));
    assert_eq!((config.conn_limit, config.backlog, config.requests_per_turn), (1024, 1024, 512));
    assert!(config.evict && config.cas && config.flush_enabled && config.dump_enabled && config.watch_enabled);
    assert!(!config.shutdown_enabled && !config.strict_order && !config.daemon);
    assert!(!config.detail_enabled && config.prefix_delimiter == b':' && !config.track_sizes && !config.debug_time);
    assert!(!config.core_dumps && !config.lock_memory);
    assert_eq!((config.idle_timeout, config.verbosity, config.network.tcp_port), (None, 0, 11211));
    assert_eq!((config.user, config.pidfile, config.port_file), (None, None, None));
    assert_eq!(config.cores.len(), 6);
    assert_eq!(config.notices, Vec::<String>::new());
}

#[test]
fn every_option_reaches_its_field() {
    let config = config(
        "-p 5 -l 10.0.0.1,10.0.0.2:6 -l [::1] -c 20000 -b 9 -m 1024 -I 2m -M -k -t 4 -R 20 -A -F -C -B ascii -d \
         -P /run/x.pid -r -vvvv -X -W -D / -o track_sizes --debug-time -o idle_timeout=60,pipeline_order=strict -o maxconns_fast -U 0",
    );
    let addresses: Vec<_> =
        config.network.listen.iter().flat_map(|listen| &listen.addresses).map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1:5", "10.0.0.2:6", "[::1]:5"]);
    assert_eq!((config.conn_limit, config.backlog, config.requests_per_turn), (20_000, 9, 20));
    assert_eq!((config.memory_limit, config.item_size_max, config.memory_per_core()), (1 << 30, 2 << 20, 256 << 20));
    assert!(!config.evict && !config.cas && !config.flush_enabled && config.shutdown_enabled);
    assert!(!config.dump_enabled && !config.watch_enabled && config.detail_enabled && config.prefix_delimiter == b'/');
    assert!(config.track_sizes && config.debug_time);
    assert!(config.lock_memory && config.core_dumps && config.daemon && config.strict_order);
    assert_eq!((config.verbosity, config.idle_timeout), (3, Some(Duration::from_secs(60))));
    assert_eq!(config.pidfile, Some(PathBuf::from("/run/x.pid")));
    assert_eq!(config.notices, Vec::<String>::new());
}

#[test]
fn rings_and_ports_of_single_cores() {
    let default = config("");
    let tuning = default.tuning;
    assert_eq!((tuning.ring_entries, tuning.recv_buffers, tuning.spin), (1024, 512, Duration::ZERO));
    assert_eq!((tuning.busy_poll_us, tuning.incoming_cpu, default.network.shard_ports), (None, false, None));
    let given = config(
        "--ring-entries 64 --recv-buffers=32768 --spin-us 50 --busy-poll 20 --incoming-cpu -t 2 --shard-ports 11209",
    );
    let tuning = given.tuning;
    assert_eq!((tuning.ring_entries, tuning.recv_buffers, tuning.spin), (64, 32_768, Duration::from_micros(50)));
    assert_eq!((tuning.busy_poll_us, tuning.incoming_cpu, given.network.shard_ports), (Some(20), true, Some(11209)));
}

#[test]
fn long_forms_and_getopts_habits() {
    let long = config(
        "--port=5 --listen 10.0.0.1 --conn-limit=7 --listen-backlog 9 --memory-limit=128 --max-item-size=64k \
         --disable-evictions --lock-memory --threads 2 --max-reqs-per-event 20 --enable-shutdown \
         --disable-flush-all --disable-cas --protocol=ascii --daemon --pidfile /x --enable-coredumps --verbose \
         --extended idle_timeout=1 --udp-port 0",
    );
    let short = config("-p5 -l10.0.0.1 -c7 -b9 -m128 -I64k -MkAFCdrv -t2 -R20 -Bascii -P/x -oidle_timeout=1 -U0");
    assert_eq!(long, short);
    assert_eq!(config("--memory-l 128 --thr 2"), config("-m 128 -t 2"), "unambiguous beginnings");
    assert_eq!(config("-m 1 -p 9 -m 128"), config("-m 128 -p 9"), "the last one counts");
}

#[test]
fn cores_and_cpus() {
    assert_eq!(cpus("-t 2"), [Some(0), Some(1)]);
    assert_eq!(cpus("-t 6"), [0, 1, 2, 3, 8, 9].map(Some));
    assert_eq!(cpus("-t 7"), [None; 7], "more than CPUs");
    assert_eq!(cpus("--cpus 9,0-1"), [Some(9), Some(0), Some(1)]);
    assert_eq!(cpus("--cpus 8 -t 1"), [Some(8)]);
    assert_eq!(cpus("-m 8"), [Some(0), Some(1)], "4 MiB at least each");
    assert_eq!(cpus("-m 2"), [Some(0)], "but always one");
    assert_eq!(cpus("-t 100 -m 20"), [0, 1, 2, 3, 8].map(Some), "as many as fit are pinned");
    assert_eq!(config("-t 16").notices, Vec::<String>::new());
    assert_eq!(config("-t 8 -m 16").notices, ["4 instead of 8 cores start: each needs 4 MiB of the 16 MiB of -m"]);
}

#[test]
fn ports_and_addresses() {
    let ephemeral = config("-p -1 -l 127.0.0.1,127.0.0.1:9");
    assert_eq!(ephemeral.network.tcp_port, -1);
    let ports: Vec<_> = ephemeral.network.listen.iter().map(|listen| listen.addresses[0].port()).collect();
    assert_eq!(ports, [0, 9]);
    let twice = config("-l 127.0.0.1,127.0.0.1:11211");
    assert_eq!(twice.network.listen.len(), 1);
    assert_eq!(twice.notices, ["-l: 127.0.0.1:11211 is listed twice; it is opened once"]);
}

#[test]
fn options_without_effect_leave_one_notice_each() {
    for line in [
        "-f 1.25",
        "-n 48",
        "-u nobody",
        "-l tag[a]:127.0.0.1",
        "-o modern",
        "-o no_modern",
        "-o hashpower=20",
        "-o tail_repair_time=3600",
        "-o hash_algorithm=murmur3",
        "-o lru_crawler",
        "-o no_lru_crawler",
        "-o lru_crawler_sleep=100",
        "-o lru_crawler_tocrawl=0",
        "-o lru_maintainer",
        "-o no_lru_maintainer",
        "-o hot_lru_pct=20",
        "-o warm_lru_pct=40",
        "-o hot_max_factor=0.2",
        "-o warm_max_factor=2.0",
        "-o temporary_ttl=61",
        "-o watcher_logbuf_size=256",
        "-o worker_logbuf_size=64",
        "-o no_hashexpand",
        "-o slab_reassign",
        "-o no_slab_reassign",
        "-o slab_automove=1",
        "-o slab_automove",
        "-o no_slab_automove",
        "-o slab_automove_window=30",
        "-o slab_automove_freeratio=0.01",
        "-o slab_chunk_max=512",
        "-o read_buf_mem_limit=0",
        "-o resp_obj_mem_limit=0",
        "-o inline_ascii_resp",
        "-o no_inline_ascii_resp",
        "-o drop_privileges",
        "-o no_drop_privileges",
    ] {
        let notices = config(line).notices;
        assert_eq!(notices.len(), 1, "{line}: {notices:?}");
        assert!(!notices[0].contains('\n'), "{line}");
    }
}

#[test]
fn where_to_listen_is_decided_together() {
    let shown = |line: &str| {
        let network = config(line).network;
        let addresses = |listen: &[ringcached::config::Listen]| -> Vec<String> {
            listen.iter().flat_map(|listen| &listen.addresses).map(ToString::to_string).collect()
        };
        let unix = network.unix.map(|unix| (unix.path.display().to_string(), unix.mask));
        (addresses(&network.listen).join(" "), addresses(&network.udp).join(" "), unix)
    };
    let socket = |mask| Some(("/tmp/x".to_owned(), mask));
    for (line, tcp, udp, unix) in [
        ("-U 0", "127.0.0.1:11211", "", None),
        ("-U 5", "127.0.0.1:5", "127.0.0.1:5", None),
        ("-U 5 -p 6 -l 127.0.0.1:7,127.0.0.1,[::1]", "127.0.0.1:7 127.0.0.1:6 [::1]:6", "127.0.0.1:5 [::1]:5", None),
        ("-U 5 -p 0", "", "127.0.0.1:5", None),
        ("-U -1 -p 6", "127.0.0.1:6", "127.0.0.1:0", None),
        ("-s /tmp/x", "", "", socket(0o700)),
        ("-s /tmp/x -a 0666", "", "", socket(0o666)),
        ("-s /tmp/x -p 5", "127.0.0.1:5", "", socket(0o700)),
        ("-s /tmp/x -l 127.0.0.2", "127.0.0.2:11211", "", socket(0o700)),
        ("-s /tmp/x -p 0 -l 127.0.0.2", "", "", socket(0o700)),
        ("-s /tmp/x -U 5", "", "127.0.0.1:5", socket(0o700)),
    ] {
        assert_eq!(shown(line), (tcp.to_owned(), udp.to_owned(), unix), "{line}");
    }
    assert_eq!(config("-U 5 -o udp_reply_max=2000").udp_reply_max, 2000);
    assert_eq!(config("-U 5").udp_reply_max, 65536);
    assert_eq!(config("-U 5 -l 0.0.0.0").notices.len(), 1, "forged senders");
    assert_eq!(config("-a 700 -o ssl_session_cache").notices.len(), 2, "without effect");
}

#[test]
fn tls_is_made_from_what_was_given() {
    use ringcached::config::{ClientCertificate, KeyFormat, Security};
    let tls = |line: &str| config(line).tls.expect("TLS");
    let least = tls("-Z -o ssl_chain_cert=/c");
    assert_eq!((least.key.clone(), least.key_format, least.only_tls13), ("/c".into(), KeyFormat::Pem, false));
    assert_eq!((least.client_certificate, least.session_cache), (ClientCertificate::Never, false));
    let most = tls("-Z -o ssl_chain_cert=/c,ssl_key=/k,ssl_keyformat=DER,ssl_verify_mode=2,ssl_ca_cert=/a \
                    -o ssl_ciphers=HIGH:ALL,ssl_session_cache,ssl_min_version=tlsv1.3,ssl_wbuf_size=16,ssl_kernel_tls");
    assert_eq!((most.key, most.key_format, most.only_tls13), ("/k".into(), KeyFormat::Der, true));
    assert_eq!((most.client_certificate, most.session_cache), (ClientCertificate::Required, true));
    assert_eq!((most.ca_cert, most.ciphers), (Some("/a".into()), Some("HIGH:ALL".to_owned())));
    let mixed = config("-Z -o ssl_chain_cert=/c -l notls:127.0.0.1:1,127.0.0.1:2 -U 5").network.listen;
    assert_eq!(mixed[0].manner.security, Security::Plain);
    assert_eq!(mixed[1].manner.security, Security::Tls(ClientCertificate::Never));
    assert_eq!(config("-Z -o ssl_chain_cert=/c,ssl_min_version=tlsv1.0").notices.len(), 1);
}

#[test]
fn what_is_not_built_is_refused() {
    for line in
        ["-e /x", "-N 2", "-o no_maxconns_fast", "-o ext_path=/x:1G", "-o ext_threads=1", "-l proto[proxy]:127.0.0.1"]
    {
        let complaint = read(line).expect_err(line);
        assert!(complaint.starts_with("ringcached: not supported yet: -"), "{line}: {complaint}");
        assert!(!complaint.contains('\n'), "{line}: {complaint}");
    }
}

#[test]
fn who_may_talk_and_how() {
    let sasl_file = Some(PathBuf::from("/from/environment"));
    let with_environment = |line: &str| {
        let arguments = std::iter::once("ringcached").chain(line.split_whitespace());
        match parse(arguments, &Machine { sasl_file: sasl_file.clone(), ..machine() }) {
            Ok(Request::Run(config)) => (config.dialect, config.password_file),
            other => panic!("{line:?}: {other:?}"),
        }
    };
    let file = Some(PathBuf::from("/x"));
    for (line, expected) in [
        ("", (None, None)),
        ("-B auto", (None, None)),
        ("-B ascii", (Some(Dialect::Text), None)),
        ("-B binary", (Some(Dialect::Binary), None)),
        ("-Y /x", (Some(Dialect::Text), file.clone())),
        ("-Y /x -B ascii -U 0", (Some(Dialect::Text), file.clone())),
        ("-S -Y /x", (Some(Dialect::Binary), file.clone())),
        ("-S -B binary --auth-file=/x", (Some(Dialect::Binary), file.clone())),
        ("-S", (Some(Dialect::Binary), sasl_file.clone())),
    ] {
        assert_eq!(with_environment(line), expected, "{line}");
    }
    assert_eq!(config("-Y /x -B auto").notices.len(), 1);
    for line in ["-S -B ascii -Y /x", "-S -B auto -Y /x", "-S", "-Y /x -B binary", "-Y /x -U 11211", "-S -Y /x -U -1"] {
        let complaint = read(line).expect_err(line);
        assert!(complaint.starts_with("ringcached: -") && !complaint.contains('\n'), "{line}: {complaint}");
    }
    let shown = |line: &str| {
        let settings = config(line).settings();
        ["binding_protocol", "auth_enabled_sasl", "auth_enabled_ascii"].map(|name| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap_or_default()
        })
    };
    assert_eq!(shown(""), ["auto-negotiate", "no", "no"]);
    assert_eq!(shown("-Y /x"), ["ascii", "no", "yes"]);
    assert_eq!(shown("-S -Y /x"), ["binary", "yes", "no"]);
}

#[test]
fn bad_values_name_their_option() {
    for (line, option) in [
        ("-c 0", "-c"),
        ("-c -1", "-c"),
        ("-c 12x", "-c"),
        ("-t 0", "-t"),
        ("-t 257", "-t"),
        ("-t abc", "-t"),
        ("-b -1", "-b"),
        ("-R 0", "-R"),
        ("-R -3", "-R"),
        ("-m 0", "-m"),
        ("-m 1g", "-m"),
        ("-m 99999999999999", "-m"),
        ("-m 1", "-I"),
        ("-I 1000", "-I"),
        ("-I 2000m", "-I"),
        ("-I 1g", "-I"),
        ("-I 33m", "-I"),
        ("-I 8m -m 15", "-I"),
        ("-p 65536", "-p"),
        ("-p -2", "-p"),
        ("-p abc", "-p"),
        ("-p 0", "-p"),
        ("-p 0 -l 127.0.0.1", "-p"),
        ("-a 888", "-a"),
        ("-a 1000", "-a"),
        ("-s /tmp/x -a rwx", "-a"),
        ("-Z", "-Z"),
        ("-Z -o ssl_chain_cert=", "-o ssl_chain_cert"),
        ("-Z -o ssl_chain_cert=/x,ssl_verify_mode=4", "-o ssl_verify_mode"),
        ("-Z -o ssl_chain_cert=/x,ssl_verify_mode=1", "-o ssl_verify_mode"),
        ("-Z -o ssl_chain_cert=/x,ssl_keyformat=ENGINE", "-o ssl_keyformat"),
        ("-Z -o ssl_chain_cert=/x,ssl_min_version=sslv3", "-o ssl_min_version"),
        ("-Z -o ssl_chain_cert=/x -U 5", "-U"),
        ("-l btls:127.0.0.1", "-l btls:127.0.0.1"),
        ("-Y /x -l proto[binary]:127.0.0.1", "-l proto[binary]:127.0.0.1"),
        ("-o udp_reply_max=10", "-o udp_reply_max"),
        ("-o udp_reply_max=x", "-o udp_reply_max"),
        ("-U 70000", "-U"),
        ("-U x", "-U"),
        ("-l fooble.invalid", "-l"),
        ("-l 127.0.0.1,", "-l"),
        ("-l 127.0.0.1:70000", "-l 127.0.0.1:70000"),
        ("-l 127.0.0.1:0", "-l 127.0.0.1:0"),
        ("-B http", "-B"),
        ("-f 1", "-f"),
        ("-n 0", "-n"),
        ("--cpus x", "--cpus"),
        ("--cpus 4", "--cpus"),
        ("--cpus 0,0", "--cpus"),
        ("--cpus 0-1 -t 3", "--cpus"),
        ("-o bogus", "-o"),
        ("-o idle_timeout", "-o idle_timeout"),
        ("-o idle_timeout=-1", "-o idle_timeout"),
        ("-o modern,idle_timeout=x", "-o idle_timeout"),
        ("-o hashpower=64", "-o hashpower"),
        ("-o hash_algorithm=md5", "-o hash_algorithm"),
        ("-o slab_automove=3", "-o slab_automove"),
        ("-o pipeline_order=loose", "-o pipeline_order"),
    ] {
        assert_refused(line, option);
    }
}

fn assert_refused(line: &str, option: &str) {
    let complaint = read(line).expect_err(line);
    assert!(complaint.starts_with(&format!("ringcached: {option}: ")), "{line}: {complaint}");
    assert!(!complaint.contains('\n'), "{line}: {complaint}");
}

#[test]
fn bad_values_of_rings_and_ports_name_their_option() {
    for (line, option) in [
        ("--spin-us x", "--spin-us"),
        ("--spin-us 1000001", "--spin-us"),
        ("--busy-poll 0", "--busy-poll"),
        ("--busy-poll 10001", "--busy-poll"),
        ("--ring-entries 63", "--ring-entries"),
        ("--ring-entries 1000", "--ring-entries"),
        ("--ring-entries 65536", "--ring-entries"),
        ("--recv-buffers 8", "--recv-buffers"),
        ("--recv-buffers 500", "--recv-buffers"),
        ("--recv-buffers 65536", "--recv-buffers"),
        ("--shard-ports 0", "--shard-ports"),
        ("--shard-ports 65534 -t 3", "--shard-ports"),
        ("--shard-ports 11211", "--shard-ports"),
        ("--shard-ports 11209 -t 3", "--shard-ports"),
        ("--shard-ports 5 -l 127.0.0.1:6 -t 2", "--shard-ports"),
        ("--shard-ports 5 -s /tmp/x", "--shard-ports"),
    ] {
        assert_refused(line, option);
    }
}

#[test]
fn an_item_may_have_half_of_the_memory_however_many_cores_there_are() {
    let complaint = read("-I 8m -m 15").expect_err("more than half");
    assert!(complaint.ends_with("is more than half of the 15 MiB of -m"), "{complaint}");
    assert_eq!(config("-I 8m -t 8 -m 64").cores.len(), 8);
    assert_eq!(config("-I 8m -t 4 -m 16").cores.len(), 4);
}

#[test]
fn settings_have_memcacheds_names_and_true_values() {
    let config = config("-m 128 -c 7 -M -t 2 -F -X -A -C -o idle_timeout=9 -l 127.0.0.1:5,[::1]:6");
    let settings = config.settings();
    let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    let expected = "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask \
        shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix detail_enabled \
        reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl auth_enabled_ascii item_size_max \
        maxconns_fast hashpower_init slab_reassign slab_automove slab_automove_ratio slab_automove_window \
        slab_chunk_max lru_crawler lru_crawler_sleep lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled \
        hash_algorithm lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor \
        temp_lru temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes \
        inline_ascii_response ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert \
        ssl_wbuf_size ssl_session_cache ssl_kernel_tls ssl_min_version num_napi_ids memory_file client_flags_size";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    for (name, value) in [
        ("maxbytes", "134217728"),
        ("maxconns", "7"),
        ("inter", "127.0.0.1:5,[::1]:6"),
        ("evictions", "off"),
        ("shutdown_command", "yes"),
        ("num_threads", "2"),
        ("reqs_per_event", "512"),
        ("cas_enabled", "no"),
        ("flush_enabled", "no"),
        ("dump_enabled", "no"),
        ("idle_timeout", "9"),
    ] {
        assert!(settings.contains(&(name, value.to_owned())), "{name}");
    }
}

/// Exit code, standard output and standard error of the program; for command lines that end before a server starts.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringcached")).args(arguments).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_help_page_lists_what_is_there() {
    let (code, page, errors) = run(&["-h"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(run(&["--help"]).1, page);
    for absent in ["ext_path", "proxy_config", "slab-"] {
        assert!(!page.contains(absent), "{absent}");
    }
    for present in [
        "enable-sasl",
        "unix-socket",
        "enable-ssl",
        "udp-port",
        "ssl_chain_cert=",
        "-p, --port",
        "-m, --memory-limit",
        "--cpus",
        "idle_timeout=",
        "pipeline_order=",
        "Examples:",
    ] {
        assert!(page.contains(present), "{present}");
    }
    let width = page.lines().map(str::len).max();
    assert!(width <= Some(110), "{width:?}");
}

#[test]
fn pages_end_with_exit_code_0() {
    let version = format!("ringcached {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["-V"]), (Some(0), version.clone(), String::new()));
    assert_eq!(run(&["--version"]).1, version);
    let (code, page, errors) = run(&["-i"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(page.contains("MIT") && page.contains("Apache"));
}

#[test]
fn a_refusal_is_one_line_and_exit_code_2() {
    for arguments in [
        &["-c", "0"][..],
        &["-c", "-1"],
        &["-l", "fooble.invalid"],
        &["-B", "http"],
        &["-S", "-B", "auto"],
        &["-I", "1000"],
        &["-I", "40m"],
        &["-t", "0"],
        &["-o", "bogus"],
        &["-o", "modern\nmodern"],
        &["--bogus"],
        &["-p"],
        &["-d=yes"],
        &["--enable-ssl=x"],
        &["word"],
        &["--disable"],
        &["line\nbreak"],
        &["-u", "no-such-user-here", "-c", "0"],
    ] {
        let (code, page, errors) = run(arguments);
        assert_eq!((code, page.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(errors.starts_with("ringcached: ") && errors.ends_with('\n'), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    }
}
