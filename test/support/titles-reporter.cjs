const { reporters, Runner } = require("mocha");

/** mocha's own spec output, and at the end the full titles of all tests, a line each. */
module.exports = class Titles extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const titles = [];
    runner.on(Runner.constants.EVENT_TEST_END, (test) => titles.push(test.fullTitle()));
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      for (const title of titles) {
        console.log(`title: ${title}`);
      }
    });
  }
};
