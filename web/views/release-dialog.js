/** The dialog before a forced release: it explains the consequences and asks for a reason. */

import { byId, setAttribute, setText } from "../browser/elements.js";
import { MAX_REASON_CHARS } from "../model/lock-release.js";
import { targetText } from "../model/lock-targets.js";
import { elapsed, formatCount, remaining } from "../text/format.js";

/**
 * @param {object} intents
 * @param {(token: number|null) => void} intents.askToRelease
 * @param {(reason: string) => void} intents.setReleaseReason
 * @param {() => void} intents.releaseLock
 */
export function mountReleaseDialog(intents) {
  const dialog = byId("release");
  const form = byId("release-form");
  const title = byId("release-title");
  const about = byId("release-about");
  const next = byId("release-next");
  const reason = byId("release-reason");
  const error = byId("release-error");
  const confirm = byId("release-confirm");
  let shown = null;

  reason.maxLength = MAX_REASON_CHARS;
  form.noValidate = true; // the model checks the reason, so that the message is the dashboard's own
  reason.addEventListener("input", () => intents.setReleaseReason(reason.value));
  byId("release-cancel").addEventListener("click", () => intents.askToRelease(null));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    intents.askToRelease(null);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    intents.releaseLock();
  });

  return function update({ ui, inspection }, now) {
    const { release } = ui;
    if (release !== shown) show(release);
    if (release === null) return;
    const lock = inspection.lock(release.lock.token);
    setText(about, aboutText(release.lock, lock, now));
    setText(next, nextText(lock ?? release.lock));
    setText(error, release.error ?? "");
    setAttribute(reason, "aria-invalid", release.error === null ? null : "true");
    confirm.disabled = release.busy;
  };

  function show(release) {
    shown = release;
    if (release === null) {
      dialog.close(); // the browser moves the focus back to where it was
      return;
    }
    setText(title, `Release ${targetText(release.lock)}?`);
    reason.value = "";
    dialog.showModal();
    reason.focus();
  }
}

function aboutText(asked, lock, now) {
  if (lock === null) return `${asked.agent} no longer holds this lock.`;
  const held = elapsed(Math.max(0, now - lock.since));
  const token = formatCount(lock.token);
  const left = remaining(lock.expires_at - now);
  return `${lock.agent} has held this lock for ${held}, with token ${token}. Time left: ${left}.`;
}

function nextText({ queue }) {
  if (queue.length === 0) return "No agent waits for the lock, so it will be free.";
  return `${queue[0].agent} is first in the queue and gets the lock next, unless another lock blocks it.`;
}
