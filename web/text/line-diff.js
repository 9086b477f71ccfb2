/**
 * What differs between two texts, line by line.
 *
 * Laws:
 *
 * 1. The lines that are `same` or `gone` are the first text; those that are `same` or `come` the second.
 * 2. As many lines as can be are the same, as long as the part that differs is within bounds; a larger one is shown as
 *    gone and come altogether.
 */

/** Cells of the table in which the longest common part is looked for: 4 million, some 20 ms. */
const CELLS = 4_000_000;

/**
 * @param {string} before
 * @param {string} after
 * @returns {{how: "same"|"gone"|"come", text: string}[]}
 */
export function diff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return [
    ...said("same", a.slice(0, start)),
    ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...said("same", a.slice(a.length - end)),
  ];
}

const said = (how, lines) => lines.map((text) => ({ how, text }));

function middle(a, b) {
  if (a.length * b.length > CELLS) return [...said("gone", a), ...said("come", b)];
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width); // of what begins at i and j: the longest common part
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const lines = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ how: "same", text: a[i++] });
      j++;
    } else if (i < a.length && (j === b.length || common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      lines.push({ how: "gone", text: a[i++] });
    } else {
      lines.push({ how: "come", text: b[j++] });
    }
  }
  return lines;
}

/**
 * The same with long stretches of equal lines left out: `{how: "skip", lines: n}` stands for n of them.
 * @param {{how: string, text: string}[]} lines
 * @param {number} around how many equal lines stay on each side of a difference
 */
export function folded(lines, around = 3) {
  const near = lines.map(() => false);
  lines.forEach(({ how }, i) => {
    if (how !== "same") near.fill(true, Math.max(0, i - around), i + around + 1);
  });
  const out = [];
  lines.forEach((line, i) => {
    if (near[i]) out.push(line);
    else if (out.at(-1)?.how === "skip") out.at(-1).lines += 1;
    else out.push({ how: "skip", lines: 1 });
  });
  return out;
}
