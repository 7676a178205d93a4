// The token of the server. A tab keeps it while it is open, and other tabs never see it.

const KEY = "token"; // in sessionStorage

export function readToken() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // a browser that stores nothing
  }
}

export function writeToken(token) {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // The page keeps it until it is closed or reloaded.
  }
}
