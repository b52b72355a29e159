// A real server with a real worker in a process of its own (tests/src/bin/headway-test-steered.rs), with its data in a
// folder, or a schema and queues, of its own. It ends when this process does, for its standard input does then.

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { PATIENCE } from "./until.ts";

const repository = resolve(import.meta.dirname, "../../../..");
const runDirectory = resolve(repository, process.env.HEADWAY_RUN_DIR ?? ".run");
const program = join(
  resolve(repository, process.env.CARGO_TARGET_DIR ?? "target"),
  "debug/headway-test-steered",
);

/** Settings of a server by the name of their variable, as in `HEADWAY_MAX_WATCHES`. */
export type Settings = Record<string, string>;

/** The job types of the examples. */
export const JOB_TYPES = { HEADWAY_JOB_TYPES_DIR: join(repository, "examples/job-types") };

/**
 * Where a server lives on shared services, in a schema and with queues of its own: nowhere unless the tests are run so
 * (`HEADWAY_TEST_BACK_END=cluster`).
 */
function place(): Settings {
  const {
    HEADWAY_TEST_BACK_END: backEnd = "embedded",
    HEADWAY_TEST_DATABASE_URL: database,
    HEADWAY_TEST_AMQP_URL: amqp,
  } = process.env;
  if (backEnd === "embedded") {
    return {};
  }
  if (backEnd !== "cluster") {
    throw new Error(`HEADWAY_TEST_BACK_END is embedded or cluster, not ${backEnd}`);
  }
  if (database === undefined || amqp === undefined) {
    throw new Error(
      "HEADWAY_TEST_DATABASE_URL and HEADWAY_TEST_AMQP_URL must be set: run `make test`, which starts private services",
    );
  }
  const id = randomUUID().replaceAll("-", "");
  return {
    HEADWAY_DATABASE_URL: database,
    HEADWAY_BROKER_URL: amqp,
    HEADWAY_DATABASE_SCHEMA: `web_${id}`,
    HEADWAY_PREFIX: `web-${id}`,
  };
}

export class Server {
  readonly folder: string;
  private readonly settings: Settings;
  private readonly place = place();
  private child: ChildProcess | undefined;
  private listen = "127.0.0.1:0";

  private constructor(settings: Settings) {
    mkdirSync(runDirectory, { recursive: true });
    this.folder = mkdtempSync(join(runDirectory, "web-"));
    this.settings = settings;
  }

  static async start(settings: Settings = {}): Promise<Server> {
    if (!existsSync(program)) {
      throw new Error(`${program} is not built: cargo build -p headway-tests --bins`);
    }
    const server = new Server(settings);
    try {
      await server.restart();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  /** The origin: scheme, host and port. */
  get url(): string {
    return `http://${this.listen}`;
  }

  /** Starts it again after `kill` or `stop`, on the same port and data. */
  async restart(): Promise<void> {
    const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"], env: this.environment() });
    this.child = child;
    const ended = once(child, "exit").then(([code, signal]) => {
      throw new Error(`the server ended before it was ready: ${code ?? signal}`);
    });
    const ready = async () => {
      for await (const line of createInterface(child.stdout!)) {
        const address = /^ready (.+)$/.exec(line)?.[1];
        if (address !== undefined) {
          return address;
        }
      }
      return await ended;
    };
    this.listen = await inTime("the server begins", Promise.race([ready(), ended]));
    ended.catch(() => {}); // It may end from now on.
    child.stdout!.resume();
  }

  private environment(): NodeJS.ProcessEnv {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HEADWAY_"));
    return {
      ...Object.fromEntries(inherited),
      HEADWAY_LOG: "warn",
      HEADWAY_FILE_ROOTS: [this.folder, tmpdir()].join(),
      ...this.settings,
      ...this.place,
      HEADWAY_LISTEN: this.listen,
      HEADWAY_DATA_DIR: join(this.folder, "data"),
    };
  }

  /** Kills it, as a fault does. */
  async kill(): Promise<void> {
    await this.end((child) => child.kill("SIGKILL"));
  }

  /** Ends it in order, which must go well. */
  async stop(): Promise<void> {
    const code = await this.end((child) => child.stdin!.end());
    if (code !== undefined && code !== 0) {
      throw new Error(`the server ended with ${code}`);
    }
  }

  private async end(how: (child: ChildProcess) => void): Promise<number | string | undefined> {
    const child = this.child;
    this.child = undefined;
    if (child === undefined) {
      return undefined;
    }
    if (child.exitCode !== null || child.signalCode !== null) {
      return child.exitCode ?? child.signalCode ?? undefined;
    }
    const exit = once(child, "exit");
    how(child);
    try {
      const [code, signal] = await inTime("the server ends", exit);
      return code ?? signal;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  /** Stops it and removes its folder, whatever happens. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.stop();
    } finally {
      await this.remove();
    }
  }

  private async remove(): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    if (this.place.HEADWAY_PREFIX !== undefined) {
      const removal = spawn(program, ["remove"], {
        stdio: ["ignore", "ignore", "inherit"],
        env: this.environment(),
      });
      const [code] = await inTime("its schema and queues are removed", once(removal, "exit"));
      if (code !== 0) {
        throw new Error(`its schema or queues are left: ${code}`);
      }
    }
  }

  /** A file that lets this many items through (`gate` in the payload of an item). */
  gate(name: string): Gate {
    return new Gate(join(this.folder, name));
  }
}

/** A file that items wait for. */
export class Gate {
  constructor(readonly path: string) {}

  /** Lets the items below this number end. */
  open(items: number): void {
    writeFileSync(this.path, String(items));
  }

  /** Makes the file go away. */
  remove(): void {
    rmSync(this.path, { force: true });
  }
}

async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE} ms in vain: ${what}`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
