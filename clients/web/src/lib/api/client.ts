// The one client of the API: grpc-web to the origin that served this page.
import {
  createClient,
  encodeBinaryHeader,
  type Client,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { EventService } from "../../gen/headway/v1/event_pb";
import { JobService } from "../../gen/headway/v1/job_service_pb";
import { JobTypeService } from "../../gen/headway/v1/job_type_pb";
import { PartitionService } from "../../gen/headway/v1/partition_pb";
import { PipeService } from "../../gen/headway/v1/pipe_pb";
import { ScheduleService } from "../../gen/headway/v1/schedule_pb";

/** The methods of all services in one object: no two services have a method of the same name. */
export type Api = Client<typeof JobService> &
  Client<typeof ScheduleService> &
  Client<typeof JobTypeService> &
  Client<typeof PartitionService> &
  Client<typeof PipeService> &
  Client<typeof EventService>;

/** Unary calls are given up after so long, in ms. */
const UNARY_TIMEOUT = 30_000;

/** Who acts, as the server records it (`x-headway-user`); empty says nothing. */
let actor = "";

/** Sets who acts. */
export function setActor(name: string): void {
  actor = name.trim();
}

/** The header that says who acts: as it is in ASCII, else as bytes. */
export function actorHeader(): [string, string] | undefined {
  if (!actor) return undefined;
  if (/^[\x20-\x7e]*$/.test(actor)) return ["x-headway-user", actor];
  return ["x-headway-user-bin", encodeBinaryHeader(new TextEncoder().encode(actor))];
}

const saysWhoAsks: Interceptor = (next) => (request) => {
  const named = actorHeader();
  if (named) request.header.set(...named);
  return next(request);
};

/** A client of every service, over one transport. */
export function makeApi(transport: Transport): Api {
  return {
    ...createClient(JobService, transport),
    ...createClient(ScheduleService, transport),
    ...createClient(JobTypeService, transport),
    ...createClient(PartitionService, transport),
    ...createClient(PipeService, transport),
    ...createClient(EventService, transport),
  };
}

/** The client of this page. Streams have no timeout: they are watched over in `stream.ts`. */
export const api: Api = makeApi(
  createGrpcWebTransport({
    baseUrl: globalThis.location?.origin ?? "http://localhost",
    interceptors: [saysWhoAsks],
  }),
);

/** Options of a unary call: a bound on its time, and the identifier by which the audit log finds it again. */
export function unary(signal?: AbortSignal, correlation?: string) {
  return {
    timeoutMs: UNARY_TIMEOUT,
    ...(signal ? { signal } : {}),
    ...(correlation ? { headers: { "x-correlation-id": correlation } } : {}),
  };
}

/** A random identifier. `randomUUID` exists only where the page came by https or from this machine. */
export function randomId(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}
