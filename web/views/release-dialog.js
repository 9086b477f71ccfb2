/** The dialog that asks before a lock is taken from its holder, says what that means, and wants to know why. */

import { targetText } from "../model/lock-targets.js";
import { byId, setAttribute, setText } from "../browser/elements.js";
import { REASON } from "../model/lock-release.js";
import { elapsed, formatCount, remaining } from "../text/format.js";

/**
 * @param {object} intents
 * @param {(token: number|null) => void} intents.askToRelease
 * @param {(reason: string) => void} intents.giveReason
 * @param {() => void} intents.release
 */
export function mountReleaseDialog(intents) {
  const dialog = byId("release");
  const form = byId("release-form");
  const title = byId("release-title");
  const means = byId("release-means");
  const next = byId("release-next");
  const reason = byId("release-reason");
  const wrong = byId("release-wrong");
  const yes = byId("release-yes");
  let shown = null;

  reason.maxLength = REASON;
  form.noValidate = true; // the page says itself what is wrong
  reason.addEventListener("input", () => intents.giveReason(reason.value));
  byId("release-no").addEventListener("click", () => intents.askToRelease(null));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    intents.askToRelease(null);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    intents.release();
  });

  return function update({ want, inspected }, now) {
    const { release } = want;
    if (release !== shown) show(release);
    if (release === null) return;
    const lock = inspected.lock(release.lock.token);
    setText(means, meansText(release.lock, lock, now));
    setText(next, nextText(lock ?? release.lock));
    setText(wrong, release.wrong ?? "");
    setAttribute(reason, "aria-invalid", release.wrong === null ? null : "true");
    yes.disabled = release.busy;
  };

  function show(release) {
    shown = release;
    if (release === null) {
      dialog.close(); // the keyboard goes back to where it was
      return;
    }
    setText(title, `Release ${targetText(release.lock)}?`);
    reason.value = "";
    dialog.showModal();
    reason.focus();
  }
}

function meansText(asked, lock, now) {
  if (lock === null) return `${asked.agent} does not hold it any more.`;
  const held = elapsed(Math.max(0, now - lock.since));
  return `${lock.agent} has held it for ${held}, by token ${formatCount(lock.token)}; ${remaining(lock.expires_at - now)} are left.`;
}

function nextText({ queue }) {
  if (queue.length === 0) return "Nobody waits for it: it is free then.";
  return `${queue[0].agent} is the first who waits for it, and gets it unless something else is in the way.`;
}
