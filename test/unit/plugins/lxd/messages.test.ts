import { expect } from "chai";
import { isSaid } from "../../../../plugins/lxd/errors.ts";
import * as messages from "../../../../plugins/lxd/messages.ts";
import { LxdError } from "../../../../plugins/lxd/rest/errors.ts";

type Meaning = keyof typeof messages;

/** Messages of LXD 5.0.2, and of Incus 6.0.4 where it has words of its own; all that each of them means. */
const SAID: readonly [string, ...Meaning[]][] = [
  ["Instance not found", "INSTANCE_NOT_FOUND"],
  ["Image not found"],
  ['Failed to fetch snapshot "s" of instance "web" in project "default": InstanceSnapshot not found'],
  [
    'Failed creating instance record: Add instance info to the database: This "instances" entry already exists',
    "NAME_TAKEN",
  ],
  [
    'Failed creating instance record: Instance is busy running a "create" operation',
    "INSTANCE_BUSY",
    "NAME_BEING_TAKEN",
  ],
  [
    'Failed creating instance record: Instance is busy running a "update" operation',
    "INSTANCE_BUSY",
    "NAME_BEING_TAKEN",
  ],
  ['Instance is busy running a "stop" operation', "INSTANCE_BUSY"],
  [
    "Failed to create instance update operation: A matching non-reusable operation has now succeeded",
    "INSTANCE_BUSY",
  ],
  ["The instance is already stopped", "ALREADY_STOPPED"],
  [
    'Failed shutting down instance, status is "Running": shutting down the container failed',
    "SHUTDOWN_TIMED_OUT",
  ],
  ["context deadline exceeded", "SHUTDOWN_TIMED_OUT", "WAIT_TIMED_OUT"],
  ["LXD VM agent isn't currently running", "AGENT_NOT_TOLD"],
  ["Failed to connect to lxd-agent", "AGENT_NOT_TOLD"],
  ["Failed to connect to incus-agent", "AGENT_NOT_TOLD"],
  ["Failed creating instance from image: unexpected end of JSON input", "OUTPUT_MISREAD"],
  ["write /var/snap/lxd/x: No space left on device", "SPACE_USED_UP"],
  ["write /var/snap/lxd/x: disk quota exceeded", "SPACE_USED_UP"],
  ["open : no such file or directory", "CONSOLE_EMPTY"],
  ["Command not executable", "COMMAND_NOT_EXECUTABLE"],
  ["Command not found", "COMMAND_NOT_FOUND"],
  ["open : no such file or directory", "CONSOLE_EMPTY"],
  [
    'lxc q1 20261125031341.348 ERROR    conf - ../src/lxc/conf.c:lxc_map_ids:3708 - newuidmap failed to write mapping "…": newuidmap 8065 0',
    "ID_MAP_REFUSED",
    "LOG_ERROR",
  ],
  [
    'lxc q1 20261125031341.348 ERROR    start - ../src/lxc/start.c:start:2197 - No such file or directory - Failed to exec "/sbin/init"',
    "LOG_ERROR",
    "NO_INIT",
  ],
  [
    'lxc q1 20261125031341.351 ERROR    start - ../src/lxc/start.c:__lxc_start:2107 - Failed to spawn container "q1"',
    "LOG_ERROR",
    "START_GIVEN_UP",
  ],
  ["lxc q1 20261125031341.340 WARN     cgfsng - ../src/lxc/cgfsng.c:x:1 - No such file - harmless"],
];

describe("what LXD says in words alone", () => {
  it("means what it meant when it was seen, and nothing else", () => {
    for (const [message, ...wanted] of SAID) {
      const found = Object.entries(messages).filter(([, words]) => isSaid(new LxdError(0, message), words));
      expect(found.map(([meaning]) => meaning).sort(), message).to.deep.equal([...wanted].sort());
    }
  });

  it("has each of its meanings seen", () => {
    const seen = new Set(SAID.flatMap(([, ...wanted]) => wanted));
    expect([...seen].sort()).to.deep.equal(Object.keys(messages).sort());
  });

  it("counts only where LXD has said it", () => {
    expect(isSaid(new Error("Instance not found"), messages.INSTANCE_NOT_FOUND)).to.equal(false);
  });
});
