// Asks no name server, accepts every recipient, streams each message into a file and renames it.
"use strict";
const fs = require("fs");
const path = require("path");

exports.hook_lookup_rdns = (next) => next(OK, "client.example");

exports.hook_rcpt = (next) => next(OK);

exports.hook_queue = (next, connection) => {
  const name = path.join(process.env.STORE, connection.transaction.uuid);
  const file = fs.createWriteStream(`${name}.tmp`);
  file.on("finish", () => fs.rename(`${name}.tmp`, name, (error) => next(error ? DENYSOFT : OK)));
  file.on("error", () => next(DENYSOFT));
  connection.transaction.message_stream.pipe(file);
};
