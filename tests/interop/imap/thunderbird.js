// Run inside Thunderbird, before each script of thunderbird.py: what the user does there, in words.
'use strict';
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const FOLDER_BUSY = 0x8055000a; // NS_MSG_FOLDER_BUSY

function server() {
  return MailServices.accounts.accounts[0].incomingServer.QueryInterface(Ci.nsIImapIncomingServer);
}

function connect(host, port, user, password) {
  const made = MailServices.accounts.createIncomingServer(user, host, 'imap');
  Object.assign(made, { port, socketType: 3, authMethod: 3, password, valid: true, loginAtStartUp: false, doBiff: false });
  made.QueryInterface(Ci.nsIImapIncomingServer).usingSubscription = false;
  const account = MailServices.accounts.createAccount();
  const identity = MailServices.accounts.createIdentity();
  Object.assign(identity, { email: user, valid: true });
  account.addIdentity(identity);
  account.incomingServer = made;
  made.performExpand(null);
}

// The path of a folder as its user reads it.
function path(folder) {
  return folder.parent.isServer ? folder.name : `${path(folder.parent)}/${folder.name}`;
}

function folders() {
  return server().rootFolder.descendants;
}

function find(name) {
  const found = folders().find((each) => path(each).toLowerCase() === name.toLowerCase());
  if (!found) throw new Error(`no folder ${name} in ${folders().map(path)}`);
  return found;
}

// An error that knows its number, as those have that Thunderbird throws.
function failed(status, where = '') {
  return Object.assign(new Error(where + status.toString(16)), { result: status });
}

// Whether `act` was done: not while something else is at work in the folder, and then it is to be tried again.
async function unlessBusy(folder, act) {
  if (folder.locked) return false;
  try {
    await act();
  } catch (error) {
    if (error.result === FOLDER_BUSY) return false;
    throw error;
  }
  return true;
}

// The end of what `start` begins with a listener of URLs.
function running(start) {
  return new Promise((resolve, reject) => {
    start({
      QueryInterface: ChromeUtils.generateQI(['nsIUrlListener']),
      OnStartRunningUrl() {},
      OnStopRunningUrl(url, status) {
        if (Components.isSuccessCode(status)) resolve();
        else reject(failed(status, `${url && url.spec}: `));
      },
    });
  });
}

function update(name) {
  const folder = find(name).QueryInterface(Ci.nsIMsgImapMailFolder);
  return unlessBusy(folder, () => running((listener) => folder.updateFolderWithListener(null, listener)));
}

function download(name) {
  const folder = find(name);
  return unlessBusy(folder, () => folder.downloadMessagesForOffline(headers(name), null));
}

function headers(name) {
  return [...find(name).messages];
}

function chosen(name, uids) {
  return headers(name).filter((each) => uids.includes(each.messageKey));
}

function downloaded(header) {
  return header.flags & Ci.nsMsgMessageFlags.Offline;
}

// A message as it lies on the disk after download().
function octets(header) {
  const stream = header.folder.getMsgInputStream(header);
  const reader = Cc['@mozilla.org/binaryinputstream;1'].createInstance(Ci.nsIBinaryInputStream);
  reader.setInputStream(stream);
  const pieces = [];
  for (let count; (count = stream.available()) > 0;) pieces.push(reader.readBytes(count));
  stream.close();
  return btoa(pieces.join(''));
}

function moved(from, uids, to) {
  return unlessBusy(find(from), () => new Promise((resolve, reject) => {
    MailServices.copy.copyMessages(find(from), chosen(from, uids), find(to), true, {
      QueryInterface: ChromeUtils.generateQI(['nsIMsgCopyServiceListener']),
      onStartCopy() {},
      onProgress() {},
      setMessageKey() {},
      getMessageId() { return null; },
      onStopCopy(status) { Components.isSuccessCode(status) ? resolve() : reject(failed(status)); },
    }, null, false);
  }));
}
