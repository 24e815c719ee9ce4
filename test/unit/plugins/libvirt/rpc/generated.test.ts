import { readFileSync } from "node:fs";
import { expect } from "chai";
import { domainEvents } from "../../../../../plugins/libvirt/rpc/procedures/domain-event.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import { Program } from "../../../../../plugins/libvirt/rpc/procedures/procedure.ts";
import { readExtract, VERSIONS } from "../../../../../scripts/binding/extract.ts";
import { readHeaders } from "../../../../../scripts/binding/headers.ts";
import { Protocol } from "../../../../../scripts/binding/protocol.ts";
import { renderBinding } from "../../../../../scripts/binding/render.ts";

const extracts = VERSIONS.map((version) => ({ version, ...readExtract(version) }));
const newest = readExtract("11.3");

describe("the parts of the binding that come from libvirt", () => {
  for (const [path, text] of renderBinding(newest)) {
    it(`${path} is what \`make binding\` writes`, () => {
      const url = new URL(`../../../../../plugins/libvirt/rpc/${path}`, import.meta.url);
      expect(readFileSync(url, "utf8")).to.equal(text);
    });
  }

  for (const { version, remote, qemu, messages, enums, strings } of extracts) {
    describe(`agree with libvirt ${version}`, () => {
      it("in the number, the arguments and the result of every procedure", () => {
        const ours = (program: number) =>
          Object.fromEntries(
            Object.entries(procedures).flatMap(([name, each]) =>
              each.program === program
                ? [[name, { number: each.number, args: each.args.layout, result: each.result.layout }]]
                : [],
            ),
          );
        expect(ours(Program.REMOTE)).to.deep.equal(remote);
        expect(ours(Program.QEMU)).to.deep.equal(qemu);
      });

      it("in the number, the registration and the fields of every event", () => {
        const ids = Object.values(enums.virDomainEventID ?? {});
        for (const { message, procedure, id, fields } of Object.values(domainEvents)) {
          expect({ number: procedure, fields: fields.layout }).to.deep.equal(messages[message]);
          expect(ids, message).to.include(id);
        }
      });

      it("in every constant and error code that it has", () => {
        for (const [type, members] of Object.entries(enums)) {
          expect(newest.enums[type], type).to.include(members);
        }
        expect(newest.strings).to.include(strings);
      });
    });
  }

  it("say since when there is what libvirt 9.0 does not have", () => {
    const [oldest] = extracts;
    for (const [type, members] of Object.entries(newest.enums)) {
      for (const member of Object.keys(members)) {
        expect(member in (oldest?.enums[type] ?? {}), member).to.equal(!(member in newest.since));
      }
    }
    for (const macro of Object.keys(newest.strings)) {
      expect(macro in (oldest?.strings ?? {}), macro).to.equal(!(macro in newest.since));
    }
  });
});

describe("reading libvirt's headers", () => {
  it("evaluates members, whatever their comments say, and passes over counts", () => {
    const { enums, functions, strings } = readHeaders([
      `typedef enum {
    VIR_B_ONE = VIR_A_TWO, /* like VIR_A_TWO, or so (Since: 1.2.3) */
    VIR_B_BIG = (1U << 31),
    VIR_B_NEGATIVE = -2,
    VIR_B_NEXT /* follows
                  VIR_B_NEGATIVE = 9, (Since: 0.1.0) */
# ifdef VIR_ENUM_SENTINELS
    VIR_B_LAST
# endif
} virB;
# define VIR_MACRO(x) \\
    virNotAFunction(x)
typedef void (*virCallback)(virB b);
/* virInAComment(); */
/**
 * VIR_NAME:
 * Since: 1.0.0
 */
# define VIR_NAME "a.b"
# define VIR_OTHER   "c"
const char * virName (virB b);
virB
virOther(virCallback cb);`,
      "typedef enum {\n    VIR_A_ZERO,\n    VIR_A_TWO = 1 << 1\n} virA;\n",
    ]);
    expect(enums.get("virB")).to.deep.equal(
      new Map([
        ["VIR_B_ONE", { value: 2, since: "1.2.3" }],
        ["VIR_B_BIG", { value: 2 ** 31, since: undefined }],
        ["VIR_B_NEGATIVE", { value: -2, since: undefined }],
        ["VIR_B_NEXT", { value: -1, since: "0.1.0" }],
      ]),
    );
    expect(functions).to.deep.equal(["virName", "virOther"]);
    expect(strings).to.deep.equal(
      new Map([
        ["VIR_NAME", { value: "a.b", since: "1.0.0" }],
        ["VIR_OTHER", { value: "c", since: undefined }],
      ]),
    );
  });

  it("refuses what it cannot evaluate", () => {
    expect(() => readHeaders(["typedef enum {\n    VIR_A = sizeof(int),\n} virA;\n"])).to.throw("virA");
  });
});

describe("reading libvirt's protocol files", () => {
  const text = `%#include <x.h>
typedef string remote_nonnull_string<REMOTE_STRING_MAX>;
typedef remote_nonnull_string *remote_string;
const REMOTE_MAX = 3;
enum remote_kind {
    REMOTE_KIND_A = 0
};
struct remote_pair { /* insert@1 */
    remote_uuid uuid;
    remote_string names<REMOTE_MAX>;
};
typedef remote_pair *remote_some_pair;
struct remote_do_args {
    remote_some_pair pair;
    opaque data<8>;
    char model[32];
    remote_kind kind;
};
struct remote_tell_msg {
    int id;
};
struct remote_tell_all_msg {
    unsigned hyper all;
    remote_tell_msg msg;
};
enum remote_procedure {
    /** @generate: both */
    REMOTE_PROC_DO = 1,
    REMOTE_PROC_TELL_ALL = 7
};
`;
  it("writes layouts as the binding does, without the wrapping of events", () => {
    const protocol = new Protocol([text], "remote", {});
    expect(protocol.procedure("do")).to.deep.equal({
      number: 1,
      args: "{pair: {uuid: uuid, names: string?[<=3]}?, data: bytes(8), model: characters(32), kind: i32}",
      result: "{}",
    });
    expect(protocol.message("tell_all")).to.deep.equal({ number: 7, fields: "{all: u64, id: i32}" });
    expect(() => protocol.procedure("undo")).to.throw("libvirt has no procedure undo");
  });
});
