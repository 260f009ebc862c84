// Draws faces: node faces.mjs SIDE COUNT GENDER/RACE ...   writes RGB bytes, COUNT images a class, to standard output.
// Math.random is replaced by a generator (mulberry32) that starts from the number of the image, so that the same image
// of two classes shares its random numbers, and so that every run draws the same faces.
import { writeSync } from "node:fs";
import { faceToSvgString, generate } from "facesjs";
import { Resvg } from "@resvg/resvg-js";

const [side, count, ...classes] = process.argv.slice(2);
let state = 0;
Math.random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};

const whole = 'width="100%" height="100%" viewBox="0 0 400 600"';
for (const name of classes) {
  const [gender, race] = name.split("/");
  for (let image = 0; image < Number(count); image++) {
    state = Math.imul(image + 1, 0x9e3779b1);
    const drawing = faceToSvgString(generate(undefined, { gender, race }));
    if (!drawing.includes(whole)) throw new Error("facesjs draws on another canvas than expected");
    const head = drawing.replace(whole, 'width="400" height="400" viewBox="0 80 400 400"');
    const drawn = new Resvg(head, {
      background: "white",
      fitTo: { mode: "width", value: Number(side) },
      font: { loadSystemFonts: false },
    }).render();
    if (drawn.width !== Number(side) || drawn.height !== Number(side)) throw new Error("resvg drew another size");
    const pixels = drawn.pixels;
    const bytes = Buffer.alloc((pixels.length / 4) * 3);
    for (let i = 0, j = 0; i < pixels.length; i += 4) {
      bytes[j++] = pixels[i];
      bytes[j++] = pixels[i + 1];
      bytes[j++] = pixels[i + 2];
    }
    for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
  }
}
