/**
 * The difference between two texts, line by line.
 *
 * Rules:
 *
 * 1. The lines `same` and `removed` together are the first text, the lines `same` and `added` the second.
 * 2. As many lines as possible are `same`, as long as the part that differs is not too large. A larger part is all
 *    `removed` and all `added`.
 */

/** Cells of the table used to find the longest common subsequence: 4 million take about 20 ms. */
const MAX_TABLE_CELLS = 4_000_000;

/**
 * Return all lines of both texts, in order, each with what happened to it.
 * @param {string} before
 * @param {string} after
 * @returns {{how: "same"|"removed"|"added", text: string}[]}
 */
export function diff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  // Equal lines at both ends need no table.
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return [
    ...withLabel("same", a.slice(0, start)),
    ...diffMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...withLabel("same", a.slice(a.length - end)),
  ];
}

const withLabel = (how, lines) => lines.map((text) => ({ how, text }));

function diffMiddle(a, b) {
  if (a.length * b.length > MAX_TABLE_CELLS) return [...withLabel("removed", a), ...withLabel("added", b)];
  const width = b.length + 1;
  // At (i, j): the length of the longest common subsequence of the lines from i and from j on.
  const common = new Uint16Array((a.length + 1) * width);
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
      lines.push({ how: "removed", text: a[i++] });
    } else {
      lines.push({ how: "added", text: b[j++] });
    }
  }
  return lines;
}

/**
 * Return the lines with long runs of equal lines left out: `{how: "skip", lines: n}` stands for n of them.
 * @param {{how: string, text: string}[]} lines
 * @param {number} around equal lines to keep on each side of a difference
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
