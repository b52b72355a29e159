// Fails when the scripts and styles that a browser may load are more than they should be, gzipped.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const assets = "dist/assets";
const bound = 250 * 1000;

let sum = 0;
for (const name of readdirSync(assets)
  .filter((name) => /\.(js|css)$/.test(name))
  .sort()) {
  const size = gzipSync(readFileSync(join(assets, name)), { level: 9 }).length;
  sum += size;
  console.log(`${(size / 1000).toFixed(1).padStart(8)} kB  ${name}`);
}
console.log(`${(sum / 1000).toFixed(1).padStart(8)} kB  in all, of ${bound / 1000} kB`);
if (sum === 0 || sum > bound) {
  console.error(sum === 0 ? "nothing was built" : "the bundle is too large");
  process.exit(1);
}
