// The generated types that the tests use, and a client of the API for the tests themselves.

import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';

import { JobService } from '../../src/gen/headway/v1/job_service_pb.ts';

export { JobService };
export * from '../../src/gen/headway/v1/job_pb.ts';
export {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../../src/gen/google/rpc/error_details_pb.ts';

export type Api = Client<typeof JobService>;

/** A client of the server at this address. */
export function api(baseUrl: string): Api {
  return createClient(JobService, createGrpcWebTransport({ baseUrl }));
}
