import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { isSaid } from "../../../../../plugins/lxd/errors.ts";
import { isOwn, ownHeaders } from "../../../../../plugins/lxd/lifecycle/images.ts";
import { splitImage } from "../../../../../plugins/lxd/lifecycle/machine-image.ts";
import { machineRefusal } from "../../../../../plugins/lxd/lifecycle/machines.ts";
import { AGENT_NOT_TOLD, OUTPUT_MISREAD } from "../../../../../plugins/lxd/messages.ts";
import type { Client } from "../../../../../plugins/lxd/rest/client.ts";
import { LxdError } from "../../../../../plugins/lxd/rest/errors.ts";
import { serverShape } from "../../../../../plugins/lxd/rest/shapes.ts";

describe("virtual machines of LXD", () => {
  const refusal = (driver: string) => {
    const environment = { server: "lxd", server_version: "5.0.2", driver };
    const get: Client["get"] = async (_, shape) => {
      const last_message = "KVM support is missing (no /dev/kvm)";
      return { value: shape.parse([{ type: "Instance type not operational", last_message }]), etag: "" };
    };
    return machineRefusal({
      client: { get },
      server: async () => serverShape.parse({ environment }),
    });
  };

  it("are made where the server runs them", async () => {
    expect(await refusal("lxc | qemu")).to.equal(null);
    expect(await refusal("qemu | lxc")).to.equal(null);
  });

  it("are refused with what LXD itself has found out where the server does not run them", async () => {
    expect(await refusal("lxc")).to.equal(
      "the server cannot run virtual machines (KVM support is missing (no /dev/kvm))",
    );
  });

  describe("get a disk", () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "strata-split-"));
    });
    after(() => rm(folder, { recursive: true }));

    it("that LXD takes in two parts, and knows by both of them", async () => {
      const path = join(folder, "disk.qcow2");
      const disk = Buffer.alloc(100_000, "\r\n--x");
      await writeFile(path, disk);
      const image = { path, format: "qcow2", sha256: "ab", virtualSize: 1n };
      const { body, size, contentType, fingerprint } = await splitImage(image, "x86_64");
      const bytes = await buffer(body);
      expect(BigInt(bytes.length)).to.equal(size);
      const form = await new Response(new Uint8Array(bytes), {
        headers: { "content-type": contentType },
      }).formData();
      expect([...form.keys()]).to.deep.equal(["metadata", "rootfs.img"]);
      const parts: Buffer[] = [];
      for (const [, part] of form) {
        if (part instanceof Blob) {
          parts.push(Buffer.from(await part.arrayBuffer()));
        }
      }
      expect(parts[1]?.equals(disk)).to.equal(true);
      expect(parts[0]?.toString()).to.contain("architecture: x86_64");
      const hash = createHash("sha256");
      for (const part of parts) {
        hash.update(part);
      }
      expect(hash.digest("hex")).to.equal(fingerprint);
      const again = await splitImage(image, "x86_64");
      expect(again.fingerprint).to.equal(fingerprint);
      again.body.destroy();
    });
  });

  it("leave images of others alone, also those that were made from ours", () => {
    const propertiesOf = (...sums: [string, string?]) =>
      Object.fromEntries(new URLSearchParams(ownHeaders(...sums)["X-LXD-properties"]));
    expect(isOwn({ fingerprint: "a", properties: propertiesOf("a") })).to.equal(true);
    expect(isOwn({ fingerprint: "f", properties: propertiesOf("a", "f") })).to.equal(true);
    expect(isOwn({ fingerprint: "published", properties: propertiesOf("a", "f") })).to.equal(false);
    expect(isOwn({ fingerprint: "a", properties: propertiesOf("a", "f") })).to.equal(false);
    expect(isOwn({ fingerprint: "a", properties: {} })).to.equal(false);
  });

  it("are known as ours to LXD and to Incus, which has names of its own for what says so", () => {
    const headers = ownHeaders("a", "f");
    expect(headers["X-Incus-properties"]).to.equal("strata.image=a&strata.fingerprint=f");
    expect(headers["X-LXD-properties"]).to.equal(headers["X-Incus-properties"]);
  });

  it("need no agent to be changed: that none could be told is no failure, and nothing else is", () => {
    const untold = (error: Error) => isSaid(error, AGENT_NOT_TOLD);
    for (const said of ["LXD VM agent isn't currently running", "Failed to connect to lxd-agent"]) {
      expect(untold(new LxdError(500, said)), said).to.equal(true);
    }
    expect(untold(new LxdError(500, "Failed to update database"))).to.equal(false);
    expect(untold(new Error("VM agent isn't currently running"))).to.equal(false);
    const misread = (message: string) => isSaid(new LxdError(0, message), OUTPUT_MISREAD);
    expect(misread("Failed creating instance from image: unexpected end of JSON input")).to.equal(true);
    expect(misread("Failed creating instance from image")).to.equal(false);
  });
});
