/** What this browser remembers for the user. If the browser stores nothing, everything else still works. */

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
    // The storage is switched off or full.
  }
}
