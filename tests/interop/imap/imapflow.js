// Carry out the steps of standard input with imapflow; print what each gave.
// argv: the path of the library. Each line of standard output is one JSON value: first those of "say", last the results.
'use strict';
globalThis.crypto ??= require('crypto').webcrypto; // node 18, which Debian 12 has, keeps it there
const { ImapFlow } = require(process.argv[2]);
const readline = require('readline');

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const events = [];
let wake = () => {};

function given(value) {
  if (value && typeof value === 'object') {
    if ('base64' in value) return Buffer.from(value.base64, 'base64');
    for (const key of Object.keys(value)) value[key] = given(value[key]);
  }
  return value;
}

function plain(value) {
  if (typeof value === 'bigint') return Number(value);
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') };
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Set) return [...value].map(plain).sort();
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]));
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([, each]) => typeof each !== 'function').map(([key, each]) => [key, plain(each)]));
  }
  return value;
}

function say(value) {
  process.stdout.write(JSON.stringify(value === undefined ? null : value) + '\n');
}

async function read(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

const own = {
  say: async (client, word) => say(word),
  event: async (client, type) => {
    for (;;) {
      const at = events.findIndex((each) => each.type === type);
      if (at >= 0) return events.splice(at, 1)[0];
      await new Promise((resolve) => { wake = resolve; });
    }
  },
  idle: async (client) => { client.idle().catch(() => {}); },
  download: async (client, ...rest) => read((await client.download(...rest)).content),
  capabilities: async (client) => [...client.capabilities.keys()],
  secure: async (client) => client.secureConnection,
  attempt: async (client, method, ...rest) => {
    try { return await (own[method] ? own[method](client, ...rest) : client[method](...rest)); }
    catch (error) { return { error: error.responseText || error.message, code: error.serverResponseCode }; }
  },
};

async function main() {
  const { options, steps } = JSON.parse((await lines.next()).value);
  const client = new ImapFlow({ ...options, logger: false });
  for (const type of ['exists', 'expunge', 'flags']) {
    client.on(type, (event) => { events.push({ type, ...plain(event) }); wake(); });
  }
  client.on('error', (error) => { console.error(error); process.exit(1); });
  await client.connect();
  const results = [];
  for (const [method, ...rest] of steps) {
    const does = own[method] || ((flow, ...each) => flow[method](...each));
    try {
      results.push(plain(await does(client, ...rest.map(given))));
    } catch (error) {
      throw new Error(`${method} ${JSON.stringify(rest).slice(0, 300)}: ${error.responseText || ''} ${error.stack}`);
    }
  }
  await client.logout();
  process.stdout.write(JSON.stringify(results) + '\n', () => process.exit(0));
}

main().catch((error) => { console.error(error); process.exit(1); });
