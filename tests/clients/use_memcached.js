// The scenario with node's memcached.
'use strict';

const assert = require('node:assert/strict');
const { promisify } = require('node:util');
const Memcached = require('memcached');

// The library writes line ends and high bytes of a Buffer as two characters, so there are none.
const LARGE = Buffer.alloc(900000, '\0 END 0123456789', 'latin1');

function connect(options) {
  const client = new Memcached(process.argv[2], { retries: 0, timeout: 30000, maxValue: 4 << 20, ...options });
  client.on('failure', (details) => fail(new Error(`failure: ${JSON.stringify(details)}`)));
  const methods = ['get', 'gets', 'getMulti', 'set', 'add', 'replace', 'append', 'prepend', 'cas', 'incr', 'decr',
    'touch', 'del', 'stats', 'settings', 'version', 'flush'];
  return Object.assign(Object.fromEntries(methods.map((name) => [name, promisify(client[name]).bind(client)])),
    { end: () => client.end() });
}

function fail(error) {
  console.error('FAILED:', error);
  process.exit(1);
}

async function basics(client) {
  await client.flush();
  assert.equal(await client.get('a'), undefined, 'get of nothing');
  assert.equal(await client.set('a', 'one', 0), true, 'set');
  assert.equal(await client.get('a'), 'one', 'get');
  await assert.rejects(client.add('a', 'x', 0), /not stored/i, 'add of what is there');
  assert.equal(await client.add('b', '2', 0), true, 'add');
  assert.equal(await client.replace('b', '2', 0), true, 'replace');
  await assert.rejects(client.replace('c', 'x', 0), /not stored/i, 'replace of nothing');
  assert.equal(await client.append('b', '3'), true, 'append');
  assert.equal(await client.prepend('b', '1'), true, 'prepend');
  await assert.rejects(client.append('c', 'x'), /not stored/i, 'append of nothing');
  assert.equal(String(await client.get('b')), '123', 'what was appended');
  assert.deepEqual({ ...await client.getMulti(['a', 'c']) }, { a: 'one' }, 'multi-get');

  const { a, cas } = await client.gets('a');
  assert.equal(a, 'one', 'gets');
  assert.equal(await client.cas('a', 'ONE', cas, 0), true, 'cas');
  assert.equal(await client.cas('a', 'x', cas, 0), false, 'cas that is stale');

  assert.equal(await client.incr('b', 7), 130, 'incr');
  assert.equal(await client.decr('b', 100), 30, 'decr');
  assert.equal(await client.incr('c', 1), false, 'incr of nothing');
  await assert.rejects(client.incr('a', 1), /non-numeric/, 'incr of text');
  assert.equal(await client.touch('a', 100), true, 'touch');
  assert.equal(await client.touch('c', 100), false, 'touch of nothing');
  assert.equal(await client.del('a'), true, 'delete');
  assert.equal(await client.del('a'), false, 'delete of nothing');

  await client.set('short', 'x', 1);
  await new Promise((resolve) => setTimeout(resolve, 2600));
  assert.equal(await client.get('short'), undefined, 'get of what has expired');
}

async function values(client) {
  assert.equal(await client.set('large', LARGE, 0), true, 'set of a large value');
  assert.deepEqual(await client.get('large'), LARGE, 'get of a large value');
  const thing = { list: [1, 2.5, null], text: 'grüße' };
  for (const [key, value] of Object.entries({ object: thing, number: 42, text: 'grüße', truth: true })) {
    await client.set(key, value, 0);
    assert.deepEqual(await client.get(key), value, `get of ${key}`);
  }
  await assert.rejects(client.set('a\nb', 'x', 0), undefined, 'a key with a control character');
  await assert.rejects(client.set('a b', 'x', 0), undefined, 'a key with a blank');
}

async function many(client) {
  const numbers = Array.from({ length: 500 }, (_, number) => number);
  const text = (number) => `${number}:`.repeat(number % 100 + 1);
  await Promise.all(numbers.map((number) => client.set(`many-${number}`, text(number), 0)));
  const found = await client.getMulti(numbers.map((number) => `many-${number}`));
  assert.equal(Object.keys(found).length, numbers.length, 'get of many');
  numbers.forEach((number) => assert.equal(found[`many-${number}`], text(number), `many-${number}`));
  await Promise.all(numbers.map((number) => client.del(`many-${number}`)));
  assert.deepEqual({ ...await client.getMulti(numbers.map((number) => `many-${number}`)) }, {}, 'get of many deleted');
}

async function administration(client) {
  const [statistics] = await client.stats();
  assert.ok('curr_items' in statistics && 'get_hits' in statistics, 'names in stats');
  const [version] = await client.version();
  // The library looks for a number at the end of the line: it shows ours, not that of the memcached we answer like.
  assert.match(version.version, /^\d+\.\d+\.\d+$/, 'version');
  const [settings] = await client.settings();
  assert.ok('maxbytes' in settings, 'stats settings');
  await client.flush();
  assert.equal(await client.get('b'), undefined, 'get after flush_all');
}

async function main() {
  for (const poolSize of [1, 10]) {
    const client = connect({ poolSize });
    await basics(client);
    await values(client);
    await many(client);
    await administration(client);
    client.end();
  }
}

main().catch(fail);
