/**
 * LXD's answers, as far as strata reads them. Those of Incus are the same; members that only one of them has
 * are optional, and unknown members are ignored.
 */
import { z } from "zod";

const strings = z.record(z.string(), z.string());
/** Go's nil maps and slices are null in JSON. */
const stringsOrNull = strings.nullish().transform((value) => value ?? {});
const devices = z
  .record(z.string(), strings)
  .nullish()
  .transform((value) => value ?? {});

export type Devices = z.infer<typeof devices>;
export type Config = z.infer<typeof strings>;

export const answerShape = z.object({
  type: z.enum(["sync", "async", "error"]),
  error: z.string().default(""),
  error_code: z.number().default(0),
  operation: z.string().default(""),
  metadata: z.unknown(),
});

export const operationShape = z.object({
  id: z.string(),
  /** "task" for an operation that ends by itself; "websocket" for a command in a guest. */
  class: z.string().default("task"),
  status: z.string(),
  status_code: z.number(),
  err: z.string().default(""),
  may_cancel: z.boolean().default(false),
  resources: z
    .record(z.string(), z.array(z.string()))
    .nullish()
    .transform((value) => value ?? {}),
  metadata: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((value) => value ?? {}),
});

export type Operation = z.infer<typeof operationShape>;

/** Operations by state, as in `GET /1.0/operations?recursion=1`. */
export const operationsShape = z.record(z.string(), z.array(operationShape));

/** What LXD tells clients that it does not trust. */
export const greetingShape = z.object({ auth: z.string() });

export const serverShape = z.object({
  environment: z.object({
    server: z.string(),
    server_version: z.string(),
    server_name: z.string().default(""),
    server_clustered: z.boolean().default(false),
    driver: z.string(),
    certificate_fingerprint: z.string().default(""),
    server_pid: z.number().default(0),
    /** The server's own first. */
    architectures: z.array(z.string()).default([]),
  }),
});

export type ServerInfo = z.infer<typeof serverShape>;

export const snapshotShape = z.object({
  name: z.string(),
  created_at: z.string(),
  config: stringsOrNull,
  devices,
  size: z.number().nullish(),
});

export type LxdSnapshot = z.infer<typeof snapshotShape>;

const addressShape = z.object({ family: z.string(), address: z.string(), scope: z.string() });

export const instanceShape = z.object({
  name: z.string(),
  status: z.string(),
  type: z.string(),
  architecture: z.string().default(""),
  description: z.string().default(""),
  ephemeral: z.boolean().default(false),
  location: z.string().default(""),
  profiles: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  config: stringsOrNull,
  devices,
  snapshots: z
    .array(snapshotShape)
    .nullish()
    .transform((value) => value ?? []),
  state: z
    .object({
      network: z
        .record(
          z.string(),
          z.object({ addresses: z.array(addressShape).nullish(), hwaddr: z.string().default("") }),
        )
        .nullish()
        .transform((value) => value ?? {}),
    })
    .nullish(),
});

export type LxdInstance = z.infer<typeof instanceShape>;

export const imageShape = z.object({
  fingerprint: z.string(),
  properties: stringsOrNull,
  last_used_at: z.string(),
  uploaded_at: z.string(),
});

export type LxdImage = z.infer<typeof imageShape>;

export const poolShape = z.object({ name: z.string(), driver: z.string() });

export const networkShape = z.object({
  name: z.string(),
  type: z.string(),
  managed: z.boolean().default(false),
  description: z.string().default(""),
  config: stringsOrNull,
});

export const memberShape = z.object({
  server_name: z.string(),
  status: z.string(),
  message: z.string().default(""),
});

export const profileShape = z.object({ name: z.string(), devices });

/** What the host has; memory in bytes. */
export const resourcesShape = z.object({
  cpu: z.object({ total: z.number() }),
  memory: z.object({ total: z.number() }),
});

export const warningShape = z.object({ type: z.string(), last_message: z.string().default("") });

export const eventShape = z.object({
  type: z.string(),
  timestamp: z.string(),
  metadata: z.object({
    action: z.string().default(""),
    source: z.string().default(""),
    project: z.string().optional(),
    context: z.record(z.string(), z.unknown()).nullish(),
  }),
});
