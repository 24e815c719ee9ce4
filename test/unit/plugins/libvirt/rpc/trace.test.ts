import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect } from "chai";
import { CALL_CHANNEL, FRAME_CHANNEL } from "../../../../../lib/util/trace.ts";
import { connect } from "../../../../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import { fakeDaemon, replyTo } from "../../../../support/libvirt/fake-daemon.ts";

/** What is reported on a channel while a piece runs. */
async function reported(channel: string, work: () => Promise<void>): Promise<Record<string, unknown>[]> {
  const heard: Record<string, unknown>[] = [];
  const hear = (message: unknown) => heard.push(message as Record<string, unknown>);
  subscribe(channel, hear);
  try {
    await work();
  } finally {
    unsubscribe(channel, hear);
  }
  return heard;
}

/** Defines a domain whose document holds a secret, as far as the daemon is concerned. */
async function define(): Promise<void> {
  await using daemon = await fakeDaemon();
  await using connection = await connect(daemon.uri);
  const defining = connection.defineDomain("<domain><secret>hunter2</secret></domain>");
  const [far] = daemon.clients;
  const call = await far?.next();
  if (far === undefined || call === undefined) {
    throw new Error("nothing was called");
  }
  const dom = { name: "web", uuid: "00000000-0000-4000-8000-000000000001", id: -1 };
  far.send(replyTo(call, procedures.domain_define_xml_flags, { dom }));
  await defining;
}

describe("what the binding reports", () => {
  it("names every call and how long it took, and nothing of what it carried", async () => {
    const calls = await reported(CALL_CHANNEL, define);
    expect(calls.map(({ call }) => call)).to.include.members(["connect_open", "domain_define_xml_flags"]);
    expect(calls.every(({ ms }) => typeof ms === "number" && ms >= 0)).to.equal(true);
    expect(JSON.stringify(calls)).not.to.contain("hunter2");
  });

  it("tells every frame of both ways by its header", async () => {
    const frames = await reported(FRAME_CHANNEL, define);
    const told = frames.map(({ direction, frame }) => `${direction} ${frame}`);
    expect(told).to.include("sent call 4 domain_define_xml_flags");
    expect(told).to.include("received reply 4 domain_define_xml_flags");
    expect(JSON.stringify(frames)).not.to.contain("hunter2");
  });
});
