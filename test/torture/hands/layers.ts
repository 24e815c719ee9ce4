import { rename, stat, truncate, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { makeDisk } from "./definitions.ts";
import {
  anyOf,
  anyWrite,
  type Deed,
  type Hand,
  type Interference,
  layersOf,
  letGo,
  lock,
  NOTHING,
} from "./hand.ts";

async function byQemu(
  program: string,
  args: readonly string[],
  what: string,
  deed: Partial<Deed> = {},
): Promise<Deed> {
  const { failed, stderr } = await execa(program, args, { reject: false });
  return failed ? { what: `${what}: ${stderr.slice(0, 120)}`, done: false } : { what, done: true, ...deed };
}

/** A layer that no guest has open, or any where none runs. */
function loose(hand: Hand): string | undefined {
  return anyOf(layersOf(hand), hand.random);
}

export const LAYERS: readonly Interference[] = [
  {
    name: "a layer removed",
    async work(hand) {
      const path = loose(hand);
      if (path === undefined || hand.now.live !== null) {
        return NOTHING;
      }
      const to = join(hand.place.elsewhere, `away-${basename(path)}`);
      if (hand.random() < 0.7) {
        await rename(path, to).catch(() => execa("mv", [path, to]));
        hand.moved.push({ from: path, to });
      } else {
        await unlink(path);
      }
      return { what: `${basename(path)} is removed`, done: true, damaged: [path] };
    },
  },
  {
    name: "a layer put back",
    async work(hand) {
      const back = hand.moved.pop();
      if (back === undefined) {
        return NOTHING;
      }
      await execa("mv", [back.to, back.from]);
      return { what: `${basename(back.from)} is put back`, done: true };
    },
  },
  {
    name: "a layer truncated",
    async work(hand) {
      const path = loose(hand);
      if (path === undefined || hand.now.live !== null) {
        return NOTHING;
      }
      const { size } = await stat(path);
      // Header and tables are whole, data are cut off; or not even that.
      const left =
        hand.random() < 0.7
          ? size - 8192 - Math.floor(hand.random() * 131_072)
          : Math.floor(size * hand.random());
      await truncate(path, Math.max(left, 60));
      return { what: `${basename(path)} is cut from ${size} to ${left}`, done: true, damaged: [path] };
    },
  },
  {
    name: "a layer locked",
    async work(hand) {
      const path = loose(hand);
      if (path === undefined) {
        return NOTHING;
      }
      return { what: `a program has ${basename(path)} open for writing`, done: await lock(hand, path) };
    },
  },
  {
    name: "locks let go",
    async work(hand) {
      if (hand.lockers.length === 0) {
        return NOTHING;
      }
      await letGo(hand);
      return { what: "programs with layers open are gone", done: true };
    },
  },
  {
    name: "an overlay by hand",
    async work(hand) {
      const on = loose(hand);
      if (on === undefined) {
        return NOTHING;
      }
      const name =
        hand.random() < 0.5
          ? hand.fresh("mine-")
          : `layer-${hand.fresh("0000000")}-0000-4000-8000-000000000000`;
      const path = join(hand.place.folder, `${name}.qcow2`);
      if (hand.random() < 0.5) {
        await makeDisk(path, hand.random, on);
      } else {
        await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", on, "-F", "qcow2", path]);
      }
      return { what: `${basename(path)} is made by hand on ${basename(on)}`, done: true };
    },
  },
  {
    name: "an internal snapshot by qemu-img",
    async work(hand) {
      const path = hand.random() < 0.5 ? hand.now.active : loose(hand);
      if (path === undefined || path === "") {
        return NOTHING;
      }
      const name = hand.fresh("i");
      return byQemu(
        "qemu-img",
        ["snapshot", "-c", name, path],
        `qemu-img snapshot -c ${name} ${basename(path)}`,
      );
    },
  },
  {
    name: "a layer written by hand",
    async work(hand) {
      const { active } = hand.now;
      if (active === "") {
        return NOTHING;
      }
      const { offset, length, value } = anyWrite(hand.random);
      const write = `write -P ${value} ${offset} ${length}`;
      return byQemu(
        "qemu-io",
        ["-f", "qcow2", "-c", write, active],
        `qemu-io: ${write} into ${basename(active)}`,
      );
    },
  },
  {
    name: "modes and owners",
    async work(hand) {
      const path = loose(hand);
      if (path === undefined) {
        return NOTHING;
      }
      const mode = anyOf(["0644", "0000", "0400"], hand.random) ?? "0644";
      return byQemu("chmod", [mode, path], `chmod ${mode} ${basename(path)}`);
    },
  },
];
