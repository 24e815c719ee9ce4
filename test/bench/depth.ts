import { libvirtFixture } from "../support/libvirt/fixture.ts";
import { byTurns, type Figure, type Scope } from "./measure.ts";
import { libraryWay, Subject, VERBS } from "./verbs.ts";

/** The library's calls with many snapshots below beside the same with one, by turns. */
export async function depth(scope: Scope): Promise<Figure[]> {
  // As many files as libvirt takes, then as few as keyframes leave.
  if (scope.short) {
    return onChains(scope, "plain layers", { "chain-length": "190" }, [20]);
  }
  return [
    ...(await onChains(scope, "plain layers", { "chain-length": "190" }, [50, 150])),
    ...(await onChains(scope, "keyframes", {}, [1000])),
  ];
}

async function onChains(
  { rounds }: Scope,
  chain: string,
  settings: Readonly<Record<string, string>>,
  depths: readonly number[],
): Promise<Figure[]> {
  await using fixture = await libvirtFixture(settings);
  const disk = { size: 1024n ** 3n, data: 0n };
  await using one = await Subject.create(fixture, { ...disk, depth: 1 });
  const figures: Figure[] = [];
  for (const depth of depths) {
    await using many = await Subject.create(fixture, { ...disk, depth });
    const pieces = [many, one].flatMap((subject) => {
      const way = libraryWay(subject);
      return VERBS.map((verb) => ({ work: (round: number) => way[verb](`at${depth}-${round}`) }));
    });
    const times = await byTurns(rounds, ...pieces);
    for (const [at, verb] of VERBS.entries()) {
      figures.push({
        subject: "depth",
        what: `${verb}, ${chain}: ${depth} below`,
        ours: times[at] ?? Number.NaN,
        peer: "1 below",
        theirs: times[VERBS.length + at] ?? Number.NaN,
      });
    }
  }
  return figures;
}
