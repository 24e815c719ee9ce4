import { openStage, Scene, type Stage } from "./virsh-scene.ts";

/** Hooks of the suite that they are registered in: one stage for all of its tests. */
export function stageForAll(use: (stage: Stage) => void): void {
  let stage: Stage | undefined;
  before(async () => {
    stage = await openStage();
    use(stage);
  });
  after(() => stage?.[Symbol.asyncDispose]());
}

/** Hooks of the suite that they are registered in: one stage for all of its tests, and a new scene for each. */
export function sceneForEach(use: (stage: Stage, scene: Scene) => void): void {
  let stage: Stage | undefined;
  let scene: Scene | undefined;
  stageForAll((opened) => {
    stage = opened;
  });
  beforeEach(async () => {
    scene = undefined;
    if (stage !== undefined) {
      scene = await Scene.open(stage);
      use(stage, scene);
    }
  });
  afterEach(() => scene?.[Symbol.asyncDispose]());
}
