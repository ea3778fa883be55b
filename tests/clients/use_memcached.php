<?php
// The scenario with PHP's memcached, by text and by the binary protocol, and its sessions.

function same(string $what, $found, $expected): void
{
    if ($found !== $expected) {
        fwrite(STDERR, "FAILED: $what: found " . substr(var_export($found, true), 0, 200) . ', expected '
            . substr(var_export($expected, true), 0, 200) . "\n");
        exit(1);
    }
}

[$host, $port] = explode(':', $argv[1]);

function connect(bool $binary): Memcached
{
    global $host, $port;
    $client = new Memcached();
    $client->setOptions([
        Memcached::OPT_BINARY_PROTOCOL => $binary,
        Memcached::OPT_COMPRESSION => false,
        Memcached::OPT_LIBKETAMA_COMPATIBLE => true,
        Memcached::OPT_RETRY_TIMEOUT => 0,
        Memcached::OPT_SERVER_FAILURE_LIMIT => 1000,
    ]);
    $client->addServer($host, (int) $port);
    return $client;
}

foreach ([false, true] as $binary) {
    $client = connect($binary);
    $other = connect($binary);
    same('flush', $client->flush(), true);
    same('get of nothing', $client->get('a'), false);
    same('set', $client->set('a', 'one'), true);
    same('get', $client->get('a'), 'one');
    same('add of what is there', $client->add('a', 'x'), false);
    same('replace of nothing', $client->replace('c', 'x'), false);
    same('append', $client->append('a', '!'), true);

    $first = $client->get('a', null, Memcached::GET_EXTENDED);
    $second = $other->get('a', null, Memcached::GET_EXTENDED);
    same('get with its version', $first['value'], 'one!');
    same('cas', $client->cas($first['cas'], 'a', 'ONE'), true);
    same('cas of who was late', $other->cas($second['cas'], 'a', 'x'), false);
    same('why', $other->getResultCode(), Memcached::RES_DATA_EXISTS);

    same('set of a number', $client->set('number', 10), true);
    same('increment', $client->increment('number', 5), 15);
    same('decrement', $client->decrement('number', 20), 0);
    same('touch', $client->touch('a', 100), true);
    same('delete', $client->delete('a'), true);
    same('delete of nothing', $client->delete('a'), false);

    same('set for a second', $client->set('short', 'x', 1), true);
    usleep(2600000);
    same('get of what has expired', $client->get('short'), false);

    $large = str_repeat("\x00\xFF\r\nEND\r\n0123456789", 50000);
    same('set of a large value', $client->set('large', $large), true);
    same('get of a large value', $client->get('large') === $large, true);
    same('a key of 250', $client->set(str_repeat('k', 250), 'x'), true);
    same('get of a key of 250', $client->get(str_repeat('k', 250)), 'x');

    $many = [];
    for ($number = 0; $number < 200; $number++) {
        $many["many-$number"] = str_repeat((string) $number, $number % 100 + 1);
    }
    same('set of many', $client->setMulti($many), true);
    same('get of many', $client->getMulti(array_keys($many), Memcached::GET_PRESERVE_ORDER), $many);
    same('stats', isset($client->getStats()["$host:$port"]['curr_items']), true);

    if (getenv('RESTART')) {
        exec(getenv('RESTART'), $output, $code);
        same('a restart', $code, 0);
        for ($attempt = 0; $attempt < 100 && !$client->set('again', 'x'); $attempt++) {
            usleep(100000);
        }
        same('after a restart', $client->get('again'), 'x');
    }
}

ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', "$host:$port");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
session_id('scenario');
same('a session opens', session_start(), true);
$_SESSION['what'] = 'kept';
session_write_close();
$_SESSION = [];
same('it opens again', session_start(), true);
same('what is kept', $_SESSION['what'] ?? null, 'kept');
same('it ends', session_destroy(), true);
