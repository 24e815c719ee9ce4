import { expect } from "chai";
import { nearDetail, nearest } from "../../../../lib/util/nearest.ts";

describe("the nearest of the known words", () => {
  const known = ["web", "db", "database", "Primary"];

  it("is one with few letters wrong, missing, too many or exchanged", async () => {
    expect(await nearest("wbe", known)).to.deep.equal(["web"]);
    expect(await nearest("databse", known)).to.deep.equal(["database"]);
    expect(await nearest("primray", known)).to.deep.equal(["Primary"]);
  });

  it("is none where most is wrong", async () => {
    expect(await nearest("mail", known)).to.deep.equal([]);
    expect(await nearest("x", [])).to.deep.equal([]);
  });

  it("are all that are equally near, and three at most are named", async () => {
    const many = ["web1", "web2", "web3", "web4"];
    expect(await nearest("web", many)).to.deep.equal(many);
    expect(await nearDetail("web", async () => many)).to.deep.equal({ near: '"web1" or "web2" or "web3"' });
  });

  it("is no reason to fail where the words cannot be read", async () => {
    expect(await nearDetail("web", () => Promise.reject(new Error("gone")))).to.deep.equal({});
  });
});
