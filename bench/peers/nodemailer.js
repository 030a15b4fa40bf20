// Nodemailer's smtp-server, storing each message as a file: streamed, then renamed.
// Usage: nodemailer.js MODULES DIR PORT
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, directory, port] = process.argv.slice(2);
const { SMTPServer } = require(path.join(modules, "smtp-server"));

let count = 0;
new SMTPServer({
  authOptional: true,
  disabledCommands: ["AUTH", "STARTTLS"],
  disableReverseLookup: true,
  maxClients: Infinity,
  onData(stream, _session, done) {
    const name = path.join(directory, String(count++));
    const file = fs.createWriteStream(`${name}.tmp`);
    stream.pipe(file);
    file.on("finish", () => fs.rename(`${name}.tmp`, name, done));
    file.on("error", done);
  },
}).listen(Number(port), "127.0.0.1");
