/** A root hook of mocha's. Nothing is left out of our tests but what the conformance kit skips, and counts itself. */
const KIT = /^engine /;

export const mochaHooks = {
  afterAll(this: Mocha.Context): void {
    const root = this.test?.parent;
    const skipped = root === undefined ? [] : pending(root).filter((title) => !KIT.test(title));
    if (skipped.length > 0) {
      throw new Error(`these tests were skipped: ${skipped.join("; ")}`);
    }
  },
};

function pending(suite: Mocha.Suite): string[] {
  const own = suite.tests.filter((test) => test.isPending()).map((test) => test.fullTitle());
  return [...own, ...suite.suites.flatMap(pending)];
}
