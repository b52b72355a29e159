// The generated types that the tests use, and a client of the API for the tests themselves.

import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { type Api, makeApi } from "../../src/lib/api/client.ts";

export type { Api };
export { EventService } from "../../src/gen/headway/v1/event_pb.ts";
export * from "../../src/gen/headway/v1/job_pb.ts";
export { JobService } from "../../src/gen/headway/v1/job_service_pb.ts";
export * from "../../src/gen/headway/v1/job_spec_pb.ts";
export { JobTypeService } from "../../src/gen/headway/v1/job_type_pb.ts";
export { PartitionService } from "../../src/gen/headway/v1/partition_pb.ts";
export { PipeService } from "../../src/gen/headway/v1/pipe_pb.ts";
export { ScheduleService } from "../../src/gen/headway/v1/schedule_pb.ts";
export {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../src/gen/google/rpc/error_details_pb.ts";

/** A client of all services of the server at this address. */
export function api(baseUrl: string): Api {
  return makeApi(createGrpcWebTransport({ baseUrl }));
}
