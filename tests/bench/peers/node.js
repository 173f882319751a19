// What the peers under Node share: a process for each of two cores, and a function from a body to an answer.
import cluster from "node:cluster";
import { createServer } from "node:http";

export function serve(decide) {
  if (cluster.isPrimary) {
    cluster.fork();
    cluster.fork();
    return;
  }
  createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const answer = Buffer.from(decide(Buffer.concat(pieces).toString()));
      response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
      response.end(answer);
    });
  }).listen(Number(process.argv[2]), "127.0.0.1");
}
