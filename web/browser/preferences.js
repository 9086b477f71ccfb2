/** What this browser remembers of the person; where it may remember nothing, everything else still works. */

export function readPreference(name) {
  try {
    return localStorage.getItem(`waggle.${name}`);
  } catch {
    return null;
  }
}

export function savePreference(name, text) {
  try {
    localStorage.setItem(`waggle.${name}`, text);
  } catch {
    // Storage is switched off or full.
  }
}
