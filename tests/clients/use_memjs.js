// The scenario with memjs, which speaks the binary protocol.
'use strict';

const assert = require('node:assert/strict');
const { execSync } = require('node:child_process');
const { Client } = require('memjs');

const LARGE = Buffer.from('\x00\xff\r\nEND\r\n0123456789'.repeat(50000), 'latin1');
const connect = () => Client.create(process.argv[2], { timeout: 30, conntimeout: 30, retries: 2, failoverTime: 0 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const text = async (client, key) => (await client.get(key)).value?.toString() ?? null;

async function main() {
  const client = connect();
  await client.flush();
  assert.equal(await text(client, 'a'), null, 'get of nothing');
  assert.equal(await client.set('a', 'one', {}), true, 'set');
  assert.equal(await text(client, 'a'), 'one', 'get');
  assert.equal(await client.add('a', 'x', {}), false, 'add of what is there');
  assert.equal(await client.replace('c', 'x', {}), false, 'replace of nothing');
  assert.equal(await client.append('a', '!'), true, 'append');
  assert.equal(await text(client, 'a'), 'one!', 'what was appended');

  assert.equal((await client.increment('number', 5, { initial: 10 })).value, 10, 'increment that creates');
  assert.equal((await client.increment('number', 5, {})).value, 15, 'increment');
  assert.equal((await client.decrement('number', 20, {})).value, 0, 'decrement');
  assert.equal(await client.touch('a', 100), true, 'touch');
  assert.equal(await client.delete('a'), true, 'delete');
  assert.equal(await client.delete('a'), false, 'delete of nothing');

  await client.set('short', 'x', { expires: 1 });
  await sleep(2600);
  assert.equal(await text(client, 'short'), null, 'get of what has expired');

  assert.equal(await client.set('large', LARGE, {}), true, 'set of a large value');
  assert.ok(LARGE.equals((await client.get('large')).value), 'get of a large value');
  assert.equal(await client.set('k'.repeat(250), 'x', {}), true, 'a key of 250');
  assert.equal(await text(client, 'k'.repeat(250)), 'x', 'get of a key of 250');

  const keys = Array.from({ length: 200 }, (_, number) => `many-${number}`);
  for (const key of keys) assert.equal(await client.set(key, key.repeat(3), {}), true, 'set of many');
  const found = await Promise.all(keys.map((key) => text(client, key)));
  assert.deepEqual(found, keys.map((key) => key.repeat(3)), 'get of many, all asked at once');

  if (process.env.RESTART) {
    execSync(process.env.RESTART, { stdio: 'inherit' });
    let again = null;
    for (let attempt = 0; attempt < 100 && again !== 'x'; attempt += 1) {
      try {
        const fresh = attempt % 2 ? connect() : client;
        await fresh.set('again', 'x', {});
        again = await text(fresh, 'again');
      } catch { await sleep(100); }
    }
    assert.equal(again, 'x', 'after a restart');
  }
  process.exit(0);
}

main().catch((error) => {
  console.error('FAILED:', error);
  process.exit(1);
});
