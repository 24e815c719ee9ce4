const { appendFileSync } = require("node:fs");
const { reporters, Runner } = require("mocha");

/** mocha's own spec output; the totals also go to the file that STRATA_TEST_TOTALS names, a line for each run. */
module.exports = class Totals extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = runner.stats;
      const file = process.env.STRATA_TEST_TOTALS;
      if (file) {
        appendFileSync(file, `${passes} passed, ${failures} failed, ${pending} skipped\n`);
      }
    });
  }
};
