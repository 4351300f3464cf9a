/** The key a person typed in, kept until the tab is closed; none is needed on the service's own machine. */

const NAME = "smilekeeper.key";

export function accessKey() {
  return sessionStorage.getItem(NAME);
}

export function useAccessKey(key) {
  sessionStorage.setItem(NAME, key);
}
