import {
  type Context,
  type ImageSource,
  type InstanceSpec,
  RECORD_VERSION,
} from "../../../lib/engine/contract.ts";

/** A context that nobody cancels. */
export function context(): Context {
  return { signal: new AbortController().signal, progress() {} };
}

/** A small instance of an image. */
export function newInstanceSpec(
  image: ImageSource,
  change: Partial<InstanceSpec> & Pick<InstanceSpec, "name">,
): InstanceSpec {
  return {
    image,
    resources: { cpus: 1, memory: 256n * 1024n ** 2n, disk: 64n * 1024n ** 2n },
    mounts: [],
    networks: [],
    seed: { metaData: "", userData: "", vendorData: "" },
    record: {
      version: RECORD_VERSION,
      image: { sha256: image.sha256, release: "1", os: "Test" },
      username: "tester",
      deleted: false,
      snapshotsTaken: 0,
      cloudInstanceId: "i-1",
      createdAt: 1_700_000_000_123,
    },
    ...change,
  };
}
