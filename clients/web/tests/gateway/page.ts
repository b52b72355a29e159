// What runs in the page: the same calls by the two grpc-web libraries that there are, with JSON in and out. It is
// bundled and put into pages as `gateway`.

import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { type Any, AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { base64Decode, BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebClientBase, MethodDescriptor, type RpcError } from "grpc-web";

import {
  api,
  BadRequestSchema,
  ErrorInfoSchema,
  EventService,
  JobService,
  JobTypeService,
  PartitionService,
  PipeService,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
  ScheduleService,
} from "../lib/api.ts";

/** The library, and how it writes messages. */
export type Library = "connect-web" | "grpc-web" | "grpc-web-text";
/** The methods of all services; no two services have a method of the same name. */
const METHODS = {
  ...JobService.method,
  ...ScheduleService.method,
  ...JobTypeService.method,
  ...PartitionService.method,
  ...PipeService.method,
  ...EventService.method,
};
export type Method = keyof typeof METHODS;

/** An error as a page sees it; details by the name of their type. */
export interface Failure {
  code: string;
  message: string;
  details: Record<string, JsonValue>;
}

export interface Answer {
  message?: JsonValue;
  error?: Failure;
}

/** What a stream brought up to now. */
export interface Received {
  messages: JsonValue[];
  error?: Failure;
  ended: boolean;
}

interface Open extends Received {
  cancel: () => void;
}

const details: DescMessage[] = [
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
];
const streams: Open[] = [];

/** Makes a call and waits for its answer. */
export async function call(
  base: string,
  library: Library,
  name: Method,
  request: JsonValue,
): Promise<Answer> {
  const method: DescMethod = METHODS[name];
  const input = fromJson(method.input, request);
  try {
    if (library === "connect-web") {
      const transport = createGrpcWebTransport({ baseUrl: base });
      const response = await transport.unary(
        method as never,
        undefined,
        undefined,
        undefined,
        input as never,
      );
      return { message: toJson(method.output, response.message) };
    }
    const response = await new Promise<Message>((resolve, reject) => {
      const done = (error: RpcError | null, response: Message) =>
        error ? reject(error) : resolve(response);
      official(library).rpcCall(
        address(base, method),
        input,
        {},
        descriptor(method, "unary"),
        done,
      );
    });
    return { message: toJson(method.output, response) };
  } catch (error) {
    return { error: failure(error) };
  }
}

/** Opens a stream; answers its number. */
export function open(base: string, library: Library, name: Method, request: JsonValue): number {
  const method: DescMethod = METHODS[name];
  const input = fromJson(method.input, request);
  const stream: Open = { messages: [], ended: false, cancel: () => {} };
  const end = (error?: unknown) => {
    stream.ended = true;
    if (error !== undefined) {
      stream.error = failure(error);
    }
  };
  if (library === "connect-web") {
    const abort = new AbortController();
    stream.cancel = () => abort.abort();
    const client = api(base);
    const read = async () => {
      const messages = (client[name] as Function)(input, {
        signal: abort.signal,
      }) as AsyncIterable<Message>;
      for await (const message of messages) {
        stream.messages.push(toJson(method.output, message));
      }
    };
    void read().then(() => end(), end);
  } else {
    const reading = official(library).serverStreaming(
      address(base, method),
      input,
      {},
      descriptor(method, "server_streaming"),
    );
    reading.on("data", (message) => stream.messages.push(toJson(method.output, message)));
    reading.on("error", (error) => end(error));
    reading.on("end", () => end());
    stream.cancel = () => reading.cancel();
  }
  return streams.push(stream) - 1;
}

/** What a stream brought. */
export function received(number: number): Received {
  const { messages, error, ended } = streams[number]!;
  return error === undefined ? { messages, ended } : { messages, error, ended };
}

/** Gives up a stream. */
export function cancel(number: number): void {
  streams[number]!.cancel();
}

function official(library: Library): GrpcWebClientBase {
  return new GrpcWebClientBase({ format: library === "grpc-web" ? "binary" : "text" });
}

function address(base: string, method: DescMethod): string {
  return `${base}/${method.parent.typeName}/${method.name}`;
}

function descriptor(method: DescMethod, kind: string): MethodDescriptor<Message, Message> {
  class Any {}
  return new MethodDescriptor(
    `/${method.parent.typeName}/${method.name}`,
    kind,
    Any as never,
    Any as never,
    (message: Message) => toBinary(method.input, message),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

function failure(error: unknown): Failure {
  if (error instanceof ConnectError) {
    const found: Record<string, JsonValue> = {};
    for (const schema of details) {
      for (const detail of error.findDetails(schema)) {
        found[schema.typeName] = toJson(schema, detail);
      }
    }
    return { code: Code[error.code], message: error.rawMessage, details: found };
  }
  const { code, message, metadata } = error as RpcError;
  const found: Record<string, JsonValue> = {};
  const packed = metadata?.["grpc-status-details-bin"];
  if (packed !== undefined) {
    for (const any of packedDetails(base64Decode(packed))) {
      for (const schema of details) {
        const detail = anyUnpack(any, schema);
        if (detail !== undefined) {
          found[schema.typeName] = toJson(schema, detail);
        }
      }
    }
  }
  return { code: Code[code] ?? String(code), message, details: found };
}

/** The field `details` of a `google.rpc.Status`, which the official library leaves to its callers. */
function packedDetails(status: Uint8Array): Any[] {
  const reader = new BinaryReader(status);
  const found: Any[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 3 && wireType === WireType.LengthDelimited) {
      found.push(fromBinary(AnySchema, reader.bytes()));
    } else {
      reader.skip(wireType);
    }
  }
  return found;
}
