import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { asStrataError } from "../errors.ts";
import {
  ACT_CHANNEL,
  type ActTrace,
  CALL_CHANNEL,
  type CallTrace,
  FRAME_CHANNEL,
  type FrameTrace,
  PROGRAM_CHANNEL,
  type ProgramTrace,
} from "../util/trace.ts";
import type { Message } from "./log.ts";

/** Calls that change something, as a user would say it. */
const ACTS: Readonly<Record<string, string>> = {
  "instances.create": "create {instance}",
  "instances.start": "start {instance}",
  "instances.stop": "stop {instance}",
  "instances.cut": "cut the power of {instance}",
  "instances.suspend": "suspend {instance}",
  "instances.clone": "clone {instance} to {detail}",
  "instances.resize": "resize {instance}",
  "instances.annotate": "update the record of {instance}",
  "instances.remove": "remove {instance}",
  "snapshots.take": "take snapshot {instance}.{detail}",
  "snapshots.takeGroup": "take snapshots {instance}",
  "snapshots.restore": "restore snapshot {instance}.{detail}",
  "snapshots.delete": "delete snapshot {instance}.{detail}",
  "snapshots.rename": "rename snapshot {instance}.{detail}",
  "snapshots.describe": "change the comment of snapshot {instance}.{detail}",
  "mounts.attach": "mount {instance}:{detail}",
  "mounts.detach": "unmount {instance}:{detail}",
  "networks.attach": "add an interface on {detail} to {instance}",
  "readImages.build": "build the read image of {instance}",
  "cluster.move": "move {instance} to {detail}",
  "adoption.adopt": "adopt {instance}",
  "adoption.release": "release {instance}",
  "maintenance.repair": "repair what doctor found",
  "maintenance.recover": "recover {instance}",
  "guest.exec": "run a command in {instance}",
};

/** Calls that are about the instance that a user has named. */
const ABOUT = ["find", "lock", "create", "clone"].map((call) => `instances.${call}`);

/** Turns what is reported on the channels of `lib/util/trace.ts` into messages, as far as they are of use. */
export function watchTraces(
  verbosity: number,
  tell: (message: Message) => void,
): Disposable & { instances(): string[] } {
  const instances = new Set<string>();
  const listeners: Readonly<Record<string, (trace: never) => void>> = {
    [ACT_CHANNEL]: (act: ActTrace) => {
      if (act.instance !== undefined && ABOUT.includes(act.call)) {
        instances.add(act.instance);
      }
      tell(ofAct(act));
    },
    [PROGRAM_CHANNEL]: (program: ProgramTrace) => tell(ofProgram(program)),
    ...(verbosity < 3 ? {} : { [CALL_CHANNEL]: (call: CallTrace) => tell(ofCall(call)) }),
    ...(verbosity < 4 ? {} : { [FRAME_CHANNEL]: (frame: FrameTrace) => tell(ofFrame(frame)) }),
  };
  // What is on a channel is as its name says.
  const each = Object.entries(listeners) as [string, (trace: unknown) => void][];
  for (const [name, listener] of each) {
    subscribe(name, listener);
  }
  return {
    instances: () => [...instances],
    [Symbol.dispose]() {
      for (const [name, listener] of each) {
        unsubscribe(name, listener);
      }
    },
  };
}

function ofAct({ call, instance = "", detail = "", ms, error }: ActTrace): Message {
  const named = { instance, detail };
  const text = ACTS[call]?.replace(/\{(instance|detail)\}/g, (_, key: "instance" | "detail") => named[key]);
  const code = error === undefined ? {} : { code: asStrataError(error).code };
  const outcome = error === undefined ? time(ms) : `${asStrataError(error).code}, ${time(ms)}`;
  return {
    level: text === undefined ? "trace" : "info",
    text: `${text ?? [call, instance, detail].filter(Boolean).join(" ")} (${outcome})`,
    details: { call, ...(instance === "" ? {} : { instance }), ...code, ms: Math.round(ms) },
    whole: true,
  };
}

function ofProgram({ program, argv, exit, reason, ms }: ProgramTrace): Message {
  const outcome = exit === null ? (reason ?? "killed") : `exit ${exit}`;
  return {
    level: "debug",
    text: `${[program, ...argv].map(shown).join(" ")} (${outcome}, ${time(ms)})`,
    details: { argv: [program, ...argv], exit, ms: Math.round(ms) },
    whole: true,
  };
}

function ofCall({ call, about, ms, error }: CallTrace): Message {
  const outcome = error === undefined ? time(ms) : `${error}, ${time(ms)}`;
  return { level: "trace", text: `${about === undefined ? call : `${call} ${about}`} (${outcome})` };
}

function ofFrame({ direction, frame, size }: FrameTrace): Message {
  return { level: "frame", text: `${direction} ${frame} (${size} bytes)` };
}

function time(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** A word of a command line, in quotes where its ends would not be seen. */
function shown(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word);
}
