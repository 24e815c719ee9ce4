import { realpath } from "node:fs/promises";
import type { Command } from "commander";
import type { PortForward, Strata } from "../../core/api/strata.ts";
import { checkInstanceName } from "../../core/snapshots/names.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatPorts, placeOf } from "../format/ports.ts";
import { type ForwardSpec, parseForward } from "../forward-spec.ts";
import { write } from "../io.ts";
import { dropPort, keepPort, keptPorts, outlivesLogin } from "../kept-port.ts";

export function portCommand(cli: Cli): Command {
  return command("port", "forward ports of instances to this host", "port forward web 8080:80", "port list")
    .addCommand(forwardCommand(cli))
    .addCommand(portListCommand(cli))
    .addCommand(portDeleteCommand(cli));
}

function forwardCommand(cli: Cli): Command {
  return command(
    "forward",
    "forward ports of an instance to this host until Ctrl-C",
    "port forward web 8080:80",
    "port forward web 5432 0.0.0.0:8080:80",
    "port forward web 8080:80 --keep",
  )
    .argument("<name>", "instance; it need not run yet")
    .argument("<ports...>", "port of this host and of the instance: PORT, PORT:PORT or ADDRESS:PORT:PORT")
    .option("--keep", "have your systemd keep them in the background, also after the next login")
    .action(async (name: string, given: string[], { keep }: { keep?: boolean }) => {
      const specs = given.map(parseForward);
      const { ssh } = await cli.strata();
      await (keep === true ? keepAll(cli, ssh, name, specs) : hold(cli, ssh, name, specs));
    });
}

/** Forwards until Ctrl-C. */
async function hold(
  cli: Cli,
  ssh: Strata["ssh"],
  name: string,
  specs: readonly ForwardSpec[],
): Promise<void> {
  const open: PortForward[] = [];
  try {
    for (const spec of specs) {
      const made = await ssh.forward(name, { ...spec, ...cli.call });
      open.push(made);
      await write(cli.io, `Forwarding ${placeOf(made)} to ${name}:${spec.to}\n`);
    }
    await Promise.race(open.map(({ closed }) => closed));
  } finally {
    for (const each of open) {
      await each[Symbol.asyncDispose]();
    }
  }
  throw failure("CANCELLED", {}, cli.call.signal.reason);
}

async function keepAll(
  cli: Cli,
  ssh: Strata["ssh"],
  name: string,
  specs: readonly ForwardSpec[],
): Promise<void> {
  if (specs.some(({ port }) => port === 0)) {
    throw failure("USAGE", {
      reason: "--keep needs a port of this host: any free one would be another each time",
    });
  }
  const { env } = cli.io;
  const before = await keptPorts(env);
  for (const spec of specs) {
    // What cannot be forwarded is said here, and not in the journal of a unit.
    if (!before.some(({ port, address }) => port === spec.port && address === spec.address)) {
      await (await ssh.forward(name, { ...spec, ...cli.call }))[Symbol.asyncDispose]();
    }
  }
  for (const spec of specs) {
    const { driver } = cli.global;
    const program = [process.execPath, await realpath(process.argv[1] ?? "")];
    const chosen = driver === undefined ? [] : ["--driver", driver];
    const argv = [...program, ...chosen, "port", "forward", name, `${placeOf(spec)}:${spec.to}`];
    await keepPort({ instance: name, ...spec }, argv, env);
    await write(cli.io, `Kept: ${placeOf(spec)} to ${name}:${spec.to}\n`);
  }
  if (!(await outlivesLogin())) {
    cli.note("They end with your last login; `loginctl enable-linger` keeps them from boot on.");
  }
}

function portListCommand(cli: Cli): Command {
  return command("list", "list the forwarded ports that systemd keeps", "port list")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      await write(cli.io, formatPorts(await keptPorts(cli.io.env), parseFormat(options.format)));
    });
}

function portDeleteCommand(cli: Cli): Command {
  return command("delete", "end forwarded ports that systemd keeps", "port delete web 8080")
    .argument("<name>", "instance")
    .argument("[ports...]", "ports of this host (default: all of the instance)")
    .action(async (name: string, ports: string[]) => {
      checkInstanceName(name);
      const mine = (await keptPorts(cli.io.env)).filter(({ instance }) => instance === name);
      const missing = ports.filter((port) => !mine.some((kept) => String(kept.port) === port));
      if (missing.length > 0 || mine.length === 0) {
        const reason = `no such port of "${name}" is kept; \`strata port list\` shows those that are`;
        throw failure("INVALID_VALUE", { what: "a port", value: missing.join(", ") || name, reason });
      }
      for (const kept of mine.filter(({ port }) => ports.length === 0 || ports.includes(String(port)))) {
        await dropPort(kept, cli.io.env);
        await write(cli.io, `Deleted: ${placeOf(kept)} to ${name}:${kept.to}\n`);
      }
    });
}
